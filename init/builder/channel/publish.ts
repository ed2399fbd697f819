import { type Channel, encodeChannel, type Release } from "../../../boot/channel/channel.ts";
import { nextChannel } from "../../../boot/channel/publication.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { table } from "../../commands/text.ts";
import { flag, type OptionValues, texts, type Verb } from "../../commands/verb.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
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
import { holdsImage, type OfferedImage, putImage, readOffered } from "./images.ts";
import { refuseTwoArchitectures } from "./one-architecture.ts";
import { readOrders } from "./orders.ts";
import { readSigning } from "./signing.ts";

export const verb: Verb = {
  help: `
Usage: slipway publish DIR [IMAGE…] --channel NAME --key KEY… [OPTION]…

Makes DIR a channel, or renews the one that it is: a directory for any web server that knows range requests, with the images,
an index (.idx) of each, and channel.json, the signed list of what is offered. Every renewal counts the channel's serial up;
machines refuse a lower one than they saw. Images are copied as SYSTEM-VERSION.img and read against their hash trees; what is
offered already stays until it is withdrawn, and is copied again where it is given and its copy is damaged, or has other
signatures. All are for one architecture, as far as they say it. channel.json is written last, so that machines see the old list or the new one.

Options:
  --channel NAME                 name of the channel, "stable"; needed for a new one
  --key FILE                     private key to sign with, repeated: as many as the machines' threshold asks for
  --passphrase-file FILE         passphrase of an encrypted key, in its first line; asked for on a terminal if absent
  --unsigned                     sign with no key: only machines with trust: unsigned take it
  --payload FILE                 do not renew the list yet: write what is to be signed to FILE, for keys that are elsewhere:
                                 openssl pkeyutl -sign -rawin -inkey KEY.pem -in FILE -out SIGNATURE
  --public-key FILE, --signature FILE
                                 key and signature that were made so; the other options as with --payload. Repeated in pairs
  --trust PUBLIC_KEY             other key whose signature under an image, or under the channel as it is, is believed; repeated
  --rollout VERSION=PERCENT      offer a release to that share of the machines only (default: 100); repeated
  --minimum-version VERSION=V    offer it only to machines that run V at least; "VERSION=" for any (the default); repeated
  --withdraw VERSION             offer it no more, and remove its files; repeated
  --keep N                       withdraw all but the N newest
  --serial N                     where the last serial is lost: a higher one than machines saw
  --quick                        do not read the images against their hash trees
  --json                         print one JSON object: directory, channel, system, serial, signers, renewed, releases,
                                 published, withdrawn, warnings

Versions compare as "systemd-analyze compare-versions" says: 1.9 is below 1.10, 2.0~rc1 below 2.0, and 2.0-1 above it.`,
  options: {
    channel: { type: "string" },
    key: { type: "string", multiple: true },
    "passphrase-file": { type: "string", multiple: true },
    unsigned: { type: "boolean" },
    payload: { type: "string" },
    "public-key": { type: "string", multiple: true },
    signature: { type: "string", multiple: true },
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
  /** Whether machines see it; not where it is still to be signed elsewhere. */
  renewed: boolean;
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
  const { trust, signers, sign } = await readSigning(values);
  const directory = channelDirectory(named);
  refuseKeysInside(directory, texts(values, "key"));
  return withChannelLock(kernel, directory, async () => {
    const current = await readPublished(directory, trust);
    const images: OfferedImage[] = [];
    for (const file of files) images.push(await readOffered(kernel, file, trust));
    const asked = { ...orders, images: images.map(({ release }) => release), system: systemOf(images) };
    const { channel, withdrawn } = nextChannel(current, asked);
    await refuseTwoArchitectures(kernel, directory, channel, images);
    const published: string[] = [];
    for (const image of images) {
      const release = releaseIn(channel, image);
      const care = { trust, prove: !flag(values, "quick") };
      const isOffered = current?.releases.some(({ version }) => version === release.version) === true;
      if (isOffered && (await holdsImage(kernel, image, directory, care))) continue;
      await putImage(kernel, image, directory, care);
      published.push(release.version);
    }
    const missing = channel.releases.find((release) => !isThere(directory, release));
    if (missing !== undefined) {
      throw new BadInput(
        `${directory} lacks ${missing.image} or its index; give the image again, or --withdraw ${missing.version}`,
      );
    }
    const bytes = await sign(encodeChannel(channel));
    if (bytes !== null) {
      await putChannel(directory, bytes);
      removeReleases(kernel, directory, withdrawn);
    }
    const { schema: _, channel: name, ...rest } = channel;
    return {
      directory,
      channel: name,
      ...rest,
      signers,
      renewed: bytes !== null,
      published,
      withdrawn: withdrawn.map(({ version }) => version),
      warnings: strangers(directory, bytes === null ? [...channel.releases, ...withdrawn] : channel.releases).map(
        (stranger) => `${directory}/${stranger} is no part of the channel, and served`,
      ),
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

function print({ directory, channel, system, serial, signers, renewed, releases, ...rest }: Published): void {
  const by = signers.length === 0 ? "unsigned" : `signed by ${signers.map((id) => id.slice(0, 12)).join(", ")}`;
  console.log(`${directory}: channel ${channel} of ${system}, serial ${serial}, ${renewed ? by : "to be signed"}`);
  const rows = releases.map((release) => [
    `  ${release.version}`,
    release.image,
    sizeText(release.imageSize),
    release.rollout === 100 ? "all machines" : `${release.rollout} % of the machines`,
    release.minimumVersion === null ? "" : `from ${release.minimumVersion}`,
    rest.published.includes(release.version) ? "new" : "",
  ]);
  for (const line of table(rows, (cell) => cell)) console.log(line);
  if (rest.withdrawn.length > 0) console.log(`Withdrawn: ${rest.withdrawn.join(", ")}`);
  for (const warning of rest.warnings) console.error(`Warning: ${warning}`);
  console.log(
    renewed
      ? `Next: serve ${directory}; a machine asks with slipway check URL.`
      : "Next: sign it, then run this again with --public-key and --signature instead of --payload.",
  );
}
