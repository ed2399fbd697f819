/** A disc as a mastering program writes one, as far as it is needed here: ECMA-119 level 2 without extensions. */

const SECTOR = 2048;

/** Contents by name; a directory holds files only. Names are upper case on the disc; the kernel shows them in lower case. */
export interface IsoTree {
  [name: string]: Uint8Array | Record<string, Uint8Array>;
}

interface Extent {
  sector: number;
  length: number;
}

/** The disc with that label and these files on it. */
export function isoImage(label: string, tree: IsoTree): Uint8Array {
  const sectors: Uint8Array[] = Array.from({ length: 20 }, () => new Uint8Array(SECTOR));
  const place = (bytes: Uint8Array): Extent => {
    const extent = { sector: sectors.length, length: bytes.length };
    for (let at = 0; at === 0 || at < bytes.length; at += SECTOR) {
      const sector = new Uint8Array(SECTOR);
      sector.set(bytes.subarray(at, at + SECTOR));
      sectors.push(sector);
    }
    return extent;
  };
  const root: Extent = { sector: 20, length: SECTOR };
  sectors.push(new Uint8Array(SECTOR));
  const records: Uint8Array[] = [record("\0", root, true), record("\x01", root, true)];
  for (const [name, value] of sorted(tree)) {
    if (value instanceof Uint8Array) {
      records.push(record(`${name.toUpperCase()};1`, place(value), false));
      continue;
    }
    const own: Extent = { sector: sectors.length, length: SECTOR };
    sectors.push(new Uint8Array(SECTOR));
    const inner = sorted(value).map(([file, bytes]) => record(`${file.toUpperCase()};1`, place(bytes), false));
    sectors[own.sector] = directory([record("\0", own, true), record("\x01", root, true), ...inner]);
    records.push(record(name.toUpperCase(), own, true));
  }
  sectors[root.sector] = directory(records);
  sectors[16] = primaryDescriptor(label, sectors.length, root);
  sectors[17] = new Uint8Array(SECTOR);
  sectors[17].set([255, ...Buffer.from("CD001"), 1]);
  return Buffer.concat(sectors);
}

function sorted<Value>(tree: Record<string, Value>): [string, Value][] {
  return Object.entries(tree).sort(([left], [right]) => (left < right ? -1 : 1));
}

/** 8.4 of the standard. */
function primaryDescriptor(label: string, sectors: number, root: Extent): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  bytes.set([1, ...Buffer.from("CD001"), 1]);
  bytes.fill(0x20, 8, 72);
  bytes.set(Buffer.from(label), 40);
  bothEndian(bytes, 80, sectors, 4);
  bothEndian(bytes, 120, 1, 2);
  bothEndian(bytes, 124, 1, 2);
  bothEndian(bytes, 128, SECTOR, 2);
  bothEndian(bytes, 132, 10, 4);
  new DataView(bytes.buffer).setUint32(140, 18, true);
  new DataView(bytes.buffer).setUint32(148, 19, false);
  bytes.set(record("\0", root, true), 156);
  bytes.fill(0x20, 190, 813);
  for (const [at, date] of [
    [813, "2026010203040500"],
    [830, "2026020304050600"],
    [847, "0000000000000000"],
    [864, "0000000000000000"],
  ] as const) {
    bytes.set(Buffer.from(date), at);
  }
  bytes[881] = 1;
  return bytes;
}

/** 9.1: a directory record. */
function record(name: string, { sector, length }: Extent, isDirectory: boolean): Uint8Array {
  const size = 33 + name.length + ((33 + name.length) % 2);
  const bytes = new Uint8Array(size);
  bytes[0] = size;
  bothEndian(bytes, 2, sector, 4);
  bothEndian(bytes, 10, length, 4);
  bytes.set([126, 1, 2, 3, 4, 5, 0], 18);
  bytes[25] = isDirectory ? 2 : 0;
  bothEndian(bytes, 28, 1, 2);
  bytes[32] = name.length;
  bytes.set(Buffer.from(name, "latin1"), 33);
  return bytes;
}

function directory(records: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  let at = 0;
  for (const one of records) {
    bytes.set(one, at);
    at += one.length;
  }
  return bytes;
}

/** 7.2.3 and 7.3.3: little-endian, then big-endian. */
function bothEndian(bytes: Uint8Array, at: number, value: number, width: 2 | 4): void {
  const view = new DataView(bytes.buffer);
  if (width === 2) {
    view.setUint16(at, value, true);
    view.setUint16(at + 2, value, false);
  } else {
    view.setUint32(at, value, true);
    view.setUint32(at + 4, value, false);
  }
}
