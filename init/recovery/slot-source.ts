import type { SlotName } from "../../boot/record/record.ts";
import type { FileSource } from "../converge/file-source.ts";
import type { ByteRange, ImageSource, Sink } from "../converge/source.ts";

/** An image that lies in one of the machine's own slots. Who makes another slot hold it has the slot as a donor anyway. */
export class SlotSource implements ImageSource {
  readonly transferred = 0;

  constructor(
    readonly slot: SlotName,
    readonly inner: FileSource,
  ) {}

  get name(): string {
    return `slot ${this.slot}`;
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
