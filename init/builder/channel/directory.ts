/** The directory that a channel is served from: {@link CHANNEL_FILE}, the images that it names, their indexes, and nothing else. */
import { chmodSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  CHANNEL_FILE,
  type Channel,
  decodeSignedChannel,
  INDEX_SUFFIX,
  LONGEST_CHANNEL,
  type Release,
} from "../../../boot/channel/channel.ts";
import { judgeEnvelope, type Trust } from "../../../boot/image/trust.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { readInput, reasonOf, regularFile } from "../input.ts";
import { replaceFile, writePieces } from "../output.ts";

/** Scratch directories as replaceFile makes them; none is in use by whoever holds the lock. */
const SCRATCH = /^\.slipway-[A-Za-z0-9]{6}$/;

/** The path of `directory`, made where it is missing. @throws BadInput */
export function channelDirectory(directory: string): string {
  if (!existsSync(directory)) {
    try {
      mkdirSync(directory);
    } catch (error) {
      throw new BadInput(`${directory} cannot be made: ${reasonOf(error)}`);
    }
  }
  if (!statSync(directory).isDirectory()) throw new BadInput(`${directory} is no directory; name the one to serve`);
  return realpathSync(directory);
}

/** A private key that a web server hands out is no key any more. @throws BadInput */
export function refuseKeysInside(directory: string, keyFiles: readonly string[]): void {
  for (const file of keyFiles) {
    if (existsSync(file) && `${realpathSync(file)}/`.startsWith(`${directory}/`)) {
      throw new BadInput(`--key ${file} lies in ${directory}, which is served to everybody; move it away`);
    }
  }
}

/** Runs `work` while nobody else publishes there: a flock on the directory itself. @throws Refusal */
export async function withChannelLock<Result>(kernel: Kernel, directory: string, work: () => Promise<Result>): Promise<Result> {
  const fd = kernel.open(directory, O.RDONLY | O.DIRECTORY);
  try {
    if (!kernel.lock(fd)) throw new Refusal(`somebody else publishes to ${directory} now; wait for it to end`);
    for (const name of readdirSync(directory)) {
      if (SCRATCH.test(name)) rmSync(join(directory, name), { recursive: true });
    }
    return await work();
  } finally {
    kernel.close(fd);
  }
}

/** The channel that the directory holds, by one of the keys in `trust`; null where there is none yet. @throws BadInput */
export async function readPublished(directory: string, trust: Trust): Promise<Channel | null> {
  const path = join(directory, CHANNEL_FILE);
  if (!existsSync(path)) return null;
  const { size } = regularFile(path, path);
  if (size > LONGEST_CHANNEL) throw new BadInput(`${path} has ${size} bytes, a channel has ${LONGEST_CHANNEL} at most`);
  const { envelope, channel } = decodeSignedChannel(readInput(path, path));
  const verdict = await judgeEnvelope(path, envelope, trust);
  if (verdict.trusted) return channel;
  throw new BadInput(`${verdict.reason}; give the public key of its publisher with --trust`);
}

/** Puts a file that `write` makes under its name, whole and synced, and readable by any server. */
export async function putFile(path: string, write: (file: string) => Promise<void> | void): Promise<void> {
  await replaceFile(path, async (file) => {
    await write(file);
    chmodSync(file, 0o644);
  });
}

/** Puts the channel's file there: from then on machines see what it says. */
export async function putChannel(directory: string, bytes: Uint8Array): Promise<void> {
  await putFile(join(directory, CHANNEL_FILE), (file) => writePieces(file, [bytes]));
}

/** Removes the files of releases that the channel does not name any more. */
export function removeReleases(kernel: Kernel, directory: string, releases: readonly Release[]): void {
  for (const { image } of releases) {
    for (const name of [image, `${image}${INDEX_SUFFIX}`]) rmSync(join(directory, name), { force: true });
  }
  withOpen(kernel, directory, O.RDONLY | O.DIRECTORY, (fd) => kernel.sync(fd));
}

/** Whether image and index of a release lie there, of the right size. */
export function isThere(directory: string, { image, imageSize }: Release): boolean {
  const size = (name: string) => statSync(join(directory, name), { throwIfNoEntry: false })?.size;
  return size(image) === imageSize && size(`${image}${INDEX_SUFFIX}`) !== undefined;
}

/** What lies in the directory beside the channel's file and the releases' files. */
export function strangers(directory: string, releases: readonly Release[]): string[] {
  const own = new Set([CHANNEL_FILE, ...releases.flatMap(({ image }) => [image, `${image}${INDEX_SUFFIX}`])]);
  return readdirSync(directory).filter((name) => !own.has(name));
}
