/** Boot attributes in the partition table of the disk that the slots lie on, whose partitions stay in use meanwhile. */
import { readEntries } from "../../../boot/devices/gpt.ts";
import {
  bootBits,
  foreseeView,
  type GptSlot,
  type GptTables,
  gptReading,
  readGptTables,
  writeView,
} from "../../../boot/stores/gpt-attributes.ts";
import { type ReferredSlot, slotsInTable } from "../../../boot/stores/gpt-slots.ts";
import type { StoreReading, StoreView } from "../../../boot/stores/view.ts";
import { sectorSizeOf } from "../../disk/disk-table.ts";
import { O } from "../../kernel/constants.ts";
import { sizeOf, withOpen } from "../../kernel/files.ts";
import type { Descriptor } from "../../kernel/kernel.ts";
import type { Written } from "../boot-record.ts";
import { StoreFailure } from "./filesystem.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { failed } from "./reading.ts";

/** udev holds the disk's lock while it looks at it (systemd's "Locking Block Device Access"). Times 100 ms. */
const MOST_LOCK_WAITS = 50;

interface Found {
  tables: GptTables;
  slots: readonly GptSlot[];
  /** Why slots are not among them. */
  faults: readonly string[];
}

export class GptStore implements LoaderStore {
  readonly kind = "gpt";
  readonly place: string;
  readonly #desk: StoreDesk;
  readonly #disk: string;
  readonly #referred: readonly ReferredSlot[];
  /** The slots that the table has. */
  #slots: readonly GptSlot[] = [];
  /** As they were read last; null where the disk could not be read. */
  #tables: GptTables | null = null;

  /** @param disk its node: "/dev/vda" */
  constructor(desk: StoreDesk, disk: string, slots: readonly ReferredSlot[]) {
    this.#desk = desk;
    this.#disk = disk;
    this.#referred = slots;
    this.place = `the partition table of ${disk}`;
  }

  read(): StoreReading {
    let found: Found;
    this.#tables = null;
    try {
      found = withOpen(this.#desk.kernel, this.#disk, O.RDONLY | O.DIRECT, (fd) => this.#look(fd));
    } catch (error) {
      return { condition: "unreadable", view: null, reason: failed(this.place, error) };
    }
    const reading = gptReading(found.tables, found.slots);
    const reasons = [...(reading.reason === null ? [] : [reading.reason]), ...found.faults];
    if (reading.condition !== "valid") return { ...reading, reason: `${this.place}: ${reasons.join("; ")}` };
    return { ...reading, reason: reasons.length === 0 ? null : `${this.place}: ${reasons.join("; ")}` };
  }

  foresee(view: StoreView): StoreView {
    return (this.#tables && foreseeView(this.#tables, view, this.#slots)) ?? { slots: {}, nonce: null };
  }

  /** The table is read again first: somebody else may have changed it, and what is not ours in it is kept. */
  write(view: StoreView): Written {
    try {
      withOpen(this.#desk.kernel, this.#disk, O.RDWR | O.DIRECT | O.DSYNC, (fd) => this.#write(fd, view));
      return { written: true };
    } catch (error) {
      return { written: false, reason: failed(this.place, error) };
    }
  }

  raw(): readonly (readonly [string, string])[] {
    const table = this.#tables?.table;
    if (table === undefined || typeof table === "string") return [];
    const entries = readEntries(table);
    return this.#slots.flatMap(({ number }): [string, string][] => {
      const entry = entries.find((candidate) => candidate.number === number);
      if (entry === undefined) return [];
      const { priority, tries, successful } = bootBits(entry.attributes);
      const told = `priority=${priority} tries=${tries} successful=${Number(successful)}`;
      return [[`partition ${number} (${entry.label})`, told]];
    });
  }

  #write(fd: Descriptor, view: StoreView): void {
    const { kernel } = this.#desk;
    this.#lock(fd);
    const { tables, slots } = this.#look(fd);
    const rewrite = writeView(tables, view, slots);
    if (typeof rewrite === "string") throw new StoreFailure(`${this.place}: ${rewrite}`);
    for (const stage of rewrite) {
      for (const { offset, bytes } of stage) kernel.write(fd, bytes, offset);
      kernel.sync(fd);
    }
    if (rewrite.length === 0) return;
    const left = writeView(this.#look(fd).tables, view, slots);
    if (typeof left === "string" || left.length > 0) {
      throw new StoreFailure(`${this.place} gave back other bytes than were written; the disk may be failing`);
    }
  }

  #lock(fd: Descriptor): void {
    const { kernel } = this.#desk;
    for (let waits = 0; waits < MOST_LOCK_WAITS; waits++) {
      if (kernel.lock(fd)) return;
      kernel.poll([], 100);
    }
    throw new StoreFailure(`${this.#disk} is locked by another program that changes its partitions; try again once it is done`);
  }

  /** Whole sectors, since nothing else can be read past the page cache. */
  #look(fd: Descriptor): Found {
    const { kernel } = this.#desk;
    const sectorSize = sectorSizeOf(kernel, { name: this.#disk.slice("/dev/".length).replaceAll("/", "!") });
    const read = (offset: bigint, length: number) =>
      kernel.read(fd, Math.ceil(length / sectorSize) * sectorSize, offset).subarray(0, length);
    const tables = readGptTables(read, sizeOf(kernel, fd), sectorSize);
    const { slots, faults } = slotsInTable(tables, this.#referred, this.#disk);
    this.#tables = tables;
    this.#slots = slots;
    return { tables, slots, faults };
  }
}
