import { SourceError } from "../converge/source.ts";
import type { SourceOptions } from "./options.ts";

/** The server says that there is nothing at this URL: 404 or 410. */
export class NotThere extends SourceError {}

/**
 * All bytes at `url`, with the same care and retries as an image: a channel, an index.
 *
 * @throws BadInput as openHttpSource does; SourceError where they are more than `limitBytes` or cannot be had; NotThere
 */
export async function fetchSmall(url: string, _options: SourceOptions, limitBytes: number): Promise<Uint8Array> {
  throw new SourceError(`${url} (at most ${limitBytes} bytes) cannot be fetched: this version has no network source yet`);
}
