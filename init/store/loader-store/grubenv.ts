/** GRUB's environment block: a file that is written in place, since GRUB remembers its blocks. */
import { changeGrubenv, MOST_GRUBENV, readGrubenv } from "../../../boot/stores/grubenv.ts";
import { GRUBENV_DIALECTS } from "../../../boot/stores/grubenv-dialects.ts";
import type { StoreReading, StoreSlot, StoreView, VariableDialect } from "../../../boot/stores/view.ts";
import { exists } from "../../state/beneath.ts";
import type { Written } from "../boot-record.ts";
import { withStoreFilesystem } from "./filesystem.ts";
import { readInPlace, writeInPlace } from "./in-place.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { failed, readingOf, unread, withChanges } from "./reading.ts";

/** "#": what GRUB takes for nothing at a block's end. */
const PADDING = 0x23;

export interface GrubenvPlace {
  /** Device node of the filesystem: "/dev/vda1". */
  device: string;
  /** From its root: "grub/grubenv". */
  file: string;
  dialect: "rauc" | "slipway";
}

export class GrubenvStore implements LoaderStore {
  readonly kind = "grubenv";
  readonly place: string;
  readonly #desk: StoreDesk;
  readonly #at: GrubenvPlace;
  readonly #slots: readonly StoreSlot[];
  readonly #dialect: VariableDialect;
  /** As it was read last; null where it is not there, or cannot be read. */
  #bytes: Uint8Array | null = null;

  constructor(desk: StoreDesk, at: GrubenvPlace, slots: readonly StoreSlot[]) {
    this.#desk = desk;
    this.#at = at;
    this.#slots = slots;
    this.#dialect = GRUBENV_DIALECTS[at.dialect];
    this.place = `${at.file} on ${at.device}`;
  }

  read(): StoreReading {
    this.#bytes = null;
    let bytes: Uint8Array;
    try {
      bytes = withStoreFilesystem(this.#desk, this.#at.device, false, (root) =>
        readInPlace(this.#desk.kernel, root, this.#at.file, MOST_GRUBENV + 1),
      );
    } catch (error) {
      return unread(this.place, error, "ENOENT");
    }
    this.#bytes = bytes;
    const { variables, reason } = readGrubenv(bytes);
    if (variables === null) return { condition: "unreadable", view: null, reason: `${this.place}: ${reason}` };
    return readingOf(this.#dialect.view(variables, this.#slots), reason && `${this.place}: ${reason}`, this.place);
  }

  foresee(view: StoreView): StoreView {
    // Not by the bytes: where they do not fit, writing them says so.
    return this.#dialect.view(withChanges(this.#variables(), this.#changes(view)), this.#slots);
  }

  /** What is there is read again first: others change variables of their own without a lock, and those are kept. */
  write(view: StoreView): Written {
    const { kernel } = this.#desk;
    try {
      withStoreFilesystem(this.#desk, this.#at.device, true, (root) => {
        this.#bytes = exists(kernel, root, this.#at.file) ? readInPlace(kernel, root, this.#at.file, MOST_GRUBENV + 1) : null;
        const bytes = changeGrubenv(this.#bytes, this.#changes(view));
        if (this.#bytes !== null && Buffer.compare(bytes, this.#bytes) === 0) return;
        writeInPlace(kernel, root, this.#at.file, bytes, PADDING);
        this.#bytes = bytes;
      });
      return { written: true };
    } catch (error) {
      if (error instanceof RangeError) return { written: false, reason: `${this.place}: ${error.message}` };
      return { written: false, reason: failed(this.place, error) };
    }
  }

  raw(): readonly (readonly [string, string])[] {
    return [...this.#variables()];
  }

  #variables(): ReadonlyMap<string, string> {
    return (this.#bytes && readGrubenv(this.#bytes).variables) ?? new Map();
  }

  #changes(view: StoreView): ReadonlyMap<string, string | null> {
    return this.#dialect.changes(view, this.#slots, this.#variables());
  }
}
