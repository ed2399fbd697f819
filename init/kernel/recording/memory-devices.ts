import type { DeviceNumber } from "../kernel.ts";
import { Bytes, Part, type Storage } from "./memory-bytes.ts";
import { DiskFilesystem, WriteBack } from "./memory-durability.ts";
import type { Node } from "./memory-nodes.ts";
import { plant, type Tree } from "./memory-tree.ts";

/** Superblock magics that statfs tells, linux/magic.h. */
export const MAGIC: Record<string, number> = {
  ext4: 0xef53,
  xfs: 0x58465342,
  btrfs: 0x9123683e,
  erofs: 0xe0f5e1e2,
  squashfs: 0x73717368,
  vfat: 0x4d44,
  tmpfs: 0x01021994,
  ramfs: 0x858458f6,
  proc: 0x9fa0,
  sysfs: 0x62656572,
  devtmpfs: 0x01021994,
};

/** Filesystems that are made for reading only. */
const READ_ONLY = new Set(["erofs", "squashfs"]);

/** What a disk or a partition holds when described: bytes at offsets, zero elsewhere. */
export type Contents = Uint8Array | { offset: number; bytes: Uint8Array }[];

export interface FilesystemDescription {
  type: string;
  tree: Tree;
  /** For statfs; 1 GiB and 65536 inodes if absent. */
  capacity?: { bytes: number; inodes: number };
}

export interface DeviceDescription {
  /** "/dev/vda2" */
  path: string;
  number: DeviceNumber;
  /** Bytes; the contents' length if absent. */
  size?: number;
  contents?: Contents;
  /** What a mount of the device shows. Nothing keeps it in step with the contents. */
  filesystem?: FilesystemDescription;
  /** Where this device shows another one's content: its bytes come from `storage`, and what a mount shows is the same. */
  over?: { block: BlockDevice; storage: Storage };
  /** Where this device is a partition: its bytes are then those of the disk. */
  partition?: { of: BlockDevice; number: number; start: number; label?: string };
  /** Where this device is a loop device: its bytes are then those of the file. */
  file?: Node;
}

/** A disk or partition. Lives on when the machine's power is cut: add it to the next kernel to boot from it again. */
export class BlockDevice {
  readonly path: string;
  readonly number: DeviceNumber;
  readonly storage: WriteBack;
  readonly filesystem: DiskFilesystem | null;
  readonly partition: DeviceDescription["partition"];
  /** As BLKROSET sets it. */
  readOnly = false;

  constructor(description: DeviceDescription) {
    const pieces = piecesOf(description.contents);
    const end = Math.max(0, ...pieces.map((piece) => piece.offset + piece.bytes.length));
    const size = description.size ?? description.file?.bytes.size ?? end;
    if (end > size) throw new Error(`${description.path}: contents reach to byte ${end}, the device has ${size}`);
    this.path = description.path;
    this.number = description.number;
    this.partition = description.partition;
    const own: Storage = this.partition
      ? new Part(this.partition.of.storage.below, this.partition.start, size)
      : (description.file?.bytes ?? Bytes.ofSize(size));
    const bytes = description.over?.storage ?? own;
    for (const piece of pieces) bytes.write(piece.offset, piece.bytes);
    this.storage = new WriteBack(bytes);
    const made = description.filesystem ? makeFilesystem(description.filesystem, description.number) : null;
    const shown = description.file?.image instanceof DiskFilesystem ? description.file.image : null;
    this.filesystem = made ?? description.over?.block.filesystem ?? shown;
  }

  sync(): void {
    this.storage.sync();
    this.filesystem?.sync(null);
  }

  /** Of a partition: it ends elsewhere. */
  resize(size: number): void {
    if (this.storage.below instanceof Part) this.storage.below.size = size;
  }

  /** Remembers a whole disk, or the filesystem of a partition; what it returns brings that back. */
  checkpoint(): () => void {
    const bytes = this.storage.below instanceof Bytes ? this.storage.below : null;
    const before = bytes?.snapshot();
    const restoreFiles = this.filesystem?.checkpoint();
    return () => {
      if (bytes && before) bytes.restore(before);
      this.storage.sync();
      restoreFiles?.();
    };
  }

  /** The power went, and the worst is assumed: what was not synced is not there, or of a disk's sectors only what `isKept` says. */
  loseUnsynced(isKept?: () => boolean): void {
    this.storage.loseUnsynced(isKept);
    this.filesystem?.loseUnsynced();
  }

  /** "vda2" */
  get name(): string {
    return this.path.slice(this.path.lastIndexOf("/") + 1);
  }

  /** Path in sysfs without its mount point: "devices/platform/block/vda/vda2". */
  get systemPath(): string {
    return this.partition ? `${this.partition.of.systemPath}/${this.name}` : `devices/platform/block/${this.name}`;
  }

  /** Lines of /sys/…/uevent, which the uevent message carries too. */
  properties(): string[] {
    const lines = [`MAJOR=${this.number.major}`, `MINOR=${this.number.minor}`, `DEVNAME=${this.path.replace(/^\/dev\//, "")}`];
    lines.push(`DEVTYPE=${this.partition ? "partition" : "disk"}`);
    if (this.partition) lines.push(`PARTN=${this.partition.number}`);
    if (this.partition?.label !== undefined) lines.push(`PARTNAME=${this.partition.label}`);
    return lines;
  }
}

function piecesOf(contents: Contents | undefined): { offset: number; bytes: Uint8Array }[] {
  return contents instanceof Uint8Array ? [{ offset: 0, bytes: contents }] : (contents ?? []);
}

/** A filesystem with the described files in it. */
export function makeFilesystem(description: FilesystemDescription, number: DeviceNumber): DiskFilesystem {
  const filesystem = new DiskFilesystem(description.type, number, MAGIC[description.type] ?? 0);
  plant(filesystem.root, description.tree);
  filesystem.sync(null);
  filesystem.readOnly = READ_ONLY.has(description.type);
  if (description.capacity) filesystem.capacity = description.capacity;
  return filesystem;
}

/** What sysfs shows of a block device: its directory below devices/, and the links of class/block and dev/block. */
export function systemTree(device: BlockDevice): Tree {
  const path = device.systemPath;
  const own: Tree = {
    uevent: device
      .properties()
      .map((line) => `${line}\n`)
      .join(""),
    dev: `${device.number.major}:${device.number.minor}\n`,
    size: `${Math.floor(device.storage.size / 512)}\n`,
    ro: "0\n",
  };
  const ofPart: Tree = device.partition
    ? { partition: `${device.partition.number}\n`, start: `${device.partition.start / 512}\n` }
    : {};
  return { [path]: { ...own, ...ofPart } };
}

/** The kernel's message when a device appears: "add@/devices/…" and its properties, each ended by a zero byte. */
export function ueventMessage(
  action: "add" | "change" | "remove",
  device: BlockDevice,
  sequence: number,
): Uint8Array<ArrayBuffer> {
  const path = `/${device.systemPath}`;
  const lines = [`${action}@${path}`, `ACTION=${action}`, `DEVPATH=${path}`, "SUBSYSTEM=block", ...device.properties()];
  return new Uint8Array(Buffer.from([...lines, `SEQNUM=${sequence}`].map((line) => `${line}\0`).join("")));
}
