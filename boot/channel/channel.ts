/**
 * A channel: the signed list of releases that a server offers to the machines of one system. Its file, {@link CHANNEL_FILE}, is
 * a DSSE envelope (../image/envelope.ts) in canonical form, and lies in one directory with the images that it names.
 */
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { Fields } from "../../state-ops/fields.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { decodeEnvelope, type Envelope, PAYLOAD_TYPE, parseJson } from "../image/envelope.ts";
import { imageSizeOf, LONGEST_SEAL, labelFault, type Manifest } from "../image/seal.ts";
import { BLOCK, LEAST_DATA_BLOCKS, MOST_DATA_BLOCKS } from "../image/verity.ts";
import { compareVersions } from "./version-order.ts";

/** The channel's file in its directory. */
export const CHANNEL_FILE = "channel.json";
/** What follows an image's name in that of its index: its seal and hash tree alone. */
export const INDEX_SUFFIX = ".idx";
/** No channel's file is longer, in bytes: who fetches one reads no more. {@link MOST_RELEASES} of the longest names fit. */
export const LONGEST_CHANNEL = 256 * 1024;
/** Releases that are offered at the same time. */
export const MOST_RELEASES = 256;
/** Characters of an image's file name: with {@link INDEX_SUFFIX} every filesystem takes it. */
export const LONGEST_IMAGE_NAME = 160;

/** One image that is offered. */
export interface Release {
  /** As the image's seal says it. Which of two is newer: version-order.ts. */
  version: string;
  /** File name of the image, in the channel's directory. */
  image: string;
  /** Bytes of that file. */
  imageSize: number;
  /** Of the image, in hex: its id. */
  rootHash: string;
  rollbackIndex: number;
  /**
   * The version that a machine must run at least to take this release: an older one goes to another release first. Null: any.
   * For releases that cannot read the state of much older ones.
   */
  minimumVersion: string | null;
  /** Percent of the machines that it is offered to: rollout.ts. */
  rollout: number;
}

export interface Channel {
  schema: 1;
  system: string;
  /** Its name, "stable". A machine that follows one does not take another's file for it. */
  channel: string;
  /** Counts up with every publication: an older file is not taken for the newest (serial.ts). */
  serial: number;
  /** Newest first. No two of one version, image or root hash. */
  releases: Release[];
}

/** A release, and the channel that names it. */
export interface NamedRelease {
  channel: Channel;
  release: Release;
}

/** A channel's file as it was read, once. */
export interface SignedChannel {
  envelope: Envelope;
  channel: Channel;
}

const MOST_IMAGE_SIZE = imageSizeOf({ filesystemSize: MOST_DATA_BLOCKS * BLOCK }, LONGEST_SEAL);
const LEAST_IMAGE_SIZE = imageSizeOf({ filesystemSize: LEAST_DATA_BLOCKS * BLOCK }, 1);

/** The channel's one form: what is signed as the envelope's payload. */
export function encodeChannel(channel: Channel): Uint8Array {
  const releases = [...channel.releases].sort((left, right) => compareVersions(right.version, left.version));
  return new TextEncoder().encode(canonicalJson({ ...channel, releases }));
}

/** The channel in a file's bytes, to the last of them. Signatures are not checked: see ../image/trust.ts. Throws BadInput. */
export function decodeSignedChannel(bytes: Uint8Array): SignedChannel {
  if (bytes.length > LONGEST_CHANNEL) {
    throw new BadInput(`the channel has ${bytes.length} bytes, the most are ${LONGEST_CHANNEL}`);
  }
  const envelope = decodeEnvelope("the channel", PAYLOAD_TYPE.channel, bytes);
  return { envelope, channel: decodeChannel(envelope.payload) };
}

/** The channel in `payload`. Throws BadInput. */
export function decodeChannel(payload: Uint8Array): Channel {
  const what = "the channel";
  const value = parseJson(what, payload);
  if (typeof value === "object" && value !== null && "schema" in value && value.schema !== 1) {
    throw new BadInput(`${what}: schema must be 1, is ${JSON.stringify(value.schema)}; this slipway is older than the channel`);
  }
  const fields = new Fields(value, what, ["schema", "system", "channel", "serial", "releases"]);
  const channel: Channel = {
    schema: fields.oneOf("schema", [1]),
    system: label(fields, "system"),
    channel: label(fields, "channel"),
    serial: fields.integer("serial", 1, Number.MAX_SAFE_INTEGER),
    releases: fields.list("releases").map((entry, index) => release(entry, `${what}: releases[${index}]`)),
  };
  if (channel.releases.length > MOST_RELEASES) fields.fail("releases", `a list of at most ${MOST_RELEASES}`);
  const fault = releasesFault(channel.releases);
  if (fault !== null) throw new BadInput(`${what} ${fault}`);
  if (Buffer.compare(encodeChannel(channel), payload) !== 0) {
    throw new BadInput(
      `${what} is not in its canonical form (RFC 8785 and a newline, newest release first); was it changed or written by something else?`,
    );
  }
  return channel;
}

function release(value: unknown, where: string): Release {
  const fields = new Fields(value, where, [
    "version",
    "image",
    "imageSize",
    "rootHash",
    "rollbackIndex",
    "minimumVersion",
    "rollout",
  ]);
  const imageSize = fields.integer("imageSize", LEAST_IMAGE_SIZE, MOST_IMAGE_SIZE);
  const rootHash = fields.text("rootHash");
  return {
    version: label(fields, "version"),
    image: fields.sound("image", fields.text("image"), imageNameFault),
    imageSize: imageSize % BLOCK === 0 ? imageSize : fields.fail("imageSize", `a multiple of ${BLOCK}`),
    rootHash: /^[0-9a-f]{64}$/.test(rootHash) ? rootHash : fields.fail("rootHash", "64 hex digits"),
    rollbackIndex: fields.integer("rollbackIndex", 0, Number.MAX_SAFE_INTEGER),
    minimumVersion: fields.nullable("minimumVersion", () => label(fields, "minimumVersion")),
    rollout: fields.integer("rollout", 0, 100),
  };
}

function label(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), labelFault);
}

/**
 * Why `name` cannot be an image's in a channel; null where it can. It is put behind the channel's URL or directory as it is:
 * no separator, nothing that a URL escapes, and nothing that begins with a dot.
 */
export function imageNameFault(name: string): string | null {
  if (name.length > LONGEST_IMAGE_NAME) return `has ${name.length} characters, the most are ${LONGEST_IMAGE_NAME}`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._+~-]*$/.test(name)) {
    return `${JSON.stringify(name)} is no plain file name: letters, digits and . _ + ~ - only, a letter or digit first`;
  }
  if (name === CHANNEL_FILE) return `${name} is the channel's own file`;
  return name.endsWith(INDEX_SUFFIX) ? `${name} is the name of an index` : null;
}

/** What makes two releases one; null where nothing does. */
function releasesFault(releases: readonly Release[]): string | null {
  for (const [index, right] of releases.entries()) {
    for (const left of releases.slice(0, index)) {
      if (left.image === right.image) return `has two releases with the image ${left.image}`;
      if (left.rootHash === right.rootHash) return `has two releases with the root hash ${left.rootHash}`;
      if (compareVersions(left.version, right.version) === 0) {
        return `has two releases of which neither is newer: ${left.version} and ${right.version}`;
      }
    }
  }
  return null;
}

/**
 * Why an image that came under a release's name is not the one that the channel names; null where it is. `size` is that of the
 * file. The seal must have been judged for itself.
 */
export function releaseFault({ channel, release }: NamedRelease, manifest: Manifest, size: number): string | null {
  const wanted: [what: string, named: string | number, seen: string | number][] = [
    ["system", channel.system, manifest.system],
    ["version", release.version, manifest.version],
    ["root hash", release.rootHash, manifest.rootHash],
    ["rollback index", release.rollbackIndex, manifest.rollbackIndex],
    ["size", release.imageSize, size],
  ];
  const other = wanted.find(([, named, seen]) => named !== seen);
  if (other === undefined) return null;
  const [what, named, seen] = other;
  return `${release.image} is not the image that channel ${channel.channel} names as ${release.version}: its ${what} is ${seen}, named is ${named}; was the file replaced?`;
}
