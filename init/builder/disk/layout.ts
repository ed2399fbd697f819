import { createHash } from "node:crypto";
import { RECORD_LAYOUT } from "../../../boot/record/store.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { SLIPWAY_PARTITION_TYPE } from "../../../state-ops/partition-types.ts";
import { MiB, printSize, roundDown, roundUp } from "./size.ts";

/** What the disk is made from: labels of partitions, sizes in bytes. */
export interface DiskRequest {
  system: string;
  /** What is not the system definition's: a loader's. They lie before all others, in their order. */
  others: { label: string; type: string; imageSize: bigint }[];
  /** Null: the boot record is a file on the data filesystem. */
  bootRecord: string | null;
  slots: { name: string; label: string; imageSize: bigint | null }[];
  /** Slots that are files on the data filesystem. */
  files: { name: string; size: bigint; imageSize: bigint | null }[];
  data: string | null;
  size: bigint;
  slotSize: bigint | null;
  dataSize: bigint | null;
  /** A GUID for each thing named, in lower case. */
  guid(what: string): string;
}

export interface PlannedPartition {
  /** From 1. */
  number: number;
  role: "other" | "boot-record" | "slot" | "data";
  /** The slot's name; null for the others. */
  slot: string | null;
  label: string;
  /** GUID of its type, in lower case. */
  type: string;
  guid: string;
  /** Bytes, multiples of 1 MiB. */
  start: bigint;
  size: bigint;
}

export interface DiskPlan {
  size: bigint;
  guid: string;
  partitions: PlannedPartition[];
}

/** No-auto, of the Discoverable Partitions Specification: what is not in the control file's hands nobody mounts. */
export const NO_AUTO_BIT = 63;

/** The backup table's 33 sectors of 512 bytes, or 5 of 4096. */
const TABLE_END = 33n * 512n;

/** A GUID that follows from the system's name, so that the same definition makes the same disk. RFC 9562, version 8. */
export function derivedGuid(system: string, what: string): string {
  const bytes = createHash("sha256").update(`slipway disk\0${system}\0${what}`).digest().subarray(0, 16);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x80;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Where each partition lies: others, as large as their images; boot record; slots in order and equal in size; data last.
 * Everything starts and ends at a whole MiB.
 *
 * Slots get `slotSize`; else, where `dataSize` is given or there is no data, equal shares of the rest; else the largest
 * image and a quarter, for its successors to grow. Data gets `dataSize`, else what remains.
 *
 * @throws BadInput with the numbers where it does not fit
 */
export function planDisk(request: DiskRequest): DiskPlan {
  const { size, slots, others } = request;
  checkOthers(request);
  checkLabels([request.bootRecord, ...slots.map((slot) => slot.label), request.data].flatMap((label) => label ?? []));
  if (slots.length + request.files.length === 0) throw new BadInput("the system definition has no slots; name at least one");
  if (size % 512n !== 0n) throw new BadInput(`--size ${size} is no multiple of a sector of 512 bytes`);
  if (request.data === null && request.dataSize !== null) {
    throw new BadInput("--data-size is given, but the system definition has no data; add data: or leave the option out");
  }
  const recordSize = request.bootRecord === null ? 0n : roundUp(BigInt(RECORD_LAYOUT.minimumPartitionSize));
  const othersSize = others.reduce((sum, { imageSize }) => sum + roundUp(imageSize), 0n);
  const available = roundDown(size - TABLE_END) - MiB - othersSize - recordSize;
  const slotSize = chooseSlotSize(request, available);
  const slotsSize = slotSize * BigInt(slots.length);
  const rest = available - slotsSize;
  const dataSize = request.data === null ? 0n : request.dataSize === null ? rest : roundUp(request.dataSize);
  if (rest < dataSize || (request.data !== null && dataSize <= 0n)) {
    const wanted = `${slots.length} slots of ${printSize(slotSize)} and ${dataSize > 0n ? printSize(dataSize) : "at least 1 MiB"} of data`;
    const left = available < 0n ? 0n : available;
    throw new BadInput(`a disk of ${printSize(size)} has ${printSize(left)} to share, too little for ${wanted}; raise --size`);
  }
  for (const { name, imageSize } of slots) {
    if (imageSize !== null && imageSize > slotSize) {
      const numbers = `${imageSize} bytes, its slot ${slotSize} bytes`;
      throw new BadInput(
        `the image of slot ${name} has ${numbers}; raise --slot-size to ${printSize(roundUp(imageSize))} or more`,
      );
    }
  }
  checkFiles(request, dataSize);
  let at = MiB;
  const partitions: PlannedPartition[] = [];
  const add = (
    role: PlannedPartition["role"],
    slot: string | null,
    label: string,
    length: bigint,
    type = SLIPWAY_PARTITION_TYPE,
  ) => {
    const guid = request.guid(`partition ${label}`);
    partitions.push({ number: partitions.length + 1, role, slot, label, type, guid, start: at, size: length });
    at += length;
  };
  for (const { label, imageSize, type } of others) add("other", null, label, roundUp(imageSize), type);
  if (request.bootRecord !== null) add("boot-record", null, request.bootRecord, recordSize);
  for (const slot of slots) add("slot", slot.name, slot.label, slotSize);
  if (request.data !== null) add("data", null, request.data, dataSize);
  return { size, guid: request.guid("disk"), partitions };
}

/** Every file is allocated sooner or later, and the state needs room beside them. */
function checkFiles({ files }: DiskRequest, dataSize: bigint): void {
  const tooLarge = files.find(({ size, imageSize }) => imageSize !== null && imageSize > size);
  if (tooLarge !== undefined) {
    const { name, size, imageSize } = tooLarge;
    throw new BadInput(`the image of slot ${name} has ${imageSize} bytes, its file ${size}; raise its size: in system.yaml`);
  }
  const all = files.reduce((sum, { size }) => sum + size, 0n);
  if (files.length > 0 && dataSize - dataSize / 16n <= all) {
    const names = files.map(({ name }) => name).join(", ");
    const numbers = `a data filesystem of ${printSize(dataSize)} has no room for the files of slots ${names}, ${printSize(all)}`;
    throw new BadInput(`${numbers}; raise --data-size or --size`);
  }
}

function chooseSlotSize({ slots, slotSize, dataSize, data }: DiskRequest, available: bigint): bigint {
  if (slots.length === 0) return 0n;
  if (slotSize !== null) return roundUp(slotSize);
  if (dataSize !== null || data === null) {
    const share = roundDown((available - roundUp(dataSize ?? 0n)) / BigInt(slots.length));
    if (share > 0n) return share;
    throw new BadInput(`nothing is left for ${slots.length} slots; raise --size or lower --data-size`);
  }
  const largest = slots.reduce((most, slot) => (slot.imageSize !== null && slot.imageSize > most ? slot.imageSize : most), 0n);
  if (largest === 0n) throw new BadInput("neither an image nor --slot-size says how large the slots shall be; give --slot-size");
  return roundUp((roundUp(largest) * 5n) / 4n);
}

function checkOthers({ others, bootRecord, slots, data }: DiskRequest): void {
  const own = [bootRecord, ...slots.map((slot) => slot.label), data];
  others.forEach(({ label }, index) => {
    if (own.includes(label))
      throw new BadInput(`--partition ${label}: PARTLABEL=${label} is what the system definition names; choose another label`);
    if (others.findIndex((other) => other.label === label) !== index) throw new BadInput(`--partition ${label} is given twice`);
  });
}

function checkLabels(labels: string[]): void {
  const twice = labels.find((label, index) => labels.indexOf(label) !== index);
  if (twice !== undefined) throw new BadInput(`PARTLABEL=${twice} stands for two devices of the system definition; rename one`);
}
