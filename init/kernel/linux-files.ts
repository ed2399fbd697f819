/** Files, directories and their attributes, over system calls. */
import { O } from "./constants.ts";
import { errnoName } from "./errno.ts";
import { type Descriptor, type DirectoryEntry, KernelError, type OpenOptions, type Path } from "./kernel.ts";
import { directoryEntries, fileStatus, filesystemStatus, STATX_BASIC } from "./layouts.ts";
import { alignedMemory, call, cString, type Memory, memory, printPath, rawCall, words } from "./syscall.ts";

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const RENAME_NOREPLACE = 1;
const SEEK = { DATA: 3, HOLE: 4 } as const;
const NODE_KIND = { fifo: 0o010000, character: 0o020000, block: 0o060000, file: 0o100000, socket: 0o140000 } as const;
const NANOSECONDS = 1_000_000_000n;

/** Descriptors opened with O_DIRECT, whose memory must be aligned. */
const direct = new Set<Descriptor>();

/** From this length on the memory of an array never moves, so that the kernel can be given its address as it is. */
const LARGE = 4096;
/** What goes through {@link bounce} at once. */
const BOUNCE = 1024 * 1024;
let bounceMemory: Memory | null = null;

/** Aligned memory for O_DIRECT, always the same: nothing keeps it from one call to the next. */
function bounce(length: number): Memory {
  bounceMemory ??= alignedMemory(BOUNCE);
  return bounceMemory.subarray(0, Math.min(length, BOUNCE));
}

/** `bytes` where the kernel can take them from there, else a copy. */
function steady(bytes: Uint8Array): Memory {
  const { buffer, byteOffset, length } = bytes;
  if (length >= LARGE && buffer instanceof ArrayBuffer) return new Uint8Array(buffer, byteOffset, length);
  const copy = memory(length);
  copy.set(bytes);
  return copy;
}

/** What a failed call on a descriptor says it was about. */
export function subjectOf(fd: Descriptor): string {
  return `descriptor ${fd}`;
}

/** A value whose length is not known beforehand: asks for the length first, and again where it grew meanwhile. */
function growing(path: Path, ask: (buffer: Memory) => number, name: "llistxattr" | "lgetxattr"): Memory {
  for (;;) {
    const length = ask(memory(0));
    if (length === 0) return memory(0);
    const buffer = memory(length > 0 ? length : 1);
    const result = length > 0 ? ask(buffer) : length;
    if (result >= 0) return buffer.slice(0, result);
    if (errnoName(-result) !== "ERANGE") throw new KernelError(name, printPath(path), errnoName(-result));
  }
}

/** Any user may give a file of his an attribute whose name is no valid UTF-8. */
function attributeName(name: string): Memory {
  return cString(Buffer.from(name, "latin1"));
}

/** Arguments that make a call relative to a directory. */
function from(at: Descriptor | undefined): number {
  return at ?? AT_FDCWD;
}

/** The half of {@link Kernel} that is about files. */
export class LinuxFiles {
  open(path: Path, flags: number, options: OpenOptions = {}): Descriptor {
    // openat2 refuses a mode without O_CREAT.
    const mode = flags & O.CREAT ? (options.mode ?? 0o600) : 0;
    const how = words(BigInt(flags | O.CLOEXEC), BigInt(mode), BigInt(options.resolve ?? 0));
    const fd = call("openat2", path, from(options.at), cString(path), how, how.byteLength);
    if (flags & O.DIRECT) direct.add(fd);
    return fd;
  }
  close(fd: Descriptor): void {
    direct.delete(fd);
    // Linux frees the descriptor whatever close(2) returns: nothing can be done about a failure.
    rawCall("close", fd);
  }
  read(fd: Descriptor, length: number, offset: bigint | null): Memory {
    const buffer = direct.has(fd) ? alignedMemory(length) : memory(length);
    let done = 0;
    while (done < length) {
      const rest = buffer.subarray(done);
      const got =
        offset === null
          ? call("read", subjectOf(fd), fd, rest, rest.length)
          : call("pread64", subjectOf(fd), fd, rest, rest.length, offset + BigInt(done));
      done += got;
      // Past the page cache only a file's end is no whole sector, and nothing can be asked for from there on.
      if (got === 0 || offset === null || (got % 512 !== 0 && direct.has(fd))) break;
    }
    return buffer.subarray(0, done);
  }
  readInto(fd: Descriptor, bytes: Memory, offset: bigint): number {
    let done = 0;
    while (done < bytes.length) {
      const rest = bytes.subarray(done);
      const into = direct.has(fd) ? bounce(rest.length) : rest;
      const got = call("pread64", subjectOf(fd), fd, into, into.length, offset + BigInt(done));
      if (into !== rest) rest.set(into.subarray(0, got));
      done += got;
      // Past the end O_DIRECT would be asked for a place within a sector.
      if (got === 0 || (into !== rest && got < into.length)) break;
    }
    return done;
  }
  write(fd: Descriptor, bytes: Uint8Array, offset: bigint | null): void {
    const buffer = direct.has(fd) ? alignedMemory(bytes.length) : steady(bytes);
    if (direct.has(fd)) buffer.set(bytes);
    let done = 0;
    while (done < buffer.length) {
      const rest = buffer.subarray(done);
      done +=
        offset === null
          ? call("write", subjectOf(fd), fd, rest, rest.length)
          : call("pwrite64", subjectOf(fd), fd, rest, rest.length, offset + BigInt(done));
    }
  }
  sync(fd: Descriptor): void {
    call("fsync", subjectOf(fd), fd);
  }
  syncFilesystem(fd: Descriptor): void {
    call("syncfs", subjectOf(fd), fd);
  }
  truncate(fd: Descriptor, size: bigint): void {
    call("ftruncate", subjectOf(fd), fd, size);
  }
  allocate(fd: Descriptor, offset: bigint, length: bigint): void {
    call("fallocate", subjectOf(fd), fd, 0, offset, length);
  }
  seekData(fd: Descriptor, offset: bigint): bigint | null {
    const result = rawCall("lseek", fd, offset, SEEK.DATA);
    if (result >= 0) return BigInt(result);
    if (errnoName(-result) === "ENXIO") return null;
    throw new KernelError("lseek", subjectOf(fd), errnoName(-result));
  }
  seekHole(fd: Descriptor, offset: bigint): bigint {
    return BigInt(call("lseek", subjectOf(fd), fd, offset, SEEK.HOLE));
  }
  copyRange(fromFd: Descriptor, to: Descriptor, offset: bigint, length: number): number {
    return call("copy_file_range", subjectOf(fromFd), fromFd, words(offset), to, words(offset), length, 0);
  }
  status(fd: Descriptor) {
    const buffer = memory(256);
    call("statx", subjectOf(fd), fd, cString(""), AT_EMPTY_PATH, STATX_BASIC, buffer);
    return fileStatus(buffer);
  }
  statusAt(path: Path, at?: Descriptor) {
    const buffer = memory(256);
    call("statx", path, from(at), cString(path), AT_SYMLINK_NOFOLLOW, STATX_BASIC, buffer);
    return fileStatus(buffer);
  }
  filesystemStatus(fd: Descriptor) {
    const buffer = memory(120);
    call("fstatfs", subjectOf(fd), fd, buffer);
    return filesystemStatus(buffer);
  }
  readDirectory(fd: Descriptor, most = Number.POSITIVE_INFINITY): DirectoryEntry[] {
    call("lseek", subjectOf(fd), fd, 0, 0);
    const buffer = memory(32768);
    const entries: DirectoryEntry[] = [];
    while (entries.length < most) {
      const length = call("getdents64", subjectOf(fd), fd, buffer, buffer.length);
      if (length === 0) break;
      entries.push(...directoryEntries(buffer, length, (name) => this.statusAt(name, fd).kind));
    }
    return entries.slice(0, most).sort((left, right) => Buffer.compare(left.name, right.name));
  }
  readLink(path: Path, at?: Descriptor): Memory {
    const buffer = memory(4096);
    return buffer.subarray(0, call("readlinkat", path, from(at), cString(path), buffer, buffer.length));
  }
  makeDirectory(path: Path, mode: number, at?: Descriptor): void {
    call("mkdirat", path, from(at), cString(path), mode);
  }
  makeNode(path: Path, kind: keyof typeof NODE_KIND, mode: number, node: { major: number; minor: number }, at?: Descriptor) {
    // dev_t of mknod(2): minor bits 0-7, major bits 8-19, the rest of the minor above.
    const device = ((node.minor & 0xfff00) << 12) | (node.major << 8) | (node.minor & 0xff);
    call("mknodat", path, from(at), cString(path), NODE_KIND[kind] | mode, device >>> 0);
  }
  makeSymlink(target: Path, path: Path, at?: Descriptor): void {
    call("symlinkat", path, cString(target), from(at), cString(path));
  }
  makeHardLink(existing: Path, path: Path, at?: Descriptor): void {
    call("linkat", path, from(at), cString(existing), from(at), cString(path), 0);
  }
  rename(source: Path, to: Path, options: { at?: Descriptor; exclusive?: boolean } = {}): void {
    const flags = options.exclusive ? RENAME_NOREPLACE : 0;
    call("renameat2", to, from(options.at), cString(source), from(options.at), cString(to), flags);
  }
  remove(path: Path, options: { at?: Descriptor; directory?: boolean } = {}): void {
    call("unlinkat", path, from(options.at), cString(path), options.directory ? AT_REMOVEDIR : 0);
  }
  changeOwner(path: Path, owner: number, group: number, at?: Descriptor): void {
    call("fchownat", path, from(at), cString(path), owner, group, AT_SYMLINK_NOFOLLOW);
  }
  changeMode(fd: Descriptor, mode: number): void {
    call("fchmod", subjectOf(fd), fd, mode);
  }
  changeTimes(path: Path, accessed: bigint, modified: bigint, at?: Descriptor): void {
    const seconds = (time: bigint) => (time - nanoseconds(time)) / NANOSECONDS;
    const nanoseconds = (time: bigint) => ((time % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
    const times = words(seconds(accessed), nanoseconds(accessed), seconds(modified), nanoseconds(modified));
    call("utimensat", path, from(at), cString(path), times, AT_SYMLINK_NOFOLLOW);
  }
  listAttributes(path: Path): string[] {
    const list = growing(path, (buffer) => rawCall("llistxattr", cString(path), buffer, buffer.length), "llistxattr");
    return Buffer.from(list).toString("latin1").split("\0").slice(0, -1);
  }
  getAttribute(path: Path, name: string): Memory {
    return growing(
      path,
      (buffer) => rawCall("lgetxattr", cString(path), attributeName(name), buffer, buffer.length),
      "lgetxattr",
    );
  }
  setAttribute(path: Path, name: string, value: Uint8Array): void {
    const buffer = memory(value.length);
    buffer.set(value);
    call("lsetxattr", path, cString(path), attributeName(name), buffer, value.length, 0);
  }
  removeAttribute(path: Path, name: string): void {
    call("lremovexattr", path, cString(path), attributeName(name));
  }
}
