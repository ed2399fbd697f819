import type { SlotName } from "../../boot/record/record.ts";
import type { FileSource } from "../converge/file-source.ts";
import { InnerSource } from "../converge/inner-source.ts";

/** An image that lies in one of the machine's own slots. Who makes another slot hold it has the slot as a donor anyway. */
export class SlotSource extends InnerSource {
  constructor(
    readonly slot: SlotName,
    inner: FileSource,
  ) {
    super(inner);
  }

  override get name(): string {
    return `slot ${this.slot}`;
  }
}
