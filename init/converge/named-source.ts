import { type NamedRelease, releaseFault } from "../../boot/channel/channel.ts";
import type { Manifest } from "../../boot/image/seal.ts";
import type { ByteRange, ImageSource, Sink } from "./source.ts";

/** The image that a channel names: whatever else lies there under its name is not taken for it. */
export class NamedSource implements ImageSource {
  constructor(
    readonly inner: ImageSource,
    readonly named: NamedRelease,
  ) {}

  get name(): string {
    return this.inner.name;
  }

  get transferred(): number {
    return this.inner.transferred;
  }

  otherThanNamed(manifest: Manifest, size: number): string | null {
    return releaseFault(this.named, manifest, size);
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
