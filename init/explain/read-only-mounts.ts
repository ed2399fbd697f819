import type { BlockDevice } from "../../boot/devices/block-device.ts";
import type { FilesystemType } from "../../boot/devices/superblock.ts";
import { MNT, MS, O } from "../kernel/constants.ts";
import { readTextIfThere, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";

/** Directories that every system has and few use: one is covered, in a mount namespace of our own, while we look. */
const PLACES = ["/mnt", "/media", "/srv", "/opt", "/sysroot"];

/** A device to look at; without its number where nobody has it mounted for writing. */
export type LookedAt = Pick<BlockDevice, "path"> & Partial<Pick<BlockDevice, "number">>;

/** What was seen; null where nobody could look, for the reason in `unknown`. */
export interface Look<Value> {
  value: Value | null;
  unknown: string | null;
}

/** What `look` sees; what it cannot read is unknown. */
export function lookOrSay<Value>(look: () => Value): Look<Value> {
  try {
    return { value: look(), unknown: null };
  } catch (error) {
    if (error instanceof KernelError) return { value: null, unknown: error.message };
    throw error;
  }
}

/** Filesystems mounted only for looking at them: read-only, without journal replay, and seen by nobody else. */
export class ReadOnlyMounts {
  readonly #kernel: Kernel;
  /** Why there is no mount namespace of our own; null while there is, undefined before anybody asked. */
  #refused: string | null | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Mounts `device`, hands its root to `look`, and unmounts it. Never throws for a mount that is refused. */
  look<Value>(device: LookedAt, type: FilesystemType, options: string, look: (root: Descriptor) => Value): Look<Value> {
    if (this.#refused === undefined) this.#refused = this.#enterNamespace();
    const place = this.#place();
    if (this.#refused !== null) return { value: null, unknown: this.#refused };
    if (place === null) return { value: null, unknown: `there is none of ${PLACES.join(", ")} to mount it at` };
    try {
      this.#mount(device, place, type, options);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      const used = error.code === "EBUSY" ? ", since it is in use" : "";
      return { value: null, unknown: `${device.path} cannot be mounted read-only (${error.code}${used})` };
    }
    try {
      return lookOrSay(() => withOpen(this.#kernel, place, O.RDONLY | O.DIRECTORY, look));
    } finally {
      this.#kernel.unmount(place, MNT.DETACH);
    }
  }

  #enterNamespace(): string | null {
    try {
      this.#kernel.privateMounts();
      return null;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return `no mount namespace of its own (${error.code}): run this as root`;
    }
  }

  #place(): string | null {
    const isDirectory = (path: string) => {
      try {
        return this.#kernel.statusAt(path).kind === "directory";
      } catch (error) {
        if (error instanceof KernelError) return false;
        throw error;
      }
    };
    return PLACES.find(isDirectory) ?? null;
  }

  #mount(device: LookedAt, place: string, type: FilesystemType, options: string): void {
    const quiet = MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.NOATIME;
    try {
      this.#kernel.mount(device.path, place, type, quiet | MS.RDONLY, options);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== "EBUSY") throw error;
      this.#join(device, place, type, quiet, error);
    }
  }

  /**
   * A filesystem that is mounted for writing can only be joined by a mount for writing. That changes nothing as long as it
   * is mounted already, and it stays so while a file on it is held open. The own mount is then made read-only.
   */
  #join(device: LookedAt, place: string, type: FilesystemType, flags: number, busy: KernelError): void {
    const kernel = this.#kernel;
    if (device.number === undefined) throw busy;
    const { major, minor } = device.number;
    for (const point of mountPoints(kernel, `${major}:${minor}`)) {
      const held = openOrNull(kernel, point);
      if (held === null) continue;
      try {
        const { device: lies } = kernel.status(held);
        if (lies.major !== major || lies.minor !== minor) continue;
        kernel.mount(device.path, place, type, flags, "");
        kernel.mount("none", place, "", MS.REMOUNT | MS.BIND | MS.RDONLY | flags, "");
        return;
      } finally {
        kernel.close(held);
      }
    }
    throw busy;
  }
}

/** Where the filesystem with that number is mounted, from proc_pid_mountinfo(5). */
function mountPoints(kernel: Kernel, number: string): string[] {
  const lines = readTextIfThere(kernel, "/proc/self/mountinfo")?.split("\n") ?? [];
  const unescaped = (path: string) =>
    path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
  return lines.flatMap((line) => {
    const [, , device, , point] = line.split(" ");
    return device === number && point !== undefined ? [unescaped(point)] : [];
  });
}

function openOrNull(kernel: Kernel, path: string): Descriptor | null {
  try {
    return kernel.open(path, O.RDONLY | O.NONBLOCK | O.NOFOLLOW);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}
