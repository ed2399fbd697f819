import { type NamedRelease, releaseFault } from "../../boot/channel/channel.ts";
import type { Manifest } from "../../boot/image/seal.ts";
import { InnerSource } from "./inner-source.ts";
import type { ImageSource } from "./source.ts";

/** The image that a channel names: whatever else lies there under its name is not taken for it. */
export class NamedSource extends InnerSource {
  constructor(
    inner: ImageSource,
    readonly named: NamedRelease,
  ) {
    super(inner);
  }

  otherThanNamed(manifest: Manifest, size: number): string | null {
    return releaseFault(this.named, manifest, size);
  }
}
