/**
 * Raw system calls over libc's syscall(2). No other file touches FFI.
 *
 * Two facts of Bun rule this file. errno must be read directly after the call with nothing between. And the address of
 * a small typed array goes stale once its function is optimised, so all memory whose address is passed is backed by an
 * ArrayBuffer of its own and kept referenced while the kernel uses it.
 */
import type * as ffi from "bun:ffi";
import type { Pointer } from "bun:ffi";
import { ownArchitecture } from "../version.ts";
import { errnoName } from "./errno.ts";
import { KernelError, type Path } from "./kernel.ts";

/** System call numbers: [x86-64, arm64]. Sources: arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h. */
export const SYSTEM_CALLS = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  lseek: [8, 62],
  rt_sigaction: [13, 134],
  ioctl: [16, 29],
  pread64: [17, 67],
  pwrite64: [18, 68],
  getpid: [39, 172],
  socket: [41, 198],
  sendto: [44, 206],
  recvfrom: [45, 207],
  bind: [49, 200],
  setsockopt: [54, 208],
  execve: [59, 221],
  wait4: [61, 260],
  kill: [62, 129],
  flock: [73, 32],
  fsync: [74, 82],
  ftruncate: [77, 46],
  fchdir: [81, 50],
  fchmod: [91, 52],
  umask: [95, 166],
  fstatfs: [138, 44],
  setpriority: [141, 140],
  chroot: [161, 51],
  sync: [162, 81],
  mount: [165, 40],
  umount2: [166, 39],
  reboot: [169, 142],
  lsetxattr: [189, 6],
  lgetxattr: [192, 9],
  llistxattr: [195, 12],
  lremovexattr: [198, 15],
  getdents64: [217, 61],
  clock_settime: [227, 112],
  clock_gettime: [228, 113],
  add_key: [248, 217],
  ioprio_set: [251, 30],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  fchownat: [260, 54],
  unlinkat: [263, 35],
  linkat: [265, 37],
  symlinkat: [266, 36],
  readlinkat: [267, 78],
  ppoll: [271, 73],
  unshare: [272, 97],
  utimensat: [280, 88],
  fallocate: [285, 47],
  dup3: [292, 24],
  prlimit64: [302, 261],
  syncfs: [306, 267],
  finit_module: [313, 273],
  renameat2: [316, 276],
  kexec_file_load: [320, 294],
  copy_file_range: [326, 285],
  statx: [332, 291],
  close_range: [436, 436],
  openat2: [437, 437],
} as const;

export type SystemCall = keyof typeof SYSTEM_CALLS;

const architecture = ownArchitecture === "arm64" ? 1 : 0;

declare module "bun" {
  /** What the module bun:ffi hands out, in the runtime itself. */
  const FFI: Pick<typeof ffi, "dlopen" | "ptr" | "read">;
}

/** FFIType.i64_fast: a number where that is exact, else a bigint. */
const I64_FAST: ffi.FFIType.i64_fast = 15;

// Not from bun:ffi: evaluating that module is a third of what evaluating all of ours costs a start.
const { dlopen, ptr, read } = Bun.FFI;

const libc = dlopen("libc.so.6", {
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: I64_FAST },
  __errno_location: { args: [], returns: "ptr" },
}).symbols;

/** What starts a program: an ordinary boot starts none, and each function costs code of its own that is made for it. */
const spawnSymbols = {
  posix_spawn: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
  posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
  posix_spawn_file_actions_adddup2: { args: ["ptr", "i32", "i32"], returns: "i32" },
  posix_spawnattr_init: { args: ["ptr"], returns: "i32" },
  posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "i32" },
  posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "i32" },
} as const;

function openSpawn() {
  return dlopen("libc.so.6", spawnSymbols).symbols;
}
let spawnLibrary: ReturnType<typeof openSpawn> | null = null;

const errnoAddress = libc.__errno_location();
if (typeof errnoAddress !== "number") throw new KernelError("dlopen", "libc.so.6", "ENOSYS");
const errnoPlace: Pointer = errnoAddress;

/** Memory that the kernel may be given the address of. */
export type Memory = Uint8Array<ArrayBuffer>;

/** A zeroed buffer of `length` bytes. */
export function memory(length: number): Memory {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A zeroed buffer whose address is a multiple of 4096, as O_DIRECT wants it. */
export function alignedMemory(length: number): Memory {
  const buffer = new ArrayBuffer(length + 4096);
  const address = Number(ptr(new Uint8Array(buffer)));
  return new Uint8Array(buffer, (4096 - (address % 4096)) % 4096, length);
}

/** Signed 64-bit words, as structures of the kernel hold them. */
export function words(...values: bigint[]): Memory {
  const buffer = memory(values.length * 8);
  const view = new DataView(buffer.buffer);
  for (const [index, value] of values.entries()) view.setBigInt64(index * 8, value, true);
  return buffer;
}

const encoder = new TextEncoder();

/** `path` with a terminating NUL. A NUL inside it is refused as the kernel would refuse an empty name. */
export function cString(path: Path): Memory {
  const bytes = typeof path === "string" ? encoder.encode(path) : path;
  if (bytes.includes(0)) throw new KernelError("path", printPath(path), "EINVAL");
  const terminated = memory(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** A NULL-terminated array of pointers to C strings; the strings live as long as the returned array is kept. */
export function cStringArray(texts: string[]): { pointers: Memory; strings: Memory[] } {
  const strings = texts.map((text) => cString(text));
  const pointers = memory(8 * (texts.length + 1));
  const view = new DataView(pointers.buffer);
  for (const [index, string] of strings.entries()) view.setBigUint64(index * 8, BigInt(ptr(string)), true);
  return { pointers, strings };
}

/** A path for messages: bytes that are no UTF-8 are shown as \xNN. */
export function printPath(path: Path): string {
  if (typeof path === "string") return path;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(path);
  } catch {
    return [...path].map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join("");
  }
}

export type Argument = number | bigint | Memory | null;

/** What the call under way was given; referenced here so that the collector cannot take it. */
const inUse: { arguments: readonly unknown[] } = { arguments: [] };

function word(argument: Argument | undefined): number | bigint {
  if (argument === undefined || argument === null) return 0;
  if (typeof argument === "number" || typeof argument === "bigint") return argument;
  return argument.byteLength === 0 ? 0 : ptr(argument);
}

/** Where memory lies, for structures that point to it. Whoever stores it keeps `bytes` while the kernel may look. */
export function addressOf(bytes: Memory): bigint {
  return BigInt(ptr(bytes));
}

/** The call's result, or -errno. */
export function rawCall(call: SystemCall, ...args: Argument[]): number {
  inUse.arguments = args;
  const [a, b, c, d, e, f] = args;
  const words = [word(a), word(b), word(c), word(d), word(e), word(f)] as const;
  const result = libc.syscall(SYSTEM_CALLS[call][architecture], words[0], words[1], words[2], words[3], words[4], words[5]);
  const code = result === -1 ? read.i32(errnoPlace, 0) : 0;
  inUse.arguments = [];
  return code === 0 ? Number(result) : -code;
}

/** The call's result. Interrupted calls are made again. Throws KernelError with `subject` in it. */
export function call(name: SystemCall, subject: Path, ...args: Argument[]): number {
  for (;;) {
    const result = rawCall(name, ...args);
    if (result >= 0) return result;
    const code = errnoName(-result);
    if (code !== "EINTR") throw new KernelError(name, printPath(subject), code);
  }
}

/** posix_spawn(3) with default signals in the child. Returns the pid. */
export function spawnProcess(program: string, args: string[], environment: string[], stdio: number | undefined): number {
  const pid = memory(4);
  const actions = memory(128);
  const attributes = memory(512);
  const allSignals = memory(128).fill(0xff);
  const argv = cStringArray(args);
  const envp = cStringArray(environment);
  const setDefaultSignals = 0x04;
  spawnLibrary ??= openSpawn();
  inUse.arguments = [argv, envp];
  spawnLibrary.posix_spawn_file_actions_init(actions);
  spawnLibrary.posix_spawnattr_init(attributes);
  spawnLibrary.posix_spawnattr_setsigdefault(attributes, allSignals);
  spawnLibrary.posix_spawnattr_setflags(attributes, setDefaultSignals);
  if (stdio !== undefined) for (const fd of [0, 1, 2]) spawnLibrary.posix_spawn_file_actions_adddup2(actions, stdio, fd);
  const code = spawnLibrary.posix_spawn(pid, cString(program), actions, attributes, argv.pointers, envp.pointers);
  if (code !== 0) throw new KernelError("posix_spawn", program, errnoName(code));
  inUse.arguments = [];
  return new DataView(pid.buffer).getInt32(0, true);
}

/** execve(2). */
export function execute(program: Path, args: string[], environment: string[]): never {
  const argv = cStringArray(args);
  const envp = cStringArray(environment);
  const name = cString(program);
  inUse.arguments = [argv, envp, name];
  libc.syscall(SYSTEM_CALLS.execve[architecture], ptr(name), ptr(argv.pointers), ptr(envp.pointers), 0, 0, 0);
  throw new KernelError("execve", printPath(program), errnoName(read.i32(errnoPlace, 0)));
}
