import type { ImageLayout, Seal } from "../../boot/image/seal.ts";
import type { ImageId, SlotName } from "../../boot/record/record.ts";
import { byPriority, slotOf } from "../../boot/selection/slots.ts";
import { FileSource } from "../converge/file-source.ts";
import type { SlotPlace } from "../converge/slot-place.ts";
import { readSeal, type SealReading, searchSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { RecoveryDesk } from "./desk.ts";
import type { FoundImage } from "./found-image.ts";
import { foundImage, give, type ImageSearch } from "./image-search.ts";
import { findSlot, slotDefinition } from "./slot-places.ts";
import { SlotSource } from "./slot-source.ts";

/** A slot with a seal that can be read. */
interface SealedSlot {
  slot: SlotName;
  seal: Seal;
  layout: ImageLayout;
  imageId: ImageId;
  version: string;
}

/**
 * The images of the machine's own slots. Nothing is fetched from them that a donor would not give; their seals are what other slots,
 * and they themselves, are made whole by. One that is known to be damaged comes last.
 */
export async function* findInSlots(search: ImageSearch): AsyncGenerator<FoundImage> {
  const { desk, record } = search;
  const sealed: SealedSlot[] = [];
  for (const slot of byPriority(record)) {
    search.desk.signal.throwIfAborted();
    const reading = await readSlotSeal(desk, slot);
    if (reading.is !== "sealed") continue;
    const { seal, layout } = reading;
    if (!(await search.takes(seal, `slot ${slot}`))) continue;
    sealed.push({ slot, seal, layout, imageId: seal.manifest.rootHash, version: seal.manifest.version });
  }
  const isDamaged = ({ slot }: SealedSlot) => slotOf(record, slot).damaged !== null;
  const ordered = search.inOrder(sealed);
  for (const one of [...ordered.filter((slot) => !isDamaged(slot)), ...ordered.filter(isDamaged)]) {
    const image = await openImage(search, one);
    if (image !== null) yield* give(image);
  }
}

/**
 * What is known of the image in a slot by its own seal: by its footer, or where that is damaged, by the filesystem that leads to
 * the seal. A slot that cannot be read has a fault. Nothing is judged.
 */
export async function readSlotSeal(desk: RecoveryDesk, slot: SlotName): Promise<SealReading> {
  const { kernel } = desk.boot;
  try {
    const place = await findSlot(desk, slotDefinition(desk, slot));
    try {
      return sealAt(kernel, place);
    } finally {
      place.close();
    }
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { is: "fault", reason: error.message };
  }
}

function sealAt(kernel: Kernel, { path }: SlotPlace): SealReading {
  return withOpen(kernel, path, O.RDONLY, (fd) => {
    const size = sizeOf(kernel, fd);
    const reading = faultOf(() => readSeal(kernel, fd, size));
    if (reading.is !== "fault") return reading;
    const found = faultOf(() => searchSeal(kernel, fd, size));
    return found.is === "sealed" ? found : reading;
  });
}

function faultOf(read: () => SealReading): SealReading {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { is: "fault", reason: `it cannot be read (${error.code})` };
  }
}

async function openImage(search: ImageSearch, { slot, seal, layout }: SealedSlot): Promise<FoundImage | null> {
  const { desk } = search;
  const { kernel } = desk.boot;
  const name = `slot ${slot}`;
  search.advance();
  try {
    const place = await findSlot(desk, slotDefinition(desk, slot));
    try {
      const inner = FileSource.of(kernel, name, kernel.open(place.path, O.RDONLY));
      return foundImage({ place: "slots", name, source: new SlotSource(slot, inner), seal, layout });
    } finally {
      place.close();
    }
  } catch (error) {
    search.desk.signal.throwIfAborted();
    if (!(error instanceof Error)) throw error;
    search.tell(error.message);
    return null;
  }
}
