import { type ImageSource, SourceError } from "../converge/source.ts";
import type { SourceOptions } from "./options.ts";

/**
 * The image at an `http:` or `https:` URL. Nothing is asked of the server before the first call.
 *
 * @throws BadInput for what is no such URL, one with a user or password in it, and files of `options` that cannot be used
 */
export function openHttpSource(url: string, _options: SourceOptions): ImageSource {
  throw new SourceError(`${url} cannot be fetched: this version has no network source yet`);
}
