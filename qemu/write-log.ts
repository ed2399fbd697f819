/**
 * Reads what QEMU's blklogwrites records of a disk: the format of the kernel's dm-log-writes. All numbers are little endian;
 * the first sector names the format and counts the entries, then each entry has a sector of its own and its data behind it.
 * QEMU writes the count at each flush only: what came after the last one is not told of.
 */

/** Bytes from the start of the disk, and how many. */
interface Range {
  offset: number;
  length: number;
}

/** One request that the disk completed, in the order in which it completed them. */
export type LogEntry =
  /** `dataAt`: where its bytes are in the log. `durable`: it was on the disk when it was completed (FUA). */
  | ({ kind: "write"; dataAt: number; durable: boolean } & Range)
  | ({ kind: "discard" } & Range)
  /** All that is before it is on the disk. */
  | { kind: "flush" };

const magic = 0x6a736677736872n;
const flag = { flush: 1n, fua: 2n, discard: 4n, mark: 8n } as const;
const known = flag.flush | flag.fua | flag.discard | flag.mark;
const superblockBytes = 28;
const entryBytes = 32;

/** Reads a log. Marks are left out. Throws Error that names the entry where the log is damaged, cut short or of another kind. */
export function readWriteLog(log: Uint8Array): LogEntry[] {
  const view = new DataView(log.buffer, log.byteOffset, log.byteLength);
  if (log.length < superblockBytes) throw new Error(`a log of writes has at least one sector, this one has ${log.length} bytes`);
  const seen = view.getBigUint64(0, true);
  if (seen !== magic) throw new Error(`no log of writes: it begins with 0x${seen.toString(16)}, not 0x${magic.toString(16)}`);
  const version = view.getBigUint64(8, true);
  if (version !== 1n) throw new Error(`the log of writes is of version ${version}, 1 is known`);
  const count = number(view.getBigUint64(16, true), "the count of entries");
  const sector = view.getUint32(24, true);
  if (sector < 512 || (sector & (sector - 1)) !== 0)
    throw new Error(`the log's sectors have ${sector} bytes; 512 or more, a power of two`);
  const entries: LogEntry[] = [];
  let at = sector;
  for (let index = 0; index < count; index++) {
    const where = `entry ${index} of ${count}`;
    if (at + entryBytes > log.length) throw new Error(`the log ends at byte ${log.length}, before ${where}`);
    const flags = view.getBigUint64(at + 16, true);
    if ((flags & ~known) !== 0n) throw new Error(`${where} has the flags 0x${flags.toString(16)}, of which some are unknown`);
    const offset = number(view.getBigUint64(at, true), `${where}: its sector`) * sector;
    const length = number(view.getBigUint64(at + 8, true), `${where}: its length`) * sector;
    const marked = (flags & flag.mark) !== 0n;
    const data = marked ? number(view.getBigUint64(at + 24, true), `${where}: its text`) : length;
    const dataAt = at + sector;
    at = dataAt;
    if (marked || (flags & flag.discard) === 0n) at += Math.ceil(data / sector) * sector;
    if (at > log.length) throw new Error(`the log ends at byte ${log.length}, within the data of ${where}`);
    if (marked) continue;
    if ((flags & flag.flush) !== 0n) entries.push({ kind: "flush" });
    if (length === 0) continue;
    const durable = (flags & flag.fua) !== 0n;
    entries.push(
      (flags & flag.discard) !== 0n ? { kind: "discard", offset, length } : { kind: "write", offset, length, dataAt, durable },
    );
  }
  return entries;
}

/** Counts of sectors and entries have 64 bits; those of a disk that is at hand fit a number. */
function number(value: bigint, what: string): number {
  if (value > 2n ** 40n) throw new Error(`${what} is ${value}: the log is damaged`);
  return Number(value);
}
