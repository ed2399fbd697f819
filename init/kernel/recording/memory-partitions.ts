import { readGpt } from "../../../boot/devices/gpt.ts";
import type { PartitionChange } from "../kernel.ts";
import { BlockDevice } from "./memory-devices.ts";
import type { MemoryFiles } from "./memory-files.ts";
import { Errno } from "./memory-nodes.ts";
import { numberText } from "./memory-status.ts";

/** Where the kernel's partitions come and go. */
interface Machine {
  readonly files: MemoryFiles;
  addDevice(block: BlockDevice): void;
  removeDevice(block: BlockDevice): void;
}

const SECTOR = 512;

/** The partitions that the machine's kernel knows of its disks. */
export class MemoryPartitions {
  readonly #machine: Machine;
  /** What a test said lies on a disk, for when its table names it. */
  readonly #described: BlockDevice[] = [];

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Lies on its disk, and is seen once a table that names it is read. */
  describe(block: BlockDevice): void {
    this.#described.push(block);
  }

  /** BLKRRPART: reads the table again. Returns the partitions that appeared. */
  readTable(disk: BlockDevice): BlockDevice[] {
    if (disk.partition) throw new Errno("EINVAL");
    const present = this.#of(disk);
    if (present.some((block) => this.#inUse(block))) throw new Errno("EBUSY");
    for (const block of present) {
      this.#machine.removeDevice(block);
      this.#described.push(block);
    }
    const read = (offset: bigint, length: number) => disk.storage.read(Number(offset), length);
    const table = readGpt(read, BigInt(disk.storage.size), SECTOR);
    // As the kernel, which looks for a backup only where it is told to.
    if (typeof table === "string" || table.from === "backup" || disk.storage.read(510, 2).toHex() !== "55aa") return [];
    return table.partitions.map(({ number, label, firstLba, lastLba }) => {
      const [start, size] = [Number(firstLba) * SECTOR, Number(lastLba - firstLba + 1n) * SECTOR];
      return this.#appear(disk, { number, start, size, label });
    });
  }

  change(disk: BlockDevice, { how, number, start, length }: PartitionChange): BlockDevice | null {
    if (disk.partition) throw new Errno("EINVAL");
    const place = { number, start: Number(start), size: Number(length) };
    const found = this.#of(disk).find((block) => block.partition?.number === number);
    const others = this.#of(disk).filter((block) => block !== found);
    if (how === "add" && found) throw new Errno("EBUSY");
    if (how === "resize" && !found) throw new Errno("ENXIO");
    if (place.size <= 0 || place.start + place.size > disk.storage.size) throw new Errno("EINVAL");
    if (others.some((block) => overlaps(place, block))) throw new Errno("EBUSY");
    if (!found) return this.#appear(disk, place);
    if (found.partition?.start !== place.start) throw new Errno("EINVAL");
    found.resize(place.size);
    this.#machine.addDevice(found);
    return null;
  }

  #of(disk: BlockDevice): BlockDevice[] {
    return [...this.#machine.files.devices.values()].filter((block) => block.partition?.of === disk);
  }

  #appear(disk: BlockDevice, place: { number: number; start: number; size: number; label?: string }): BlockDevice {
    const { number, start, size } = place;
    const known = this.#described.findLast(
      (block) => block.partition?.of === disk && block.partition.number === number && block.partition.start === start,
    );
    if (known) {
      known.resize(size);
      this.#machine.addDevice(known);
      return known;
    }
    const separator = /\d$/.test(disk.path) ? "p" : "";
    const label = place.label === undefined ? {} : { label: place.label };
    const block = new BlockDevice({
      path: `${disk.path}${separator}${number}`,
      number: { major: disk.number.major, minor: disk.number.minor + number },
      size,
      partition: { of: disk, number, start, ...label },
    });
    this.#machine.addDevice(block);
    return block;
  }

  #inUse(block: BlockDevice): boolean {
    const { descriptors, mounts } = this.#machine.files;
    const opened = [...descriptors.values()].some(
      ({ node }) => node?.kind === "block" && numberText(node.device) === numberText(block.number),
    );
    return opened || mounts.mounts.some(({ filesystem }) => filesystem === block.filesystem);
  }
}

function overlaps({ start, size }: { start: number; size: number }, { partition, storage }: BlockDevice): boolean {
  return partition !== undefined && partition.start < start + size && start < partition.start + storage.size;
}
