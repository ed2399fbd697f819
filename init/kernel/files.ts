/** Whole small files in one call, over the kernel interface. */
import { joined } from "../../boot/joined.ts";
import { IOCTL, O } from "./constants.ts";
import { type Descriptor, type FileStatus, type Kernel, KernelError, type OpenOptions, type Path } from "./kernel.ts";

/** Files of /proc and /sys tell no size: they are read in pieces, the first one of as many bytes as most of them have at most. */
const FIRST_PIECE = 4096;
/** Of a longer file, bytes. A boot reads hundreds of short ones: as much memory for each would start the collector. */
const PIECE = 65536;

/** Opens `path`, hands the descriptor to `use`, and closes it whatever happens. */
export function withOpen<Result>(
  kernel: Kernel,
  path: Path,
  flags: number,
  use: (fd: Descriptor) => Result,
  options: OpenOptions = {},
): Result {
  const fd = kernel.open(path, flags, options);
  try {
    return use(fd);
  } finally {
    kernel.close(fd);
  }
}

/** The bytes of a file, at most `limit`. A fifo in its place is empty, instead of holding PID 1 until somebody writes to it. */
export function readBytes(kernel: Kernel, path: Path, options: OpenOptions = {}, limit = 16 * 1024 * 1024): Uint8Array {
  return withOpen(
    kernel,
    path,
    O.RDONLY | O.NONBLOCK,
    (fd) => {
      const pieces: Uint8Array[] = [];
      let length = 0;
      let most = FIRST_PIECE;
      while (length < limit) {
        const asked = Math.min(most, limit - length);
        const piece = kernel.read(fd, asked, null);
        if (piece.length === 0) break;
        pieces.push(piece);
        length += piece.length;
        // After less than was asked for there is most often nothing more.
        most = piece.length < asked ? FIRST_PIECE : PIECE;
      }
      return pieces.length === 1 && pieces[0] ? pieces[0] : joined(pieces);
    },
    options,
  );
}

/** A file as UTF-8 text. */
export function readText(kernel: Kernel, path: Path, options: OpenOptions = {}): string {
  return new TextDecoder().decode(readBytes(kernel, path, options));
}

/** A file as UTF-8 text, or null where it cannot be read. */
export function readTextIfThere(kernel: Kernel, path: Path, options: OpenOptions = {}): string | null {
  try {
    return readText(kernel, path, options);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/** Writes a setting below /proc or /sys, which is there already. */
export function writeSetting(kernel: Kernel, path: Path, value: string): void {
  withOpen(kernel, path, O.WRONLY, (fd) => kernel.write(fd, new TextEncoder().encode(value), null));
}

/** Makes or replaces a file in memory (below /run), where nothing needs to survive a power cut. */
export function writeVolatile(kernel: Kernel, path: Path, text: string, mode = 0o644): void {
  withOpen(kernel, path, O.WRONLY | O.CREAT | O.TRUNC, (fd) => kernel.write(fd, new TextEncoder().encode(text), null), { mode });
}

/** Makes a directory with `mode` and those above it with 0755; ones that exist are left as they are. */
export function makeDirectories(kernel: Kernel, path: string, mode = 0o755): void {
  const parts = path.split("/").filter((part) => part !== "");
  for (let count = 1; count <= parts.length; count++) {
    try {
      kernel.makeDirectory(`/${parts.slice(0, count).join("/")}`, count === parts.length ? mode : 0o755);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== "EEXIST") throw error;
    }
  }
}

/** The same for all names of one file, and for no other file. */
export function inodeKey({ device, inode }: FileStatus): string {
  return `${device.major}:${device.minor}:${inode}`;
}

/** Whether something is at `path`, a dangling link included. */
export function exists(kernel: Kernel, path: Path, at?: Descriptor): boolean {
  try {
    kernel.statusAt(path, at);
    return true;
  } catch (error) {
    if (error instanceof KernelError) return false;
    throw error;
  }
}

/** Bytes of an open file, or of an open block device. */
export function sizeOf(kernel: Kernel, fd: Descriptor): bigint {
  const status = kernel.status(fd);
  if (status.kind !== "block") return status.size;
  const size = new Uint8Array(new ArrayBuffer(8));
  kernel.ioctl(fd, IOCTL.BLKGETSIZE64, size);
  return new DataView(size.buffer).getBigUint64(0, true);
}
