/** Where a channel lies, by what people give as a source: a URL, a directory, or the channel's file itself. */
import { CHANNEL_FILE } from "../../boot/channel/channel.ts";
import { sourceUrl } from "../../boot/network/source-url.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { localPath } from "../converge/local-path.ts";

export interface ChannelPlace {
  is: "url" | "path";
  /** Of the directory, without a slash at its end. */
  base: string;
  /** Behind the names of files in a URL: "?…"; empty for a path. */
  query: string;
  /** As messages name it, with nothing secret in it. */
  name: string;
}

/** Whether a source is fetched over the network. */
export function isUrl(source: string): boolean {
  return /^https?:/i.test(source);
}

/** The place of the channel that `source` would be. Throws BadInput. */
export function channelPlace(source: string): ChannelPlace {
  if (source === "") throw new BadInput("SOURCE is empty; give the URL or the directory of a channel");
  if (!isUrl(source)) return { is: "path", base: directoryOf(localPath(source)), query: "", name: source };
  const { name } = sourceUrl(source);
  const { origin, pathname, search } = new URL(source);
  return { is: "url", base: `${origin}${directoryOf(pathname)}`, query: search, name };
}

/** The directory that a path names itself, or by the channel's file in it. Empty for the topmost one. */
function directoryOf(path: string): string {
  const plain = path.replace(/\/+$/, "");
  if (plain === CHANNEL_FILE) return ".";
  return plain.endsWith(`/${CHANNEL_FILE}`) ? plain.slice(0, -CHANNEL_FILE.length).replace(/\/+$/, "") : plain;
}

/**
 * Whether a URL is a channel's and not an image's: its last part is {@link CHANNEL_FILE}, empty, or has no dot. What the server
 * says must not decide that: one that denies a channel could hand out an old image in its place.
 */
export function isChannelUrl(source: string): boolean {
  const last = new URL(source).pathname.split("/").at(-1) ?? "";
  return last === CHANNEL_FILE || !last.includes(".");
}

/** A file beside the channel's. */
export function besideChannel({ base, query }: ChannelPlace, file: string): string {
  return `${base}/${file}${query}`;
}
