import type { ImageLayout, Seal } from "../../boot/image/seal.ts";
import type { SourcePlace } from "../../boot/recovery/step.ts";
import type { ImageSource } from "../converge/source.ts";

/** An image that recovery may put into a slot: its seal was judged, and what lies behind that is proven block by block. */
export interface FoundImage {
  place: SourcePlace;
  /** Where it is, for people: "slot b", "/dev/sda1: slipway/acme-2.img", "https://updates.example/acme-2.img". */
  name: string;
  /** Of a slot it is the slot itself: its blocks are had as a donor's are, so that {@link makeSlotHold} asks no source for them. */
  source: ImageSource;
  seal: Seal;
  layout: ImageLayout;
  /** Lets the source go, and the medium that it lies on. Once more is nothing. */
  close(): Promise<void>;
}
