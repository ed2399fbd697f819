import type { RecoveryDesk } from "./desk.ts";
import { findInSlots } from "./find-in-slots.ts";
import type { FoundImage } from "./found-image.ts";
import { ImageSearch, type Refused, type WantedImages } from "./image-search.ts";

/**
 * Images that a recovery may put into a slot: those of the slots, of the factory partition, of media, of mirrors, in this order, and
 * best first within a place. Each place is looked at only when everything before was of no use. All are judged: signed as this
 * machine wants it, for its system and its initrd, not too old. What is not taken is told on the screen, and to `refused`.
 *
 * An image is closed when the next one is asked for. Who takes one, and asks for no more, closes it. Nothing else stays open or
 * mounted once the search is over, however it ends.
 *
 * @throws the reason of the desk's signal where the search is given up
 */
export async function* findImages(
  desk: RecoveryDesk,
  wanted: WantedImages,
  refused: Refused = () => {},
): AsyncGenerator<FoundImage> {
  const search = new ImageSearch(desk, wanted, refused);
  yield* findInSlots(search);
  const { recovery } = desk.boot.control;
  if (recovery.factory !== null || recovery.media) {
    const { findOnFactory, findOnMedia } = await import("./find-on-devices.ts");
    yield* findOnFactory(search);
    yield* findOnMedia(search);
  }
  if (recovery.sources.length > 0) {
    const { findOnMirrors } = await import("./find-on-mirrors.ts");
    yield* findOnMirrors(search);
  }
}
