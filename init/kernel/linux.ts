/** The real kernel: {@link Kernel} over system calls. Layouts are those of Linux on 64-bit little-endian machines. */
import { O } from "./constants.ts";
import { type Descriptor, type DirectoryEntry, type EndedChild, type Kernel, KernelError, type Path } from "./kernel.ts";
import { directoryEntries, fileStatus, filesystemStatus, STATX_BASIC } from "./layouts.ts";
import {
  type Argument,
  alignedMemory,
  call,
  cString,
  errnoName,
  execute,
  type Memory,
  memory,
  printPath,
  rawCall,
  spawnProcess,
} from "./syscall.ts";

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
const AT_EMPTY_PATH = 0x1000;
const RENAME_NOREPLACE = 1;
const SEEK = { DATA: 3, HOLE: 4 } as const;
const CLOCK = { REALTIME: 0, BOOTTIME: 7 } as const;
const NODE_KIND = { fifo: 0o010000, character: 0o020000, block: 0o060000, file: 0o100000, socket: 0o140000 } as const;
const REBOOT = { restart: 0x01234567, "power-off": 0x4321fedc, halt: 0xcdef0123, catch: 0 } as const;
const NANOSECONDS = 1_000_000_000n;

function words(...values: bigint[]): Memory {
  const buffer = memory(values.length * 8);
  const view = new DataView(buffer.buffer);
  for (const [index, value] of values.entries()) view.setBigInt64(index * 8, value, true);
  return buffer;
}

/** Descriptors opened with O_DIRECT, whose memory must be aligned. */
const direct = new Set<Descriptor>();

function subjectOf(fd: Descriptor): string {
  return `descriptor ${fd}`;
}

function clock(id: number): number {
  const time = memory(16);
  call("clock_gettime", "clock", id, time);
  const view = new DataView(time.buffer);
  return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
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

function environmentList(environment: Record<string, string>): string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

/** Arguments that make a call relative to a directory. */
function from(at: Descriptor | undefined): number {
  return at ?? AT_FDCWD;
}

class LinuxKernel implements Kernel {
  open(path: Path, flags: number, options: { at?: Descriptor; mode?: number; resolve?: number } = {}): Descriptor {
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
      if (got === 0 || offset === null) break;
    }
    return buffer.subarray(0, done);
  }
  write(fd: Descriptor, bytes: Uint8Array, offset: bigint | null): void {
    const buffer = direct.has(fd) ? alignedMemory(bytes.length) : memory(bytes.length);
    buffer.set(bytes);
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
  readDirectory(fd: Descriptor): DirectoryEntry[] {
    call("lseek", subjectOf(fd), fd, 0, 0);
    const buffer = memory(32768);
    const entries: DirectoryEntry[] = [];
    for (;;) {
      const length = call("getdents64", subjectOf(fd), fd, buffer, buffer.length);
      if (length === 0) break;
      entries.push(...directoryEntries(buffer, length, (name) => this.statusAt(name, fd).kind));
    }
    return entries.sort((left, right) => Buffer.compare(left.name, right.name));
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
    return new TextDecoder().decode(list).split("\0").slice(0, -1);
  }
  getAttribute(path: Path, name: string): Memory {
    return growing(path, (buffer) => rawCall("lgetxattr", cString(path), cString(name), buffer, buffer.length), "lgetxattr");
  }
  setAttribute(path: Path, name: string, value: Uint8Array): void {
    const buffer = memory(value.length);
    buffer.set(value);
    call("lsetxattr", path, cString(path), cString(name), buffer, value.length, 0);
  }
  removeAttribute(path: Path, name: string): void {
    call("lremovexattr", path, cString(path), cString(name));
  }

  mount(source: Path, target: Path, type: string, flags: number, data: string): void {
    const options: Argument = data === "" ? null : cString(data);
    call("mount", target, cString(source), cString(target), cString(type), flags, options);
  }
  unmount(target: Path, flags: number): void {
    call("umount2", target, cString(target), flags);
  }
  ioctl(fd: Descriptor, request: number, argument: number | Memory): number {
    return call("ioctl", `${subjectOf(fd)} request 0x${request.toString(16)}`, fd, request, argument);
  }
  loadModule(fd: Descriptor, parameters: string): void {
    call("finit_module", subjectOf(fd), fd, cString(parameters), 0);
  }
  lock(fd: Descriptor): boolean {
    const exclusiveWithoutWaiting = 2 | 4;
    const result = rawCall("flock", fd, exclusiveWithoutWaiting);
    if (result === 0) return true;
    if (errnoName(-result) === "EAGAIN") return false;
    throw new KernelError("flock", subjectOf(fd), errnoName(-result));
  }
  openUevents(): Descriptor {
    const [AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT] = [16, 2, 15];
    const fd = call("socket", "uevents", AF_NETLINK, SOCK_DGRAM | O.CLOEXEC | O.NONBLOCK, NETLINK_KOBJECT_UEVENT);
    // struct sockaddr_nl: family, padding, pid 0, groups: bit 0 is the kernel's own messages.
    const address = memory(12);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_NETLINK, true);
    view.setUint32(8, 1, true);
    try {
      call("bind", "uevents", fd, address, address.length);
    } catch (error) {
      this.close(fd);
      throw error;
    }
    return fd;
  }
  poll(fds: Descriptor[], timeoutMs: number): Descriptor[] {
    const POLLIN = 1;
    const set = memory(fds.length * 8);
    const view = new DataView(set.buffer);
    for (const [index, fd] of fds.entries()) {
      view.setInt32(index * 8, fd, true);
      view.setInt16(index * 8 + 4, POLLIN, true);
    }
    const wait = Math.max(0, timeoutMs);
    const timeout = words(BigInt(Math.floor(wait / 1000)), BigInt(Math.floor((wait % 1000) * 1e6)));
    const result = rawCall("ppoll", set, fds.length, timeout, null, 8);
    if (result < 0 && errnoName(-result) !== "EINTR") throw new KernelError("ppoll", "descriptors", errnoName(-result));
    return result > 0 ? fds.filter((_, index) => view.getInt16(index * 8 + 6, true) !== 0) : [];
  }

  spawn(program: string, args: string[], environment: Record<string, string>, stdio?: Descriptor): number {
    return spawnProcess(program, args, environmentList(environment), stdio);
  }
  reap(): EndedChild | null {
    const status = memory(4);
    const WNOHANG = 1;
    const pid = rawCall("wait4", -1, status, WNOHANG, null);
    if (pid <= 0) return null;
    const value = new DataView(status.buffer).getInt32(0, true);
    const signal = value & 0x7f;
    return { pid, exitCode: signal === 0 ? (value >> 8) & 0xff : null, signal: signal === 0 ? null : signal };
  }
  exec(program: Path, args: string[], environment: Record<string, string>): never {
    execute(program, args, environmentList(environment));
  }
  defaultSignal(signal: number): void {
    // struct sigaction of the kernel: handler SIG_DFL (0), flags, restorer, mask: all zero.
    call("rt_sigaction", `signal ${signal}`, signal, memory(32), null, 8);
  }
  setLimit(resource: number, soft: bigint, hard: bigint): void {
    call("prlimit64", `limit ${resource}`, 0, resource, words(soft, hard), null);
  }
  getLimit(resource: number): { soft: bigint; hard: bigint } {
    const limit = memory(16);
    call("prlimit64", `limit ${resource}`, 0, resource, null, limit);
    const view = new DataView(limit.buffer);
    return { soft: view.getBigUint64(0, true), hard: view.getBigUint64(8, true) };
  }
  closeOnExec(first: Descriptor): void {
    const CLOSE_RANGE_CLOEXEC = 4;
    call("close_range", "descriptors", first, 0xffffffff, CLOSE_RANGE_CLOEXEC);
  }
  duplicate(fd: Descriptor, to: Descriptor): void {
    call("dup3", subjectOf(fd), fd, to, 0);
  }
  umask(mask: number): number {
    return call("umask", "umask", mask);
  }
  changeDirectory(fd: Descriptor): void {
    call("fchdir", subjectOf(fd), fd);
  }
  changeRoot(path: Path): void {
    call("chroot", path, cString(path));
  }
  privateMounts(): void {
    const CLONE_NEWNS = 0x00020000;
    const MS_REC_PRIVATE = 16384 | (1 << 18);
    call("unshare", "mount namespace", CLONE_NEWNS);
    call("mount", "/", cString("none"), cString("/"), null, MS_REC_PRIVATE, null);
  }
  newSession(): void {
    call("setsid", "session");
  }
  processId(): number {
    return call("getpid", "process");
  }

  now() {
    return { bootMs: clock(CLOCK.BOOTTIME), unixMs: Math.floor(clock(CLOCK.REALTIME)) };
  }
  setClock(unixMs: number): void {
    const seconds = Math.floor(unixMs / 1000);
    call("clock_settime", "clock", CLOCK.REALTIME, words(BigInt(seconds), BigInt(Math.floor((unixMs - seconds * 1000) * 1e6))));
  }
  reboot(how: "restart" | "power-off" | "halt"): void {
    rawCall("sync");
    this.#rebootCall(REBOOT[how], how);
  }
  catchCtrlAltDel(): void {
    this.#rebootCall(REBOOT.catch, "Ctrl-Alt-Del");
  }
  #rebootCall(command: number, subject: string): void {
    call("reboot", subject, 0xfee1dead, 672274793, command, null);
  }
}

/** The kernel this program runs on. */
export function linuxKernel(): Kernel {
  return new LinuxKernel();
}
