import type { FileVersion } from "../../boot/network/judge-answer.ts";
import { type SourceUrl, sourceUrl } from "../../boot/network/source-url.ts";
import { type ByteRange, type ImageSource, type Sink, SourceError } from "../converge/source.ts";
import { Attempts } from "./attempts.ts";
import { Client } from "./client.ts";
import type { NetworkContext } from "./context.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { fetchIndex, type ImageIndex } from "./index-file.ts";
import { LIMITS } from "./limits.ts";
import type { SourceOptions } from "./options.ts";
import { RangeFetch } from "./range-fetch.ts";
import { type StreamedFile, StreamFetch } from "./stream-fetch.ts";
import { Trouble } from "./trouble.ts";

/** How the server serves the image, found out by asking once. */
type Way =
  | { by: "ranges"; size: number; known: FileVersion }
  /** Ranges are not answered, or wrongly: seal and tree come from the index, the rest from one pass over the image. */
  | { by: "stream"; index: ImageIndex; image: StreamFetch; tree: StreamFetch };

/**
 * The image at an `http:` or `https:` URL. Nothing is asked of the server before the first call.
 *
 * @throws BadInput for what is no such URL, one with a user or password in it, and files of `options` that cannot be used
 */
export function openHttpSource(url: string, options: SourceOptions, context: NetworkContext = {}): ImageSource {
  const place = sourceUrl(url);
  return new HttpSource(place, readIdentity(options, place, context), context);
}

class HttpSource implements ImageSource {
  readonly name: string;
  readonly #client: Client;
  readonly #attempts: Attempts;
  readonly #abort = new AbortController();
  #way: Promise<Way> | null = null;

  constructor(url: SourceUrl, identity: Identity, { told = () => {}, limits = LIMITS, signal }: NetworkContext) {
    this.name = url.name;
    this.#client = new Client(url, identity, limits, told);
    this.#attempts = new Attempts(this.#client, limits, told);
    signal?.addEventListener("abort", () => this.close());
  }

  get transferred(): number {
    return this.#client.transferred;
  }

  async size(): Promise<number> {
    const way = await this.#findWay();
    return way.by === "ranges" ? way.size : way.index.imageSize;
  }

  async read(range: ByteRange): Promise<Uint8Array> {
    const way = await this.#findWay();
    const held = way.by === "stream" ? way.index.held(range) : null;
    if (held?.length === range.length) return held;
    const bytes = new Uint8Array(range.length);
    await this.fetch([range], (offset, piece) => bytes.set(piece, offset - range.offset));
    return bytes;
  }

  async fetch(ranges: readonly ByteRange[], sink: Sink): Promise<void> {
    const way = await this.#findWay();
    const size = await this.size();
    let end = 0;
    for (const range of ranges) {
      if (range.offset < end || range.offset + range.length > size) {
        throw new SourceError(`${this.name} has ${size} bytes, none at ${range.offset}+${range.length} behind ${end}`);
      }
      end = range.offset + range.length;
    }
    const wanted = ranges.filter(({ length }) => length > 0);
    const { signal } = this.#abort;
    if (way.by === "ranges") return new RangeFetch(this.#attempts, way.known, wanted, sink).run(signal);
    await way.image.fetch(cut(wanted, 0, way.index.base), sink, signal);
    await this.#fetchIndexed(way.index, way.tree, cut(wanted, way.index.base, size), sink);
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#client.interrupt();
  }

  async #fetchIndexed(index: ImageIndex, tree: StreamFetch, ranges: readonly ByteRange[], sink: Sink): Promise<void> {
    const missing: ByteRange[] = [];
    for (const range of ranges) {
      const held = index.held(range);
      if (held === null) missing.push(range);
      else await sink(range.offset, held);
    }
    await tree.fetch(missing, sink, this.#abort.signal);
  }

  #findWay(): Promise<Way> {
    this.#way ??= this.#askWay().catch((error: unknown) => {
      this.#way = null; // a later call may find the server better
      throw error;
    });
    return this.#way;
  }

  async #askWay(): Promise<Way> {
    const client = this.#client;
    const { signal } = this.#abort;
    const seen = await this.#attempts.run(this.name, signal, async () => {
      const reply = await client.ask("", { first: 0, last: 0 }, null);
      if (reply.is === "unfit") return null;
      if (reply.is === "beyond") throw new Trouble("stop", "has no bytes; is it the image?");
      if (reply.is === "whole") {
        client.release(reply.answer);
        return { ranges: false, version: reply.version };
      }
      const answer = client.answerIn(reply);
      try {
        for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) client.transferred += bytes.length;
      } finally {
        client.release(answer);
      }
      return reply.is === "wanted" ? { ranges: reply.version.size !== null, version: reply.version } : null;
    });
    const known = seen?.version ?? { size: null, etag: null, modified: null };
    if (seen?.ranges && known.size !== null) return { by: "ranges", size: known.size, known };
    const index = await fetchIndex(this.#attempts, signal, known.size);
    if (known.size !== null && known.size !== index.imageSize) {
      const seal = `${index.name} belongs to an image of ${index.imageSize} bytes`;
      throw new SourceError(`${this.name} has ${known.size} bytes, and ${seal}; publish both anew, or run it again`);
    }
    const image: StreamedFile = { suffix: "", name: this.name, base: 0, known: { ...known, size: index.imageSize } };
    return { by: "stream", index, image: new StreamFetch(this.#attempts, image), tree: new StreamFetch(this.#attempts, index) };
  }
}

/** What of `ranges` lies from `start` to `end`. */
function cut(ranges: readonly ByteRange[], start: number, end: number): ByteRange[] {
  return ranges.flatMap((range) => {
    const from = Math.max(range.offset, start);
    const to = Math.min(range.offset + range.length, end);
    return from < to ? [{ offset: from, length: to - from }] : [];
  });
}
