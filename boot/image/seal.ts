/**
 * The seal of a system image: a signed manifest that names the root hash and all that is needed to check and use the image.
 * Its bytes are a DSSE envelope (envelope.ts) in canonical form; verity parameters come from it alone.
 */

import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { Fields } from "../../state-ops/fields.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { type Architecture, architectures } from "../architecture.ts";
import { decodeEnvelope, type Envelope, PAYLOAD_TYPE, parseJson } from "./envelope.ts";
import { BLOCK, encodeVeritySuperblock, LEAST_DATA_BLOCKS, MOST_DATA_BLOCKS, saltOf, treeBlocks } from "./verity.ts";

/** Filesystems that a system image may have. */
export const IMAGE_FILESYSTEMS = ["erofs", "squashfs", "ext4", "xfs", "btrfs"] as const;
export type ImageFilesystem = (typeof IMAGE_FILESYSTEMS)[number];

/** No seal is longer, in bytes: what looks for one reads no more. */
export const LONGEST_SEAL = 64 * 1024;

/** What the image asks of the initrd that boots it. */
export interface Needs {
  /** The control file format (its `schema`) that the image's control file is written in. */
  controlFormat: number;
  /** By name, sorted: abilities of the initrd ({@link FEATURES}), and the architecture of the image's programs where it is known. */
  features: string[];
}

/** Abilities that a seal may ask for and this version has on every machine. */
export const FEATURES: readonly string[] = [];
/** The control file format that this version reads. */
export const CONTROL_FORMAT = 1;

/** The manifest. Sizes are bytes. */
export interface Manifest {
  schema: 1;
  /** The product: an image for another system is refused. */
  system: string;
  /** What people call this image: "2026.11.2". */
  version: string;
  filesystem: ImageFilesystem;
  /** Of the filesystem with its padding, a multiple of {@link BLOCK}: where the verity superblock lies. */
  filesystemSize: number;
  /** 64 hex digits. It is the image's id too. */
  rootHash: string;
  /** In hex, 1 to 256 bytes. */
  salt: string;
  /** Counts up with releases that must not be undone. */
  rollbackIndex: number;
  /** Once this image is committed, nothing with a lower rollback index boots any more; null leaves that alone. */
  revokesBelow: number | null;
  needs: Needs;
  /** PKCS#7 signature (DER, base64) over the root hash's hex digits, for a kernel that checks it; null without one. */
  kernelSignature: string | null;
}

/** Where the parts of an image lie, in bytes from its start. All are multiples of {@link BLOCK}. */
export interface ImageLayout {
  dataBlocks: number;
  /** Of the verity superblock: what `veritysetup --hash-offset` takes. */
  hashOffset: number;
  /** Of the tree's first block. */
  treeOffset: number;
  treeBlocks: number;
  sealOffset: number;
}

/** The layout that a manifest says. */
export function layoutOf({ filesystemSize }: Pick<Manifest, "filesystemSize">): ImageLayout {
  const dataBlocks = filesystemSize / BLOCK;
  const treeOffset = filesystemSize + BLOCK;
  const blocks = treeBlocks(dataBlocks);
  return { dataBlocks, hashOffset: filesystemSize, treeOffset, treeBlocks: blocks, sealOffset: treeOffset + blocks * BLOCK };
}

/** Bytes that a seal of `sealLength` bytes takes, with its padding. */
export function paddedSealLength(sealLength: number): number {
  return Math.ceil(sealLength / BLOCK) * BLOCK;
}

/** Bytes of the whole image: what a file of it has, and the least that a slot must have. */
export function imageSizeOf(manifest: Pick<Manifest, "filesystemSize">, sealLength: number): number {
  return layoutOf(manifest).sealOffset + paddedSealLength(sealLength) + BLOCK;
}

/** The block of the verity superblock that belongs to a manifest, to the last byte. */
export function superblockOf(manifest: Manifest): Uint8Array {
  return encodeVeritySuperblock({
    uuid: Uint8Array.fromHex(manifest.rootHash.slice(0, 32)),
    dataBlocks: manifest.filesystemSize / BLOCK,
    salt: Uint8Array.fromHex(manifest.salt),
  });
}

/** A seal as it was read, once: only these bytes are used from then on. */
export interface Seal {
  bytes: Uint8Array;
  envelope: Envelope;
  manifest: Manifest;
}

/** The manifest's one form: what is signed as the envelope's payload. */
export function encodeManifest(manifest: Manifest): Uint8Array {
  return new TextEncoder().encode(canonicalJson(manifest));
}

/** The seal in `bytes`, to the last of them. Signatures are not checked: see trust.ts. Throws BadInput. */
export function decodeSeal(bytes: Uint8Array): Seal {
  if (bytes.length > LONGEST_SEAL) throw new BadInput(`the seal has ${bytes.length} bytes, the most are ${LONGEST_SEAL}`);
  const envelope = decodeEnvelope("the seal", PAYLOAD_TYPE.seal, bytes);
  const manifest = decodeManifest(envelope.payload);
  return { bytes, envelope, manifest };
}

/** The manifest in `payload`. Throws BadInput. */
export function decodeManifest(payload: Uint8Array): Manifest {
  const what = "the seal's manifest";
  const value = parseJson(what, payload);
  if (typeof value === "object" && value !== null && "schema" in value && value.schema !== 1) {
    throw new BadInput(`${what}: schema must be 1, is ${JSON.stringify(value.schema)}; this slipway is older than the image`);
  }
  const fields = new Fields(value, what, [
    "schema",
    "system",
    "version",
    "filesystem",
    "filesystemSize",
    "rootHash",
    "salt",
    "rollbackIndex",
    "revokesBelow",
    "needs",
    "kernelSignature",
  ]);
  const filesystemSize = fields.integer("filesystemSize", LEAST_DATA_BLOCKS * BLOCK, MOST_DATA_BLOCKS * BLOCK);
  if (filesystemSize % BLOCK !== 0) fields.fail("filesystemSize", `a multiple of ${BLOCK}`);
  const rollbackIndex = fields.integer("rollbackIndex", 0, Number.MAX_SAFE_INTEGER);
  const manifest: Manifest = {
    schema: fields.oneOf("schema", [1]),
    system: label(fields, "system"),
    version: label(fields, "version"),
    filesystem: fields.oneOf("filesystem", IMAGE_FILESYSTEMS),
    filesystemSize,
    rootHash: hex(fields, "rootHash", 32, 32),
    salt: hex(fields, "salt", 1, 256),
    rollbackIndex,
    revokesBelow: fields.nullable("revokesBelow", () => fields.integer("revokesBelow", 0, rollbackIndex)),
    needs: needs(fields.object("needs", ["controlFormat", "features"])),
    kernelSignature: fields.nullable("kernelSignature", () => kernelSignature(fields)),
  };
  if (manifest.salt !== saltOf(manifest.system).toHex()) {
    throw new BadInput(`${what}: salt is not the one of the system ${manifest.system}; seal the image with slipway image seal`);
  }
  if (Buffer.compare(encodeManifest(manifest), payload) !== 0) {
    throw new BadInput(
      `${what} is not in its canonical form (RFC 8785 and a newline); was it changed or written by something else?`,
    );
  }
  return manifest;
}

/** Longest name of a system or version. */
const LONGEST_LABEL = 64;

/** Why `text` is no name of a system or version; null where it is one. */
export function labelFault(text: string): string | null {
  if (text.length > LONGEST_LABEL) return `has ${text.length} characters, the most are ${LONGEST_LABEL}`;
  return /^[A-Za-z0-9][A-Za-z0-9._+~-]*$/.test(text)
    ? null
    : "may have letters, digits and . _ + ~ - only, a letter or digit first";
}

function label(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), labelFault);
}

function hex(fields: Fields, key: string, least: number, most: number): string {
  const text = fields.text(key);
  const whole = /^([0-9a-f]{2})+$/.test(text) && text.length >= 2 * least && text.length <= 2 * most;
  return whole ? text : fields.fail(key, least === most ? `${2 * most} hex digits` : `${2 * least} to ${2 * most} hex digits`);
}

/** Base64 in its one form: of any text, some could not be encoded again (a lone surrogate). */
function kernelSignature(fields: Fields): string {
  const text = fields.text("kernelSignature");
  const whole = /^[A-Za-z0-9+/]+={0,2}$/.test(text) && Buffer.from(text, "base64").toString("base64") === text;
  return whole ? text : fields.fail("kernelSignature", "base64");
}

function needs(fields: Fields): Needs {
  const features = fields.list("features").map((entry) => {
    const sound = typeof entry === "string" && labelFault(entry) === null;
    return sound ? entry : fields.fail("features", "a list of names");
  });
  const ascends = features.every((feature, index) => index === 0 || (features[index - 1] ?? "") < feature);
  if (!ascends) fields.fail("features", "a sorted list of different names");
  return { controlFormat: fields.integer("controlFormat", 1, Number.MAX_SAFE_INTEGER), features };
}

/** The architecture that an image's programs are for; null where its seal does not say. */
export function neededArchitecture(needs: Needs): Architecture | null {
  return architectures.find((architecture) => needs.features.includes(architecture)) ?? null;
}

/** What an image of this version needs whose programs are for `architecture`, null where that is not known. */
export function needsOf(architecture: Architecture | null): Needs {
  return { controlFormat: CONTROL_FORMAT, features: architecture === null ? [] : [architecture] };
}

/** Why an initrd with these abilities cannot boot an image with these needs; null where it can. */
export function unmetNeed(needs: Needs, has: { controlFormat: number; features: readonly string[] }): string | null {
  if (needs.controlFormat > has.controlFormat) {
    return `it needs control file format ${needs.controlFormat}, this initrd reads ${has.controlFormat}; renew the initrd first`;
  }
  const [missing] = needs.features.filter((feature) => !has.features.includes(feature));
  const machine = architectures.find((architecture) => has.features.includes(architecture));
  if (machine !== undefined && missing !== undefined && missing === neededArchitecture(needs)) {
    return `its programs are for ${missing}, and this machine is ${machine}; take the image for ${machine}`;
  }
  return missing === undefined ? null : `it needs the feature ${missing}, which this initrd has not; renew the initrd first`;
}
