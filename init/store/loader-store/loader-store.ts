import type { FilesystemType } from "../../../boot/devices/superblock.ts";
import type { StoreReading, StoreView } from "../../../boot/stores/view.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import type { Written } from "../boot-record.ts";

/** A bootloader's store on this machine. Nothing of it stays open between two calls. */
export interface LoaderStore {
  /** The control file's word: "grubenv". */
  readonly kind: string;
  /** Where it is, for people: "grub/grubenv on /dev/vda1". */
  readonly place: string;
  /** What it says. Never throws: what cannot be read is a condition. */
  read(): StoreReading;
  /** What {@link read} would say after {@link write}: a store has no place for everything. By what was read last. */
  foresee(view: StoreView): StoreView;
  /**
   * Makes `view` what the loader reads, if it is not already; on the disk when this returns, and read back. On failure it says
   * what it said before, or part of the new view where it cannot be written at once.
   */
  write(view: StoreView): Written;
  /** All that it holds for slots and loader, as it was read last: names and values, or files and what is in them. */
  raw(): readonly (readonly [name: string, value: string])[];
}

/** What a store is reached with. */
export interface StoreDesk {
  kernel: Kernel;
  /** In PID 1 the modules of a filesystem have to be loaded before it is mounted; in the running system the kernel sees to it. */
  loadForFilesystem(type: string): void;
  /** /var/lock/fw_printenv.lock, which U-Boot's tools hold while they change the environment; null in the initrd, where nobody else is. */
  environmentLock: string | null;
  /** Set where nothing may change: mounts the filesystem on `device` without a journal's replay. Throws StoreFailure. */
  look?<Result>(device: string, type: FilesystemType, use: (root: Descriptor) => Result): Result;
}
