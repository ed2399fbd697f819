import { type Channel, encodeChannel, type Release } from "../../../boot/channel/channel.ts";
import { nextChannel, type Publication } from "../../../boot/channel/publication.ts";
import { PAYLOAD_TYPE } from "../../../boot/image/envelope.ts";
import { type PublicKey, readPublicKeyPem } from "../../../boot/image/keys.ts";
import { labelFault } from "../../../boot/image/seal.ts";
import type { Trust } from "../../../boot/image/trust.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { table } from "../../commands/text.ts";
import { flag, type OptionValues, text, texts, type Verb } from "../../commands/verb.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { readTextInput } from "../input.ts";
import { passphrasesFrom } from "../keys/passphrase.ts";
import { readSigningKeys, type SigningKey, signEnvelope } from "../keys/signing-key.ts";
import {
  channelDirectory,
  isThere,
  putChannel,
  readPublished,
  refuseKeysInside,
  removeReleases,
  strangers,
  withChannelLock,
} from "./directory.ts";
import { type OfferedImage, putImage, readOffered } from "./images.ts";

export const verb: Verb = {
  help: `
Usage: slipway publish DIR [IMAGE…] --channel NAME --key KEY… [OPTION]…

Makes DIR a channel, or renews the one that it is: a directory for any web server that knows range requests, with the images,
an index (.idx) of each, and channel.json, the signed list of what is offered. Every renewal counts the channel's serial up;
machines refuse a lower one than they saw. Images are copied as SYSTEM-VERSION.img and read against their hash trees; what is
offered already stays until it is withdrawn. channel.json is written last, so that machines see the old list or the new one.

Options:
  --channel NAME                 name of the channel, "stable"; needed for a new one
  --key FILE                     private key to sign with, repeated: as many as the machines' threshold asks for
  --passphrase-file FILE         passphrase of an encrypted key, in its first line; asked for on a terminal if absent
  --unsigned                     sign with no key: only machines with trust: unsigned take it
  --trust PUBLIC_KEY             other key whose signature under an image, or under the channel as it is, is believed; repeated
  --rollout VERSION=PERCENT      offer a release to that share of the machines only (default: 100); repeated
  --minimum-version VERSION=V    offer it only to machines that run V at least; "VERSION=" for any (the default); repeated
  --withdraw VERSION             offer it no more, and remove its files; repeated
  --keep N                       withdraw all but the N newest
  --serial N                     where the last serial is lost: a higher one than machines saw
  --quick                        do not read the images against their hash trees
  --json                         print one JSON object: directory, channel, system, serial, signers, releases, published,
                                 withdrawn, warnings

Versions compare as "systemd-analyze compare-versions" says: 1.9 is below 1.10, 2.0~rc1 below 2.0, and 2.0-1 above it.`,
  options: {
    channel: { type: "string" },
    key: { type: "string", multiple: true },
    "passphrase-file": { type: "string", multiple: true },
    unsigned: { type: "boolean" },
    trust: { type: "string", multiple: true },
    rollout: { type: "string", multiple: true },
    "minimum-version": { type: "string", multiple: true },
    withdraw: { type: "string", multiple: true },
    keep: { type: "string" },
    serial: { type: "string" },
    quick: { type: "boolean" },
    json: { type: "boolean" },
  },
  positionals: ["DIR", "IMAGE…"],
  async run(values, [directory = "", ...files]) {
    const published = await publish(linuxKernel(), directory, files, values);
    if (flag(values, "json")) console.log(JSON.stringify({ schema: 1, ...published }));
    else print(published);
    return 0;
  },
};

export interface Published {
  directory: string;
  channel: string;
  system: string;
  serial: number;
  /** Ids of the keys that signed. */
  signers: string[];
  releases: Release[];
  /** Versions whose images were copied. */
  published: string[];
  /** Versions that are offered no more. */
  withdrawn: string[];
  warnings: string[];
}

/** Makes or renews a channel. `values` are the options of the verb. */
export async function publish(kernel: Kernel, named: string, files: readonly string[], values: OptionValues): Promise<Published> {
  const orders = readOrders(values);
  const { keys, trust } = await readKeys(values);
  const directory = channelDirectory(named);
  refuseKeysInside(directory, texts(values, "key"));
  return withChannelLock(kernel, directory, async () => {
    const current = await readPublished(directory, trust);
    const images: OfferedImage[] = [];
    for (const file of files) images.push(await readOffered(kernel, file, trust));
    const asked = { ...orders, images: images.map(({ release }) => release), system: systemOf(images) };
    const { channel, withdrawn } = nextChannel(current, asked);
    const published: string[] = [];
    for (const image of images) {
      const release = releaseIn(channel, image);
      if (current?.releases.some(({ version }) => version === release.version) && isThere(directory, release)) continue;
      await putImage(kernel, image, directory, { trust, prove: !flag(values, "quick") });
      published.push(release.version);
    }
    const missing = channel.releases.find((release) => !isThere(directory, release));
    if (missing !== undefined) {
      throw new BadInput(
        `${directory} lacks ${missing.image} or its index; give the image again, or --withdraw ${missing.version}`,
      );
    }
    await putChannel(directory, signEnvelope(PAYLOAD_TYPE.channel, encodeChannel(channel), keys));
    removeReleases(kernel, directory, withdrawn);
    const { schema: _, channel: name, ...rest } = channel;
    return {
      directory,
      channel: name,
      ...rest,
      signers: keys.map(({ key }) => key.id),
      published,
      withdrawn: withdrawn.map(({ version }) => version),
      warnings: strangers(directory, channel).map((stranger) => `${directory}/${stranger} is no part of the channel, and served`),
    };
  });
}

function releaseIn({ releases }: Channel, { release }: OfferedImage): Release {
  const found = releases.find(({ version }) => version === release.version);
  if (found === undefined) throw new RangeError(`${release.version} is not in the channel`);
  return found;
}

function systemOf(images: readonly OfferedImage[]): string | null {
  const [first, ...others] = images;
  const other = others.find(({ manifest }) => manifest.system !== first?.manifest.system);
  if (other !== undefined) {
    throw new BadInput(
      `${first?.file} is for the system ${first?.manifest.system}, ${other.file} for ${other.manifest.system}; a channel has one`,
    );
  }
  return first?.manifest.system ?? null;
}

async function readKeys(values: OptionValues): Promise<{ keys: SigningKey[]; trust: Trust }> {
  const unsigned = flag(values, "unsigned");
  const files = texts(values, "key");
  if (unsigned && files.length > 0) throw new BadInput("--unsigned and --key are given; do one of them");
  if (unsigned) return { keys: [], trust: { mode: "unsigned" } };
  if (files.length === 0) throw new BadInput("--key is missing; it names the private key to sign the channel with");
  const keys = await readSigningKeys(files, passphrasesFrom(texts(values, "passphrase-file")));
  const others: PublicKey[] = texts(values, "trust").map((file) => {
    const what = `--trust ${file}`;
    return readPublicKeyPem(what, readTextInput(what, file));
  });
  return { keys, trust: { mode: "signed", keys: [...keys.map(({ key }) => key), ...others], threshold: 1 } };
}

function readOrders(values: OptionValues): Omit<Publication, "images" | "system"> {
  const channel = text(values, "channel") ?? null;
  const fault = channel === null ? null : labelFault(channel);
  if (fault !== null) throw new BadInput(`--channel ${channel} ${fault}`);
  return {
    channel,
    withdraw: texts(values, "withdraw"),
    keep: wholeNumber(values, "keep", 1),
    rollout: byVersion(values, "rollout", (what, share) => {
      if (!/^([0-9]{1,2}|100)$/.test(share)) throw new BadInput(`${what}: a share is a whole number of percent from 0 to 100`);
      return Number(share);
    }),
    minimumVersion: byVersion(values, "minimum-version", (what, minimum) => {
      const wrong = minimum === "" ? null : labelFault(minimum);
      if (wrong !== null) throw new BadInput(`${what}: the version ${wrong}`);
      return minimum === "" ? null : minimum;
    }),
    serial: wholeNumber(values, "serial", 1),
  };
}

function byVersion<Value>(values: OptionValues, name: string, read: (what: string, value: string) => Value): Map<string, Value> {
  const found = new Map<string, Value>();
  for (const given of texts(values, name)) {
    const what = `--${name} ${given}`;
    const [, version, value] = /^([^=]+)=(.*)$/s.exec(given) ?? [];
    if (version === undefined || value === undefined) throw new BadInput(`${what} is not VERSION=VALUE`);
    if (found.has(version)) throw new BadInput(`--${name} is given twice for ${version}`);
    found.set(version, read(what, value));
  }
  return found;
}

function wholeNumber(values: OptionValues, name: string, least: number): number | null {
  const given = text(values, name);
  if (given === undefined) return null;
  const number = /^[0-9]+$/.test(given) ? Number(given) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < least) {
    throw new BadInput(`--${name} ${given} is no whole number from ${least} to ${Number.MAX_SAFE_INTEGER}`);
  }
  return number;
}

function print({ directory, channel, system, serial, signers, releases, published, withdrawn, warnings }: Published): void {
  const by = signers.length === 0 ? "unsigned" : `signed by ${signers.map((id) => id.slice(0, 12)).join(", ")}`;
  console.log(`${directory}: channel ${channel} of ${system}, serial ${serial}, ${by}`);
  const rows = releases.map((release) => [
    `  ${release.version}`,
    release.image,
    sizeText(release.imageSize),
    release.rollout === 100 ? "all machines" : `${release.rollout} % of the machines`,
    release.minimumVersion === null ? "" : `from ${release.minimumVersion}`,
    published.includes(release.version) ? "new" : "",
  ]);
  for (const line of table(rows, (cell) => cell)) console.log(line);
  if (withdrawn.length > 0) console.log(`Withdrawn: ${withdrawn.join(", ")}`);
  for (const warning of warnings) console.error(`Warning: ${warning}`);
  console.log(`Next: serve ${directory}; a machine asks with slipway check URL.`);
}
