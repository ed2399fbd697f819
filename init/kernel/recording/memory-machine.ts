import { DM_CONTROL } from "../../../boot/image/device-mapper.ts";
import { FILESYSTEM_MAGIC, MNT, MS } from "../constants.ts";
import type { Path } from "../kernel.ts";
import { type BlockDevice, MAGIC, systemTree } from "./memory-devices.ts";
import type { EfivarsFilesystem } from "./memory-efivars.ts";
import { MemoryFiles } from "./memory-files.ts";
import type { MemoryFlash } from "./memory-flash.ts";
import { MemoryLoops } from "./memory-loops.ts";
import { type Directory, Entry, Errno, Filesystem, Node, type Place, toName } from "./memory-nodes.ts";
import { OverlayFilesystem, overlayLayers } from "./memory-overlay.ts";
import { MemoryPartitions } from "./memory-partitions.ts";
import { numberText } from "./memory-status.ts";
import { device, directory, file, link, plant, type Tree } from "./memory-tree.ts";
import { DeviceMapper, DM_NUMBER } from "./memory-verity.ts";

export interface MachineDescription {
  /** /proc/cmdline; "" if absent. */
  commandLine?: string;
  /** Files of the initramfs. */
  initramfs?: Tree;
  /** Version of the kernel's dm-verity; it has none if absent. */
  verity?: [number, number, number];
  /** The firmware's variables; the machine has no UEFI if absent. */
  efivars?: EfivarsFilesystem;
}

/** Filesystems that live without a device. The others are what a device holds. */
const WITHOUT_DEVICE = new Set(["tmpfs", "ramfs", "proc", "sysfs", "devtmpfs", "devpts", "cgroup2", "securityfs", "efivarfs"]);
const CHANGES_PROPAGATION = MS.PRIVATE | MS.SHARED;

/** The mounts of a machine, its block devices, and /proc, /sys and /dev as far as a boot looks at them. */
export class MemoryMachine {
  readonly files: MemoryFiles;
  readonly loops: MemoryLoops;
  readonly partitions = new MemoryPartitions(this);
  /** Null: the kernel has none. */
  readonly deviceMapper: DeviceMapper | null;
  readonly #proc: Filesystem;
  readonly #sys: Filesystem;
  readonly #dev: Filesystem;
  readonly #efivars: EfivarsFilesystem | null;
  #minor = 1;

  constructor(description: MachineDescription, clock: () => bigint) {
    const rootfs = new Filesystem("rootfs", { major: 0, minor: this.#minor++ }, FILESYSTEM_MAGIC.ramfs);
    this.files = new MemoryFiles(rootfs, clock);
    this.loops = new MemoryLoops(this.files, (name, minor) => this.plant("dev", { [name]: device("block", 7, minor) }));
    this.deviceMapper = description.verity ? new DeviceMapper(this, description.verity) : null;
    if (this.deviceMapper === null) this.files.absent.add(DM_NUMBER);
    plant(rootfs.root, { proc: {}, sys: {}, dev: {}, ...description.initramfs });
    this.#proc = this.#make("proc");
    this.#sys = this.#make("sysfs");
    this.#efivars = description.efivars ?? null;
    this.#dev = this.#make("devtmpfs");
    plant(this.#proc.root, this.#processTree(description.commandLine ?? ""));
    plant(this.#sys.root, { class: { block: {} }, dev: { block: {} }, block: {}, devices: {}, module: {} });
    if (this.#efivars) plant(this.#sys.root, { firmware: { efi: { efivars: {} } } });
    plant(this.#dev.root, {
      console: device("character", 5, 1),
      kmsg: device("character", 1, 11),
      "loop-control": device("character", 10, 237),
      null: device("character", 1, 3, { mode: 0o666 }),
      ...(this.deviceMapper ? { "mapper/control": device("character", DM_CONTROL.number.major, DM_CONTROL.number.minor) } : {}),
    });
    for (const filesystem of [this.#proc, this.#sys, this.#dev]) {
      const names: Record<string, string> = { proc: "/proc", sysfs: "/sys", devtmpfs: "/dev" };
      const target = this.files.existing(names[filesystem.type] ?? "/", undefined, true);
      this.files.mounts.add(filesystem, filesystem.root, filesystem.type, MS.NOSUID, target);
    }
  }

  #make(type: string): Filesystem {
    return new Filesystem(type, { major: 0, minor: this.#minor++ }, MAGIC[type] ?? FILESYSTEM_MAGIC.tmpfs);
  }

  #processTree(commandLine: string): Tree {
    const { files } = this;
    const own: Tree = {
      mountinfo: file(() => files.mounts.information(files.root)),
      mounts: file(() => files.mounts.list().map(fstabLine).join("")),
      fd: directory(),
    };
    const entry = this.#proc.root;
    plant(entry, { "1": own });
    const fds = entry.node.directory?.find("1")?.node.directory?.find("fd");
    if (fds) fds.node.directory = new DescriptorDirectory(fds, files);
    return { cmdline: `${commandLine}\n`, self: link("1"), mounts: link("self/mounts"), "sys/kernel/panic": "0\n" };
  }

  /** Adds files to /proc or /sys or /dev, whether or not they are mounted. */
  plant(where: "proc" | "sys" | "dev", tree: Tree): void {
    plant({ proc: this.#proc, sys: this.#sys, dev: this.#dev }[where].root, tree);
  }

  /** The device appears: its node below /dev and its directory in sysfs. */
  addDevice(block: BlockDevice): void {
    const up = "../../";
    this.files.devices.set(numberText(block.number), block);
    block.readOnly = false;
    const { major, minor } = block.number;
    this.plant("dev", { [block.path.replace(/^\/dev\//, "")]: device("block", major, minor) });
    this.plant("sys", {
      ...systemTree(block),
      [`class/block/${block.name}`]: link(`${up}${block.systemPath}`),
      [`dev/block/${numberText(block.number)}`]: link(`${up}${block.systemPath}`),
      ...(block.partition ? {} : { [`block/${block.name}`]: link(`../${block.systemPath}`) }),
    });
  }

  /** Flash appears as /dev/mtdN; MTD_CHAR_MAJOR has two minors for each, the second for reading only. */
  addFlash(number: number, flash: MemoryFlash): void {
    const node = { major: 90, minor: number * 2 };
    this.files.flashes.set(numberText(node), flash);
    this.plant("dev", { [`mtd${number}`]: device("character", node.major, node.minor) });
  }

  /** The device is no more. */
  removeDevice(block: BlockDevice): void {
    this.files.devices.delete(numberText(block.number));
    this.#dev.root.node.directory?.drop(block.name);
    this.files.existing("/sys/class/block", undefined, true).entry.node.directory?.drop(block.name);
  }

  mount(source: Path, target: Path, type: string, flags: number, data: string): void {
    const { files } = this;
    const at = files.existing(target, undefined, true);
    if (flags & MS.REMOUNT) {
      if (at.entry !== at.mount.root) throw new Errno("EINVAL");
      at.mount.flags = flags & ~(MS.REMOUNT | MS.BIND);
      return;
    }
    if (flags & CHANGES_PROPAGATION) {
      if (at.entry !== at.mount.root) throw new Errno("EINVAL");
      return;
    }
    if (flags & MS.BIND) {
      files.mounts.bind(files.existing(source, undefined, true), at, 0, (flags & MS.REC) !== 0);
      return;
    }
    if (flags & MS.MOVE) {
      files.mounts.move(files.existing(source, undefined, true), at);
      return;
    }
    const filesystem = this.#filesystem(source, type, flags, data);
    files.mounts.add(filesystem, filesystem.root, Buffer.from(source).toString(), flags & ~(MS.REC | MS.SILENT), at);
  }

  #filesystem(source: Path, type: string, flags: number, data: string): Filesystem {
    if (type === "proc") return this.#proc;
    if (type === "sysfs") return this.#sys;
    if (type === "devtmpfs") return this.#dev;
    if (type === "overlay") return this.#overlay(data);
    if (type === "efivarfs" && this.#efivars) return this.#efivars;
    if (WITHOUT_DEVICE.has(type)) return withRootMode(this.#make(type), data);
    const { node } = this.files.existing(source, undefined, true).entry;
    if (node.kind !== "block") throw new Errno("ENOTBLK");
    const block = this.files.devices.get(numberText(node.device));
    if (!block) throw new Errno("ENXIO");
    if (block.filesystem?.type !== type) throw new Errno("EINVAL");
    if (block.readOnly && !(flags & MS.RDONLY) && !block.filesystem.readOnly) throw new Errno("EACCES");
    const other = this.files.mounts.mounts.find((mount) => mount.filesystem === block.filesystem);
    if (other && (other.flags & MS.RDONLY) !== (flags & MS.RDONLY)) throw new Errno("EBUSY");
    return block.filesystem;
  }

  #overlay(data: string): OverlayFilesystem {
    const layers = overlayLayers(data);
    const top = (path: string): Place => {
      const place = this.files.existing(path, undefined, true);
      if (place.entry.node.kind !== "directory") throw new Errno("ENOTDIR");
      return place;
    };
    const lower = layers.lower.map((path) => top(path).entry);
    if (lower.length === 0) throw new Errno("EINVAL");
    if (layers.upper === null) return new OverlayFilesystem({ major: 0, minor: this.#minor++ }, lower, null);
    if (layers.work === null) throw new Errno("EINVAL");
    const [upper, work] = [top(layers.upper), top(layers.work)];
    if (upper.mount !== work.mount || upper.entry === work.entry) throw new Errno("EINVAL");
    this.files.refuseReadOnly(upper);
    return new OverlayFilesystem({ major: 0, minor: this.#minor++ }, lower, upper.entry);
  }

  unmount(target: Path, flags: number): void {
    const place = this.files.existing(target, undefined, (flags & MNT.NOFOLLOW) === 0);
    const { mount } = place;
    if (place.entry !== mount.root || !mount.parent) throw new Errno("EINVAL");
    const detach = (flags & MNT.DETACH) !== 0;
    const inUse = [...this.files.descriptors.values()].some((open) => open.place?.mount === mount);
    if (!detach && (inUse || this.files.workingDirectory.mount === mount || this.files.root.mount === mount)) {
      throw new Errno("EBUSY");
    }
    this.files.mounts.remove(mount, detach);
    if (!this.files.mounts.mounts.some((other) => other.filesystem === mount.filesystem)) mount.filesystem.sync(null);
  }

  changeRoot(path: Path): void {
    const place = this.files.existing(path, undefined, true);
    if (place.entry.node.kind !== "directory") throw new Errno("ENOTDIR");
    this.files.root = place;
  }
}

function fstabLine(line: string): string {
  const [where = "", type = "", source = "", options = ""] = line.split(" ");
  return `${source} ${where} ${type} ${options} 0 0\n`;
}

/** tmpfs takes mode=, uid= and gid=. */
function withRootMode(filesystem: Filesystem, data: string): Filesystem {
  const { node } = filesystem.root;
  if (filesystem.type === "tmpfs") node.mode = 0o1777;
  for (const option of data.split(",")) {
    const [name = "", value = ""] = option.split("=");
    if (name === "mode") node.mode = Number.parseInt(value, 8);
    if (name === "uid") node.owner = Number(value);
    if (name === "gid") node.group = Number(value);
  }
  return filesystem;
}

/** /proc/self/fd: one magic link for each descriptor. */
class DescriptorDirectory implements Directory {
  constructor(
    readonly self: Entry,
    readonly files: MemoryFiles,
  ) {}
  find(name: string): Entry | null {
    const open = /^\d+$/.test(name) ? this.files.descriptors.get(Number(name)) : undefined;
    const place = open?.place;
    if (!place) return null;
    const node = new Node(this.self.node.filesystem, "symlink", 0o700, 0);
    node.target = toName(this.files.mounts.path(place));
    node.jump = () => place;
    return new Entry(this.self, name, node);
  }
  names(): string[] {
    return [...this.files.descriptors.keys()].map(String);
  }
  make(): Entry {
    throw new Errno("EPERM");
  }
  link(): Entry {
    throw new Errno("EPERM");
  }
  adopt(): void {
    throw new Errno("EPERM");
  }
  drop(): void {
    throw new Errno("EPERM");
  }
}
