import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { mbrSignature, type ReadAt, readGpt } from "../../boot/devices/gpt.ts";
import type { DeviceReference } from "../../boot/devices/reference.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { isDigits } from "../../state-ops/plain-text.ts";
import { O } from "../kernel/constants.ts";
import { exists, readTextIfThere, withOpen } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Uevent } from "./uevents.ts";

/** What has to be read from the devices themselves. The rest is in sysfs and costs next to nothing. */
export interface ScanNeeds {
  /** PARTUUIDs: one read of each partitioned disk, where the kernel does not tell them. */
  partuuids?: boolean;
  /** Superblocks: one read of 68 KiB of each device. */
  superblocks?: boolean;
  /** Loop devices too. */
  loops?: boolean;
}

export interface Scan {
  /** By name. */
  devices: BlockDevice[];
  /** Devices that could not be read, and partition tables that are not as they should be. */
  notes: string[];
}

const classDirectory = "/sys/class/block";
const decoder = new TextDecoder();

/** What {@link scanBlockDevices} has to read so that all `references` can be resolved. */
export function needsOf(references: Iterable<DeviceReference>): ScanNeeds {
  const needs: ScanNeeds = {};
  for (const { by } of references) {
    if (by === "partuuid") needs.partuuids = true;
    if (by === "label" || by === "uuid") needs.superblocks = true;
  }
  return needs;
}

/**
 * The block devices of the machine, from /sys/class/block. Left out: loop and memory disks, devices without a medium (size
 * 0) and those whose node is not there yet; a uevent follows for each of the latter.
 */
export function scanBlockDevices(kernel: Kernel, needs: ScanNeeds = {}): Scan {
  return new BlockDevices(kernel, needs).scan();
}

/**
 * The block devices of the machine over a time: what was read once is read again only where a uevent says that it changed, so
 * that many disks that appear one after the other are not all read for each of them.
 */
export class BlockDevices {
  readonly #kernel: Kernel;
  readonly #needs: ScanNeeds;
  readonly #skipped: readonly string[];
  readonly #known = new Map<string, BlockDevice>();
  /** What reading devices themselves had to tell, by their names; of partition tables, by their disks' names. */
  readonly #notes = new Map<string, string[]>();
  readonly #tableNotes = new Map<string, string[]>();

  constructor(kernel: Kernel, needs: ScanNeeds = {}) {
    this.#kernel = kernel;
    this.#needs = needs;
    this.#skipped = needs.loops ? ["ram", "zram"] : ["loop", "ram", "zram"];
  }

  /** Looks at all of them. */
  scan(): Scan {
    this.#known.clear();
    this.#notes.clear();
    this.#tableNotes.clear();
    return this.#look(list(this.#kernel, classDirectory));
  }

  /** Looks at those that appeared, went or changed, and at the partitions of such a disk. */
  changed(uevents: readonly Uevent[]): Scan {
    const names = new Set(
      uevents.flatMap(({ subsystem, devpath }) => (subsystem === "block" ? [devpath.slice(devpath.lastIndexOf("/") + 1)] : [])),
    );
    const partitions = [...this.#known.values()].filter(({ disk }) => disk !== null && names.has(disk));
    return this.#look(new Set([...names, ...partitions.map(({ name }) => name)]));
  }

  #look(names: Iterable<string>): Scan {
    const seen: BlockDevice[] = [];
    for (const name of names) {
      this.#known.delete(name);
      this.#notes.delete(name);
      this.#tableNotes.delete(name);
      const device = this.#isSkipped(name) ? null : readDevice(this.#kernel, name);
      if (device === null) continue;
      this.#known.set(name, device);
      seen.push(device);
    }
    if (this.#needs.partuuids) this.#addPartuuids(seen);
    if (this.#needs.superblocks) for (const device of seen) this.#addSuperblock(device);
    return { devices: [...this.#known.values()], notes: [...this.#tableNotes.values(), ...this.#notes.values()].flat() };
  }

  /** "ram0", but not "rampart". */
  #isSkipped(name: string): boolean {
    return this.#skipped.some((kind) => name.startsWith(kind) && isDigits(name.charAt(kind.length)));
  }

  #addPartuuids(seen: readonly BlockDevice[]): void {
    const unnamed = Map.groupBy(
      seen.filter(({ disk, partuuid }) => disk !== null && partuuid === null),
      ({ disk }) => disk,
    );
    for (const [name, partitions] of unnamed) {
      const disk = this.#known.get(name ?? "");
      if (disk === undefined) continue;
      const notes: string[] = [];
      this.#tableNotes.set(disk.name, notes);
      const uuids = fromDevice(this.#kernel, disk, notes, (read) => readPartuuids(this.#kernel, disk, read, notes));
      for (const partition of partitions) partition.partuuid = uuids?.(partition.partition ?? 0) ?? null;
    }
  }

  #addSuperblock(device: BlockDevice): void {
    const notes: string[] = [];
    this.#notes.set(device.name, notes);
    const read = (at: ReadAt) => readSuperblock(at(0n, SUPERBLOCK_BYTES));
    device.superblock = fromDevice(this.#kernel, device, notes, read);
  }
}

/** Names in a directory, none where it is not there. */
export function list(kernel: Kernel, path: string): string[] {
  try {
    return withOpen(kernel, path, O.RDONLY | O.DIRECTORY, (fd) => kernel.readDirectory(fd)).map(({ name }) =>
      decoder.decode(name),
    );
  } catch (error) {
    if (error instanceof KernelError) return [];
    throw error;
  }
}

/** Null where the device has no medium, or is about to come or go. */
function readDevice(kernel: Kernel, name: string): BlockDevice | null {
  const directory = `${classDirectory}/${name}`;
  const read = (file: string) => readTextIfThere(kernel, `${directory}/${file}`)?.trim() ?? "";
  const size = read("size");
  if (size.startsWith("0") || !isDigits(size)) return null;
  const properties = new Map<string, string>();
  for (const line of read("uevent").split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) properties.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const path = `/dev/${properties.get("DEVNAME") ?? name.replaceAll("!", "/")}`;
  const [major, minor] = [Number(properties.get("MAJOR")), Number(properties.get("MINOR"))];
  if (Number.isNaN(major) || Number.isNaN(minor) || !exists(kernel, path)) return null;
  const number = read("partition");
  return {
    name,
    path,
    number: { major, minor },
    sizeBytes: BigInt(size) * 512n,
    readOnly: read("ro") === "1",
    disk: number === "" ? null : parentOf(kernel, directory),
    partition: number === "" ? null : Number(number),
    partlabel: properties.get("PARTNAME") ?? null,
    partuuid: properties.get("PARTUUID")?.toLowerCase() ?? null,
    superblock: null,
  };
}

/** Node of the disk that a partition lies on, or of the disk itself; null where sysfs knows no such device. `path`: "/dev/vda2". */
export function diskOf(kernel: Kernel, path: string): string | null {
  const device = readDevice(kernel, path.slice("/dev/".length).replaceAll("/", "!"));
  if (device === null || device.partition === null) return device?.path ?? null;
  return device.disk === null ? null : (readDevice(kernel, device.disk)?.path ?? null);
}

/** Of "../../devices/…/block/vda/vda2": "vda". */
function parentOf(kernel: Kernel, link: string): string | null {
  try {
    return decoder.decode(kernel.readLink(link)).split("/").at(-2) ?? null;
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/** Reads from a device; a failure is noted and gives null. */
function fromDevice<Result>(kernel: Kernel, device: BlockDevice, notes: string[], use: (read: ReadAt) => Result): Result | null {
  try {
    return withOpen(kernel, device.path, O.RDONLY | O.NONBLOCK, (fd) => use((offset, length) => kernel.read(fd, length, offset)));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    notes.push(`${device.path} cannot be read: ${error.call} gave ${error.code}`);
    return null;
  }
}

/** From a partition's number to its PARTUUID. */
function readPartuuids(kernel: Kernel, disk: BlockDevice, read: ReadAt, notes: string[]): (number: number) => string | null {
  const signature = mbrSignature(read(0n, 512));
  if (signature) return (number) => `${signature}-${number.toString(16).padStart(2, "0")}`;
  const sectorSize = Number(readTextIfThere(kernel, `${classDirectory}/${disk.name}/queue/logical_block_size`) ?? 512);
  const gpt = readGpt(read, disk.sizeBytes, sectorSize);
  if (typeof gpt === "string") {
    notes.push(`${disk.path} has no readable partition table (${gpt})`);
    return () => null;
  }
  notes.push(...gpt.notes.map((note) => `${disk.path}: ${note}`));
  const byNumber = new Map(gpt.partitions.map(({ number, unique }) => [number, unique]));
  return (number) => byNumber.get(number) ?? null;
}
