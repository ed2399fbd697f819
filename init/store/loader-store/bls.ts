/** systemd-boot's counted entries: a directory of files whose names say what the loader counts. */
import { readPe } from "../../../boot/portable-executable.ts";
import { readEntries, sortEntries } from "../../../boot/stores/bls.ts";
import { type EntryKind, readEntryName } from "../../../boot/stores/bls-names.ts";
import type { EntryFile } from "../../../boot/stores/bls-order.ts";
import { type EntryPlan, type EntryStep, newImageName, planEntries } from "../../../boot/stores/bls-plan.ts";
import type { StoreReading, StoreSlot, StoreView } from "../../../boot/stores/view.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { O } from "../../kernel/constants.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor, withDirectory, writeNewFile } from "../../state/beneath.ts";
import type { Written } from "../boot-record.ts";
import { withStoreFilesystem } from "./filesystem.ts";
import { copyImage, refuseWithoutRoom, sameFile } from "./image-file.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { failed, readAt, unread } from "./reading.ts";

/** No entry is longer, and no directory has more files that are looked at. */
const LONGEST_ENTRY = 64 * 1024;
const MOST_FILES = 1024;

export interface BlsPlace {
  device: string;
  /** "loader/entries", "EFI/Linux" */
  directory: string;
}

export class BlsStore implements LoaderStore {
  readonly kind = "bls";
  readonly place: string;
  readonly #desk: StoreDesk;
  readonly #at: BlsPlace;
  readonly #slots: readonly StoreSlot[];
  readonly #entries: EntryKind;
  #files: EntryFile[] = [];

  constructor(desk: StoreDesk, at: BlsPlace, slots: readonly StoreSlot[]) {
    this.#desk = desk;
    this.#at = at;
    this.#slots = slots;
    this.#entries = at.directory === "EFI/Linux" ? "efi" : "conf";
    this.place = `${at.directory} on ${at.device}`;
  }

  read(): StoreReading {
    this.#files = [];
    try {
      this.#files = this.#inDirectory(false, (directory) => readFiles(this.#desk.kernel, directory));
    } catch (error) {
      return unread(this.place, error, "ENOENT", "ENOTDIR");
    }
    return readAt(this.place, readEntries(this.#files, this.#slots, this.#entries));
  }

  foresee(view: StoreView): StoreView {
    const after = this.#plan(view).steps.reduce(stepped, this.#files);
    return readEntries(after, this.#slots, this.#entries).view ?? { slots: {}, nonce: null };
  }

  write(view: StoreView): Written {
    const { steps, obstacles } = this.#plan(view);
    try {
      if (steps.length > 0) {
        this.#inDirectory(true, (directory) => {
          for (const step of steps) {
            makeStep(this.#desk.kernel, directory, step);
            this.#files = stepped(this.#files, step);
          }
        });
      }
    } catch (error) {
      return { written: false, reason: failed(this.place, error) };
    }
    return obstacles.length === 0 ? { written: true } : { written: false, reason: `${this.place}: ${obstacles.join("; ")}` };
  }

  raw(): readonly (readonly [string, string])[] {
    return this.#files.filter(({ name }) => readEntryName(name)?.kind === this.#entries).map(({ name, text }) => [name, text]);
  }

  /**
   * Puts the unified kernel image `from` beside those of the slot, out of boots, on the disk when this returns; {@link write} of a
   * view in which the slot has boots makes it the slot's own, and removes the old one. Nothing that the loader reads is changed.
   *
   * @param tail tells it from the slot's other images: see newImageName of bls-plan.ts
   * @returns its name, or null where the slot has that very one already
   * @throws Refusal where there is no room, or the files cannot be reached
   */
  bringImage(slot: StoreSlot, tail: string, from: Descriptor): string | null {
    const { kernel } = this.#desk;
    try {
      return this.#inDirectory(true, (directory) => {
        const files = readFiles(kernel, directory);
        const { bySlot, torn } = sortEntries(files, this.#slots, "efi");
        const [own] = bySlot.get(slot.name) ?? [];
        if (own?.tail === tail && sameFile(kernel, directory, own.file.name, from)) return null;
        for (const { name } of torn) makeStep(kernel, directory, { do: "remove", name });
        const name = newImageName(files, this.#slots, slot, tail);
        refuseWithoutRoom(kernel, directory, this.place, kernel.status(from).size);
        copyImage(kernel, directory, name, from);
        return name;
      });
    } catch (error) {
      throw error instanceof Refusal ? error : new Refusal(failed(this.place, error));
    }
  }

  #plan(view: StoreView): EntryPlan {
    return planEntries(this.#files, this.#slots, this.#entries, view);
  }

  #inDirectory<Result>(writable: boolean, use: (directory: Descriptor) => Result): Result {
    const { kernel } = this.#desk;
    return withStoreFilesystem(this.#desk, this.#at.device, writable, (root) =>
      withDirectory(kernel, root, this.#at.directory, use),
    );
  }
}

function readFiles(kernel: Kernel, directory: Descriptor): EntryFile[] {
  return kernel.readDirectory(directory, MOST_FILES).flatMap(({ name: bytes, kind }) => {
    if (kind !== "file") return [];
    const name = new TextDecoder().decode(bytes);
    return [{ name, text: readEntry(kernel, directory, name) }];
  });
}

/** What of a file says something of a slot; nothing where it cannot be read. */
function readEntry(kernel: Kernel, directory: Descriptor, name: string): string {
  const open = () => openBeneath(kernel, directory, name, O.RDONLY | O.NONBLOCK);
  try {
    return withDescriptor(kernel, open, (fd) => {
      if (/\.efi(\.off)?$/i.test(name)) return readOsRelease(kernel, fd);
      return new TextDecoder().decode(kernel.read(fd, LONGEST_ENTRY, 0n));
    });
  } catch (error) {
    if (isCode(error, "EIO", "ENOENT", "EACCES")) return "";
    throw error;
  }
}

/** The headers of an executable lie in its first bytes. */
const HEADERS = 8192;

/** The os-release in a unified kernel image; "" where it has none. */
function readOsRelease(kernel: Kernel, fd: Descriptor): string {
  try {
    const { sections } = readPe("the image", kernel.read(fd, HEADERS, 0n));
    const section = sections.find(({ name }) => name === ".osrel");
    if (section === undefined) return "";
    const bytes = kernel.read(fd, Math.min(section.size, LONGEST_ENTRY), BigInt(section.fileOffset));
    return new TextDecoder().decode(bytes);
  } catch (error) {
    if (error instanceof BadInput) return "";
    throw error;
  }
}

function stepped(files: readonly EntryFile[], step: EntryStep): EntryFile[] {
  if (step.do === "write") return [...files, { name: step.name, text: step.text }];
  if (step.do === "remove") return files.filter(({ name }) => name !== step.name);
  return files.map((file) => (file.name === step.from ? { ...file, name: step.to } : file));
}

/** On the disk when it returns. */
function makeStep(kernel: Kernel, directory: Descriptor, step: EntryStep): void {
  if (step.do === "write") writeNewFile(kernel, directory, step.name, step.text, 0o600);
  else if (step.do === "remove") kernel.remove(step.name, { at: directory });
  else kernel.rename(step.from, step.to, { at: directory });
  kernel.sync(directory);
  kernel.syncFilesystem(directory);
}
