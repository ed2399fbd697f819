import type { ByteRange, ImageSource, Sink } from "./source.ts";

/** A source that gives what another one has, and knows something more of it. */
export class InnerSource implements ImageSource {
  constructor(readonly inner: ImageSource) {}

  get name(): string {
    return this.inner.name;
  }

  get transferred(): number {
    return this.inner.transferred;
  }

  size(): Promise<number> {
    return this.inner.size();
  }

  read(range: ByteRange): Promise<Uint8Array> {
    return this.inner.read(range);
  }

  fetch(ranges: readonly ByteRange[], sink: Sink): Promise<void> {
    return this.inner.fetch(ranges, sink);
  }

  close(): Promise<void> {
    return this.inner.close();
  }
}
