/** The real kernel: {@link Kernel} over system calls. Layouts are those of Linux on 64-bit little-endian machines. */
import { BLKPG } from "./constants.ts";
import { errnoName } from "./errno.ts";
import {
  type Descriptor,
  type EndedChild,
  type Kernel,
  KernelError,
  type PartitionChange,
  type Path,
  type RebootKind,
} from "./kernel.ts";
import { subjectOf } from "./linux-files.ts";
import { LinuxSockets } from "./linux-sockets.ts";
import {
  type Argument,
  addressOf,
  call,
  cString,
  execute,
  type Memory,
  memory,
  rawCall,
  spawnProcess,
  words,
} from "./syscall.ts";

const CLOCK = { REALTIME: 0, BOOTTIME: 7 } as const;
/** linux/reboot.h and linux/kexec.h. */
export const REBOOT: Record<RebootKind, number> = {
  restart: 0x01234567,
  "power-off": 0x4321fedc,
  halt: 0xcdef0123,
  kexec: 0x45584543,
};
/** A restart with an argument. */
export const RESTART2 = 0xa1b2c3d4;
export const KEXEC_FILE_UNLOAD = 1;
export const KEXEC_FILE_NO_INITRAMFS = 4;
const CTRL_ALT_DEL = { signal: 0, restart: 0x89abcdef } as const;

function clock(id: number): number {
  const time = memory(16);
  call("clock_gettime", "clock", id, time);
  const view = new DataView(time.buffer);
  return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
}

function environmentList(environment: Record<string, string>): string[] {
  return Object.entries(environment).map(([name, value]) => `${name}=${value}`);
}

class LinuxKernel extends LinuxSockets implements Kernel {
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
  changePartition(disk: Descriptor, { how, number, start, length }: PartitionChange): void {
    // struct blkpg_partition: start, length, pno, devname[64], volname[64]; struct blkpg_ioctl_arg: op, flags, datalen, data.
    const partition = memory(152);
    const view = new DataView(partition.buffer);
    view.setBigInt64(0, start, true);
    view.setBigInt64(8, length, true);
    view.setInt32(16, number, true);
    const request = memory(24);
    const words = new DataView(request.buffer);
    words.setInt32(0, BLKPG.op[how], true);
    words.setInt32(8, partition.length, true);
    words.setBigUint64(16, addressOf(partition), true);
    // The kernel takes no fifth argument: it is handed over so that the memory stays referenced.
    call("ioctl", `${subjectOf(disk)} BLKPG ${how} ${number}`, disk, BLKPG.ioctl, request, partition);
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
  kill(pid: number, signal: number): void {
    call("kill", `process ${pid}`, pid, signal);
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
  processId(): number {
    return call("getpid", "process");
  }
  addKey(description: string, payload: Uint8Array): void {
    const KEY_SPEC_PROCESS_KEYRING = -2;
    const bytes = memory(payload.length);
    bytes.set(payload);
    call("add_key", description, cString("user"), cString(description), bytes, bytes.length, KEY_SPEC_PROCESS_KEYRING);
  }
  lowerPriority(): void {
    const IOPRIO_CLASS_IDLE = 3;
    this.#setPriority(19, IOPRIO_CLASS_IDLE);
  }
  restorePriority(): void {
    const IOPRIO_CLASS_NONE = 0;
    this.#setPriority(0, IOPRIO_CLASS_NONE);
  }
  #setPriority(nice: number, ioClass: number): void {
    const [PRIO_PROCESS, IOPRIO_WHO_PROCESS] = [0, 1];
    call("setpriority", "process", PRIO_PROCESS, 0, nice);
    call("ioprio_set", "process", IOPRIO_WHO_PROCESS, 0, ioClass << 13);
  }

  now() {
    return { bootMs: clock(CLOCK.BOOTTIME), unixMs: Math.floor(clock(CLOCK.REALTIME)) };
  }
  setClock(unixMs: number): void {
    const seconds = Math.floor(unixMs / 1000);
    call("clock_settime", "clock", CLOCK.REALTIME, words(BigInt(seconds), BigInt(Math.floor((unixMs - seconds * 1000) * 1e6))));
  }
  loadKexec(kernel: Descriptor, initrd: Descriptor | null, commandLine: string): void {
    const text = cString(commandLine);
    const [fd, flags] = initrd === null ? [-1, KEXEC_FILE_NO_INITRAMFS] : [initrd, 0];
    call("kexec_file_load", subjectOf(kernel), kernel, fd, text.length, text, flags);
  }
  unloadKexec(): void {
    call("kexec_file_load", "nothing", -1, -1, 0, null, KEXEC_FILE_UNLOAD);
  }
  reboot(how: RebootKind, argument?: string): void {
    rawCall("sync");
    if (how === "restart" && argument !== undefined) this.#rebootCall(RESTART2, how, cString(argument));
    else this.#rebootCall(REBOOT[how], how);
  }
  setCtrlAltDel(does: "signal" | "restart"): void {
    this.#rebootCall(CTRL_ALT_DEL[does], "Ctrl-Alt-Del");
  }
  #rebootCall(command: number, subject: string, argument: Memory | null = null): void {
    call("reboot", subject, 0xfee1dead, 672274793, command, argument);
  }
}

/** The kernel this program runs on. */
export function linuxKernel(): Kernel {
  return new LinuxKernel();
}
