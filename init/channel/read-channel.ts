import { CHANNEL_FILE, LONGEST_CHANNEL } from "../../boot/channel/channel.ts";
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
