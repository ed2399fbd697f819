/** Raspberry Pi's autoboot.txt: one sector, written in place. */
import { AUTOBOOT_SIZE, autobootReading, changeAutoboot, partitionsOf, readAutoboot } from "../../../boot/stores/autoboot.ts";
import type { StoreReading, StoreSlot, StoreView } from "../../../boot/stores/view.ts";
import type { Written } from "../boot-record.ts";
import { withStoreFilesystem } from "./filesystem.ts";
import { readInPlace, writeInPlace } from "./in-place.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { failed, readAt, unread } from "./reading.ts";

/** At the root of the first FAT that the firmware finds. */
const FILE = "autoboot.txt";

const NEWLINE = 10;

export class TrybootStore implements LoaderStore {
  readonly kind = "tryboot";
  readonly place: string;
  readonly #desk: StoreDesk;
  readonly #device: string;
  readonly #slots: readonly StoreSlot[];
  /** As it was read last; empty where it is not there, or cannot be read. */
  #text = "";

  /** @param device node of the filesystem */
  constructor(desk: StoreDesk, device: string, slots: readonly StoreSlot[]) {
    this.#desk = desk;
    this.#device = device;
    this.#slots = slots;
    this.place = `${FILE} on ${device}`;
  }

  read(): StoreReading {
    this.#text = "";
    let bytes: Uint8Array;
    try {
      bytes = withStoreFilesystem(this.#desk, this.#device, false, (root) =>
        readInPlace(this.#desk.kernel, root, FILE, AUTOBOOT_SIZE + 1),
      );
    } catch (error) {
      return unread(this.place, error, "ENOENT");
    }
    if (bytes.length > AUTOBOOT_SIZE) {
      const reason = `${this.place} has more than ${AUTOBOOT_SIZE} bytes, of which the firmware reads no more; take comments out of it`;
      return { condition: "unreadable", view: null, reason };
    }
    this.#text = new TextDecoder().decode(bytes);
    return readAt(this.place, autobootReading(this.#text, this.#slots));
  }

  foresee(view: StoreView): StoreView {
    const partitions = partitionsOf(view, this.#slots);
    const text = partitions === null ? this.#text : changeAutoboot("", partitions);
    return autobootReading(text, this.#slots).view ?? { slots: {}, nonce: null };
  }

  /** Where no slot is left it stays as it is: the firmware boots something, and slipway recovers. */
  write(view: StoreView): Written {
    const partitions = partitionsOf(view, this.#slots);
    if (partitions === null) return { written: true };
    try {
      const text = changeAutoboot(this.#text, partitions);
      if (text === this.#text) return { written: true };
      const bytes = new TextEncoder().encode(text);
      withStoreFilesystem(this.#desk, this.#device, true, (root) => writeInPlace(this.#desk.kernel, root, FILE, bytes, NEWLINE));
      this.#text = text;
      return { written: true };
    } catch (error) {
      if (error instanceof RangeError) return { written: false, reason: `${this.place}: ${error.message}` };
      return { written: false, reason: failed(this.place, error) };
    }
  }

  raw(): readonly (readonly [string, string])[] {
    const { all, tryboot, isPartition } = readAutoboot(this.#text);
    if (this.#text === "") return [];
    const told = (partition: number | null) => String(partition ?? "-");
    return [
      ["[all] boot_partition", told(all)],
      ["[tryboot] boot_partition", told(tryboot)],
      ["tryboot_a_b", isPartition ? "1" : "0"],
    ];
  }
}
