import {
  CHANNEL_FILE,
  type Channel,
  decodeSignedChannel,
  LONGEST_CHANNEL,
  type SignedChannel,
} from "../../boot/channel/channel.ts";
import { refuseOtherSystem } from "../../boot/channel/choose-release.ts";
import { judgeEnvelope, type Trust } from "../../boot/image/trust.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { SourceError } from "../converge/source.ts";
import { readBytes } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { NetworkContext } from "../network/context.ts";
import { fetchSmall, NotThere } from "../network/fetch-small.ts";
import type { SourceOptions } from "../network/options.ts";
import { besideChannel, type ChannelPlace } from "./place.ts";

/** Not on this machine: no file, or a directory that is none. */
const MISSING = new Set(["ENOENT", "ENOTDIR"]);

/**
 * The channel's file at a place, as it is; null where there is none. `options` are for a URL.
 *
 * @throws BadInput for what is no URL and options that cannot be used; SourceError where it cannot be had
 */
export async function readChannelFile(
  kernel: Kernel,
  place: ChannelPlace,
  options: SourceOptions,
  context: NetworkContext = {},
): Promise<Uint8Array | null> {
  const file = besideChannel(place, CHANNEL_FILE);
  try {
    if (place.is === "url") return await fetchSmall(file, options, LONGEST_CHANNEL, { kernel, ...context });
    return readBytes(kernel, file, {}, LONGEST_CHANNEL + 1);
  } catch (error) {
    if (error instanceof NotThere) return null;
    if (!(error instanceof KernelError)) throw error;
    if (MISSING.has(error.code)) return null;
    throw new SourceError(`${file} cannot be read (${error.code}); is the medium still there?`);
  }
}

/** The same where there must be one. Throws SourceError where there is none. */
export async function requireChannelFile(...asked: Parameters<typeof readChannelFile>): Promise<Uint8Array> {
  const bytes = await readChannelFile(...asked);
  if (bytes !== null) return bytes;
  const remedy = "is that the directory that slipway publish made? The URL of an image has a dot in its last part";
  throw new SourceError(`${asked[1].name} has no ${CHANNEL_FILE}; ${remedy}`);
}

/** Whose channel is believed, and which one is meant. */
export interface Expected {
  trust: Trust;
  /** The machine's own. */
  system: string;
  /** Null: whatever its name is. */
  channel: string | null;
}

/** A channel that is believed: its signatures are right, and it is the one that is meant, of this system. */
export interface BelievedChannel {
  channel: Channel;
  /** Ids of the keys that signed it. */
  signers: string[];
}

/**
 * The channel in the bytes of a file. `name` is its source's. What it says of serials is not judged: see {@link noteSerial}.
 *
 * @throws SourceError for what is no channel; Refusal where it is not signed as it must be, or is another one than is meant
 */
export async function believeChannel(
  name: string,
  bytes: Uint8Array,
  { trust, system, channel: meant }: Expected,
): Promise<BelievedChannel> {
  const { envelope, channel } = decoded(name, bytes);
  const verdict = await judgeEnvelope(`the channel of ${name}`, envelope, trust);
  if (!verdict.trusted) throw new Refusal(`${verdict.reason}; nothing that it says is believed`);
  refuseOtherSystem(channel, system);
  if (meant !== null && channel.channel !== meant) {
    throw new Refusal(`${name} gives the channel ${channel.channel}, meant is ${meant}; was it put in its place?`);
  }
  return { channel, signers: verdict.signers };
}

function decoded(name: string, bytes: Uint8Array): SignedChannel {
  try {
    return decodeSignedChannel(bytes);
  } catch (error) {
    throw error instanceof BadInput ? new SourceError(`${name}: ${error.message}`) : error;
  }
}
