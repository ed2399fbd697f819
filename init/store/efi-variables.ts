/** UEFI's variables through Linux's efivarfs. */
import { decodeVariable, type EfiVariable, encodeVariable } from "../../boot/stores/efi-variables.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { FILESYSTEM_MAGIC, IOCTL, MS, O } from "../kernel/constants.ts";
import { exists, readBytes, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";

/** Of a machine that UEFI started, whether or not efivarfs is mounted. */
const FIRMWARE = "/sys/firmware/efi";

/** FS_IMMUTABLE_FL, linux/fs.h: efivarfs sets it where a lost variable may keep a machine from starting. */
const IMMUTABLE = 0x10;

/** No variable of any interest is longer. */
const MOST_BYTES = 64 * 1024;

const remedies: Record<string, string> = {
  EROFS: "efivarfs is mounted read-only; mount -o remount,rw /sys/firmware/efi/efivars",
  ENOSPC: "the firmware's memory is full; remove entries that nobody needs (efibootmgr -b NUMBER -B) and dump-* below efivars",
  EINVAL: "the firmware refuses it; is there an update of the firmware?",
  EPERM: "run this as root",
  EACCES: "run this as root",
  EIO: "the firmware failed; a restart of the machine may help",
};

function told(what: string, error: unknown): Error {
  if (!(error instanceof KernelError)) return error instanceof Error ? error : new Error(String(error));
  return new Refusal(`${what} (${error.code}); ${remedies[error.code] ?? "is efivarfs mounted?"}`);
}

/**
 * Sees to efivarfs being mounted at `directory`, in this process's own mount namespace where nobody else mounted it. The kernel
 * asks for its module itself in the running system; an initrd loads efivarfs before. Throws Refusal on a machine that UEFI did
 * not start, or whose kernel has no efivarfs.
 */
export function mountEfiVariables(kernel: Kernel, directory: string): void {
  if (!exists(kernel, FIRMWARE)) throw new Refusal("this machine was not started by UEFI, so its firmware has no boot entries");
  if (isMounted(kernel, directory)) return;
  try {
    kernel.mount("efivarfs", directory, "efivarfs", MS.NOSUID | MS.NODEV | MS.NOEXEC, "");
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const remedy = error.code === "ENODEV" ? "is the module efivarfs there?" : "run this as root";
    throw new Refusal(`efivarfs cannot be mounted at ${directory} (${error.code}); ${remedy}`);
  }
}

function isMounted(kernel: Kernel, directory: string): boolean {
  try {
    const status = withOpen(kernel, directory, O.RDONLY | O.DIRECTORY, (fd) => kernel.filesystemStatus(fd));
    return status.magic === FILESYSTEM_MAGIC.efivarfs;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`${directory} cannot be opened (${error.code}); is /sys mounted?`);
  }
}

/** The variables whose files are in `directory`. What fails throws Refusal with the firmware's answer and what to do. */
export class EfiVariables {
  readonly #kernel: Kernel;
  readonly #directory: string;

  constructor(kernel: Kernel, directory: string) {
    this.#kernel = kernel;
    this.#directory = directory;
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`;
  }

  /** Names of all variables, "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c". */
  names(): string[] {
    const decoder = new TextDecoder();
    try {
      const read = (fd: number) => this.#kernel.readDirectory(fd).map(({ name }) => decoder.decode(name));
      return withOpen(this.#kernel, this.#directory, O.RDONLY | O.DIRECTORY, read);
    } catch (error) {
      throw told(`the firmware's variables in ${this.#directory} cannot be listed`, error);
    }
  }

  /** Null where there is none; a string says why what is there is none. */
  read(name: string): EfiVariable | string | null {
    try {
      return decodeVariable(readBytes(this.#kernel, this.#path(name), {}, MOST_BYTES));
    } catch (error) {
      if (error instanceof KernelError && error.code === "ENOENT") return null;
      throw told(`the variable ${name} cannot be read`, error);
    }
  }

  /** Sets a variable, in the one write that the firmware takes whole or not at all, and reads it back. */
  write(name: string, variable: EfiVariable): void {
    const bytes = encodeVariable(variable);
    const path = this.#path(name);
    try {
      const isNew = !exists(this.#kernel, path);
      const write = () =>
        withOpen(this.#kernel, path, O.WRONLY | O.CREAT, (fd) => this.#kernel.write(fd, bytes, null), { mode: 0o644 });
      if (isNew) this.#writeNew(path, write);
      else this.#unlocked(path, write);
    } catch (error) {
      throw told(`the variable ${name} cannot be set`, error);
    }
    const read = this.read(name);
    const kept = read !== null && typeof read !== "string" ? encodeVariable(read) : null;
    if (kept !== null && Buffer.compare(kept, bytes) === 0) return;
    throw new Error(
      `the firmware took the variable ${name} and has something else there now; is there an update of the firmware?`,
    );
  }

  /** efivarfs leaves an empty file where the firmware refuses a new variable. */
  #writeNew(path: string, write: () => void): void {
    try {
      write();
    } catch (error) {
      try {
        this.#kernel.remove(path);
      } catch (left) {
        if (!(left instanceof KernelError)) throw left;
      }
      throw error;
    }
  }

  /** Nothing happens where it is not there. */
  remove(name: string): void {
    const path = this.#path(name);
    try {
      this.#unlocked(path, () => this.#kernel.remove(path));
    } catch (error) {
      if (error instanceof KernelError && error.code === "ENOENT") return;
      throw told(`the variable ${name} cannot be removed`, error);
    }
  }

  /** Runs `work` while the file may be changed; one that is there afterwards is as immutable as before. */
  #unlocked(path: string, work: () => void): void {
    const flags = this.#flags(path);
    if ((flags & IMMUTABLE) === 0) {
      work();
      return;
    }
    this.#setFlags(path, flags & ~IMMUTABLE);
    try {
      work();
    } finally {
      if (exists(this.#kernel, path)) this.#setFlags(path, flags);
    }
  }

  #flags(path: string): number {
    const flags = new Uint8Array(new ArrayBuffer(8));
    withOpen(this.#kernel, path, O.RDONLY, (fd) => this.#kernel.ioctl(fd, IOCTL.FS_IOC_GETFLAGS, flags));
    return new DataView(flags.buffer).getUint32(0, true);
  }

  #setFlags(path: string, value: number): void {
    const flags = new Uint8Array(new ArrayBuffer(8));
    new DataView(flags.buffer).setUint32(0, value, true);
    withOpen(this.#kernel, path, O.RDONLY, (fd) => this.#kernel.ioctl(fd, IOCTL.FS_IOC_SETFLAGS, flags));
  }
}
