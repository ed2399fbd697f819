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
  const { recovery } = desk.boot.control;
  yield* inPlace(search, "slots", findInSlots);
  if (recovery.factory !== null || recovery.media) {
    const { findOnFactory, findOnMedia } = await import("./find-on-devices.ts");
    yield* inPlace(search, "the factory partition", findOnFactory);
    yield* inPlace(search, "media", findOnMedia);
  }
  if (recovery.sources.length > 0) {
    const { findOnMirrors } = await import("./find-on-mirrors.ts");
    yield* inPlace(search, "sources", findOnMirrors);
  }
}

/** The place's images. Whatever goes wrong there keeps nobody from the next place. */
async function* inPlace(
  search: ImageSearch,
  name: string,
  find: (search: ImageSearch) => AsyncGenerator<FoundImage>,
): AsyncGenerator<FoundImage> {
  try {
    yield* find(search);
  } catch (error) {
    search.desk.signal.throwIfAborted();
    search.refuse(name, error instanceof Error ? error.message : String(error));
  }
}
