import { IOCTL, O } from "../constants.ts";
import type { Descriptor, PartitionChange, Path } from "../kernel.ts";
import { readLoopConfiguration } from "../layouts.ts";
import { BlockDevice, type DeviceDescription, ueventMessage } from "./memory-devices.ts";
import { EfivarsFilesystem } from "./memory-efivars.ts";
import type { OpenFile } from "./memory-files.ts";
import type { MemoryFlash } from "./memory-flash.ts";
import { Errno } from "./memory-nodes.ts";
import { numberText } from "./memory-status.ts";
import { DM_NUMBER } from "./memory-verity.ts";
import { RecordingSockets } from "./sockets.ts";
import { ioctlArgument, ioctlName, loopFlags, mountFlags, quote, unmountFlags } from "./trace.ts";

/** Answers an ioctl: its result, or an error to throw by its code ("EBUSY"). May fill the buffer. */
export type IoctlAnswer = (path: string, argument: number | Uint8Array<ArrayBuffer>) => number | string;

const READING_IOCTLS = new Set<number>([
  ...[IOCTL.BLKGETSIZE64, IOCTL.BLKROGET, IOCTL.WDIOC_GETSUPPORT, IOCTL.LOOP_CTL_GET_FREE],
  ...[IOCTL.MEMGETINFO, IOCTL.MEMISLOCKED],
  ...[IOCTL.DM_TABLE_STATUS, IOCTL.DM_GET_TARGET_VERSION, IOCTL.FS_IOC_GETFLAGS],
  ...[IOCTL.TCGETS, IOCTL.TIOCGWINSZ, IOCTL.TIOCOUTQ],
]);

/** The half of the recording kernel that deals with mounts, disks and their events. */
export abstract class RecordingDevices extends RecordingSockets {
  readonly #answers = new Map<number, IoctlAnswer>();
  #uevents: Uint8Array<ArrayBuffer>[] = [];
  #sequence = 1;

  /** A disk or partition appears now, or at `atMs` with a uevent. An existing one is what an earlier kernel left. */
  addDevice(device: DeviceDescription | BlockDevice, atMs?: number): BlockDevice {
    const block = device instanceof BlockDevice ? device : new BlockDevice(device);
    if (atMs === undefined) this.machine.addDevice(block);
    else this.script.at(atMs, () => this.#appear(block));
    return block;
  }

  /** Flash is there as /dev/mtdN. An existing one is what an earlier kernel left. */
  addFlash(number: number, flash: MemoryFlash): MemoryFlash {
    this.machine.addFlash(number, flash);
    return flash;
  }

  #appear(block: BlockDevice): void {
    this.machine.addDevice(block);
    this.#tell(block);
  }

  #tell(block: BlockDevice): void {
    const listening = [...this.machine.files.descriptors.values()].some((open) => this.#hearsUevents(open));
    if (listening) this.#uevents.push(ueventMessage("add", block, this.#sequence++));
  }

  /** Lies on its disk, but is seen only once the disk's table is read again, and names it. */
  addHiddenPartition(device: DeviceDescription | BlockDevice): BlockDevice {
    const block = device instanceof BlockDevice ? device : new BlockDevice(device);
    this.machine.partitions.describe(block);
    return block;
  }

  /** The kernel reads the disk's table, as it does when a disk appears. */
  scanPartitions(disk: BlockDevice): void {
    this.machine.partitions.readTable(disk);
  }

  changePartition(disk: Descriptor, change: PartitionChange): void {
    const { how, number, start, length } = change;
    const words = [how, `partition ${number}`, `${length} bytes from ${start} on`];
    this.run("changePartition", "blkpg", this.place(disk), words, true, () => {
      const added = this.machine.partitions.change(this.#blockOf(disk), change);
      if (added !== null) this.#tell(added);
    });
  }

  #blockOf(fd: Descriptor): BlockDevice {
    const { node } = this.machine.files.descriptor(fd);
    const block = node?.kind === "block" ? this.machine.files.devices.get(numberText(node.device)) : undefined;
    if (block === undefined) throw new Errno("ENOTTY");
    return block;
  }

  onIoctl(request: number, answer: IoctlAnswer): void {
    this.#answers.set(request, answer);
  }

  mount(source: Path, target: Path, type: string, flags: number, data: string): void {
    const line = `mount(${quote(this.text(source))}, ${quote(this.text(target))}, ${quote(type)}, ${mountFlags(flags)}, ${quote(this.textWithin(data))})`;
    const body = (): void => this.machine.mount(source, target, type, flags, data);
    this.script.call({ name: "mount", subject: this.text(target), line, effect: true, body });
  }

  unmount(target: Path, flags: number): void {
    const body = (): void => this.machine.unmount(target, flags);
    this.run("unmount", "umount", this.text(target), [unmountFlags(flags)], true, body);
  }

  ioctl(fd: Descriptor, request: number, argument: number | Uint8Array<ArrayBuffer>): number {
    const place = this.place(fd);
    const rest = [ioctlName(request), ...this.#ioctlWords(request, argument)];
    return this.run("ioctl", "ioctl", place, rest, !READING_IOCTLS.has(request), () => {
      const answer = this.#answers.get(request)?.(place, argument);
      if (typeof answer === "string") throw new Errno(answer);
      return answer ?? this.#defaultIoctl(fd, request, argument);
    });
  }

  #ioctlWords(request: number, argument: number | Uint8Array<ArrayBuffer>): string[] {
    if (request === IOCTL.FICLONE) return [quote(this.place(Number(argument)))];
    if (request !== IOCTL.LOOP_CONFIGURE || typeof argument === "number") return [ioctlArgument(request, argument)];
    const { file, flags } = readLoopConfiguration(argument);
    return [quote(this.place(file)), loopFlags(flags)];
  }

  #defaultIoctl(fd: Descriptor, request: number, argument: number | Uint8Array<ArrayBuffer>): number {
    const { files } = this.machine;
    const { node } = files.descriptor(fd);
    const block = node?.kind === "block" ? files.devices.get(numberText(node.device)) : undefined;
    if (node?.kind === "character" && numberText(node.device) === DM_NUMBER) {
      if (typeof argument === "number") throw new Errno("EINVAL");
      this.machine.deviceMapper?.answer(request, argument);
      return 0;
    }
    const flash = node?.kind === "character" ? files.flashes.get(numberText(node.device)) : undefined;
    if (flash !== undefined) return flash.control(request, argument);
    if (node?.filesystem instanceof EfivarsFilesystem && typeof argument !== "number") {
      const view = new DataView(argument.buffer, argument.byteOffset);
      if (request === IOCTL.FS_IOC_GETFLAGS) view.setUint32(0, node.filesystem.flagsOf(node), true);
      if (request === IOCTL.FS_IOC_SETFLAGS) node.filesystem.setFlags(node, view.getUint32(0, true));
      return 0;
    }
    if (request === IOCTL.BLKRRPART) {
      for (const appeared of this.machine.partitions.readTable(this.#blockOf(fd))) this.#tell(appeared);
    }
    if (request === IOCTL.FICLONE) throw new Errno("EOPNOTSUPP");
    if (request === IOCTL.LOOP_CTL_GET_FREE) return this.machine.loops.free();
    if (request === IOCTL.LOOP_CONFIGURE && typeof argument !== "number") this.machine.loops.configure(fd, argument);
    if (request === IOCTL.BLKGETSIZE64 || request === IOCTL.BLKROSET || request === IOCTL.BLKROGET) {
      if (!block || typeof argument === "number") throw new Errno("ENOTTY");
      const view = new DataView(argument.buffer, argument.byteOffset);
      if (request === IOCTL.BLKROSET) block.readOnly = view.getInt32(0, true) !== 0;
      else if (request === IOCTL.BLKROGET) view.setInt32(0, block.readOnly ? 1 : 0, true);
      else view.setBigUint64(0, BigInt(block.storage.size), true);
    }
    return 0;
  }

  loadModule(fd: Descriptor, parameters: string): void {
    const body = (): void => void this.machine.files.descriptor(fd);
    this.run("loadModule", "load-module", this.place(fd), [quote(parameters)], true, body);
  }

  lock(fd: Descriptor): boolean {
    return this.run("lock", "flock", this.place(fd), [], true, () => {
      const open = this.machine.files.descriptor(fd);
      const others = [...this.machine.files.descriptors.values()].filter((other) => other !== open && other.node === open.node);
      open.locked ||= !others.some((other) => other.locked);
      return open.locked;
    });
  }

  openUevents(): Descriptor {
    const open: OpenFile = { place: null, node: null, flags: O.RDONLY, offset: 0, storage: null, locked: false };
    return this.run("openUevents", "socket", "uevents", [], false, () => this.machine.files.addDescriptor(open));
  }

  override read(fd: Descriptor, length: number, offset: bigint | null): Uint8Array<ArrayBuffer> {
    const open = this.machine.files.descriptors.get(fd);
    if (!open || !this.#hearsUevents(open)) return super.read(fd, length, offset);
    return this.run("read", "read", "uevents", [], false, () => {
      const message = this.#uevents.shift();
      if (!message) throw new Errno("EAGAIN");
      return message;
    });
  }

  poll(fds: Descriptor[], timeoutMs: number): Descriptor[] {
    const shown = fds.map((fd) => this.place(fd)).join(" ");
    return this.run("poll", "poll", shown, [`${timeoutMs} ms`], false, () => {
      const until = this.script.clocks.bootMs + Math.max(0, timeoutMs);
      for (;;) {
        const ready = fds.filter((fd) => this.#ready(fd));
        const { bootMs } = this.script.clocks;
        if (ready.length > 0 || bootMs >= until) return ready;
        this.script.advance(Math.min(until, Math.max(bootMs, this.script.nextEventMs ?? until)) - bootMs);
      }
    });
  }

  #ready(fd: Descriptor): boolean {
    const open = this.machine.files.descriptor(fd);
    const waits = this.messageWaits(open);
    if (waits !== null) return waits;
    return open.place === null ? this.#uevents.length > 0 : open.node?.kind !== "character";
  }

  #hearsUevents(open: OpenFile): boolean {
    return open.place === null && this.messageWaits(open) === null;
  }
}
