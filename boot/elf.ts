/** The part of an ELF file that says what the kernel and the dynamic linker need to start it (System V ABI, elf(5)). */
import { BadInput } from "../state-ops/outcome.ts";

export interface ElfFile {
  /** e_machine: 62 x86-64, 183 arm64, 3 x86, 40 arm. */
  machine: number;
  /** 32 or 64 bits. */
  bits: 32 | 64;
  /** PT_INTERP: the dynamic linker, as an absolute path; null for a static program or a library. */
  interpreter: string | null;
  /** DT_NEEDED: names of libraries, in order. */
  needed: string[];
  /** Directories of DT_RUNPATH, or of DT_RPATH where there is no other; `$ORIGIN` is not replaced. */
  runpath: string[];
}

/** Machines of {@link ElfFile.machine} that have a name here. */
export const MACHINE: Record<number, string> = { 3: "x86", 40: "arm", 62: "x86-64", 183: "arm64", 243: "riscv" };

/** e_machine of an ELF file that begins with `bytes`; null where they are too few, or of something else. */
export function elfMachine(bytes: Uint8Array): number | null {
  if (!isElf(bytes) || bytes.length < 20) return null;
  return new DataView(bytes.buffer, bytes.byteOffset, 20).getUint16(18, bytes[5] !== 2);
}

/** "arm64", or "ELF machine 22". */
export function machineText(machine: number): string {
  return MACHINE[machine] ?? `ELF machine ${machine}`;
}

const PT = { LOAD: 1, DYNAMIC: 2, INTERP: 3 } as const;
const DT = { NULL: 0, NEEDED: 1, STRTAB: 5, RPATH: 15, RUNPATH: 29 } as const;

const PF = { EXECUTE: 1, WRITE: 2, READ: 4 } as const;
const SHT_NOBITS = 8;
const SHF = { WRITE: 1n, LOADED: 2n, EXECUTE: 4n } as const;

interface Segment {
  type: number;
  flags: number;
  offset: number;
  address: bigint;
  size: number;
  memorySize: number;
}

/** Bytes of the file that are loaded into memory (PT_LOAD). */
export interface ElfSegment {
  /** In the file. */
  offset: number;
  fileSize: number;
  /** In memory; of a program that may lie anywhere, from where it lies. */
  address: bigint;
  /** Bytes; what the file does not fill is zero. */
  memorySize: number;
  readable: boolean;
  writable: boolean;
  executable: boolean;
}

/** A reader of fields whose width and byte order the file itself declares. */
class Fields {
  readonly #view: DataView;
  readonly #little: boolean;
  constructor(
    readonly bytes: Uint8Array,
    readonly wide: boolean,
    little: boolean,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = little;
  }
  #within(offset: number, length: number): number {
    if (offset + length > this.bytes.length) {
      throw new BadInput(`ELF file is cut short: it needs byte ${offset + length} and has ${this.bytes.length}; copy it again`);
    }
    return offset;
  }
  half(offset: number): number {
    return this.#view.getUint16(this.#within(offset, 2), this.#little);
  }
  word(offset: number): number {
    return this.#view.getUint32(this.#within(offset, 4), this.#little);
  }
  /** An address, offset or size: 4 or 8 bytes. */
  long(offset: number): bigint {
    return this.wide ? this.#view.getBigUint64(this.#within(offset, 8), this.#little) : BigInt(this.word(offset));
  }
  text(offset: number): string {
    const end = this.bytes.indexOf(0, this.#within(offset, 1));
    if (end < 0) throw new BadInput(`ELF file is damaged: the text at byte ${offset} has no end; copy it again`);
    return new TextDecoder().decode(this.bytes.subarray(offset, end));
  }
}

/** A part of the file that a linker named: bytes from `start` to before `end`, none for what is only made in memory. */
export interface ElfSection {
  name: string;
  start: number;
  end: number;
  /** It holds instructions. */
  code: boolean;
  /** It is loaded into memory, and never written there. */
  constant: boolean;
}

/** Whether `bytes` begin as an ELF file does. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;
}

/**
 * Reads the headers of an ELF file that is in memory as a whole. Throws BadInput when it is not ELF (see {@link isElf}),
 * cut short or damaged.
 */
export function readElf(bytes: Uint8Array): ElfFile {
  const { fields, machine, segments } = headers(bytes);
  const dynamic = segments.find((segment) => segment.type === PT.DYNAMIC);
  const entries = dynamic ? dynamicEntries(fields, dynamic) : [];
  const strings = entries.find(([tag]) => tag === DT.STRTAB)?.[1];
  const values = (wanted: number): string[] =>
    entries.flatMap(([tag, value]) => (tag === wanted ? [fields.text(fileOffset(segments, strings ?? 0n) + Number(value))] : []));
  const runpath = values(DT.RUNPATH);
  return {
    machine,
    bits: fields.wide ? 64 : 32,
    interpreter: interpreterOf(fields, segments),
    needed: values(DT.NEEDED),
    runpath: (runpath.length > 0 ? runpath : values(DT.RPATH)).flatMap((list) => list.split(":").filter((part) => part !== "")),
  };
}

/** Machine and interpreter alone, for which the first 4 KiB of a file are usually enough. Throws BadInput as {@link readElf}. */
export function readElfStart(bytes: Uint8Array): Pick<ElfFile, "machine" | "bits" | "interpreter"> {
  const { fields, machine, segments } = headers(bytes);
  return { machine, bits: fields.wide ? 64 : 32, interpreter: interpreterOf(fields, segments) };
}

/** What of an ELF file is loaded, in the order of its headers. Throws BadInput as {@link readElf}. */
export function readElfSegments(bytes: Uint8Array): ElfSegment[] {
  return headers(bytes)
    .segments.filter(({ type }) => type === PT.LOAD)
    .map(({ flags, offset, size, address, memorySize }) => ({
      offset,
      fileSize: size,
      address,
      memorySize,
      readable: (flags & PF.READ) !== 0,
      writable: (flags & PF.WRITE) !== 0,
      executable: (flags & PF.EXECUTE) !== 0,
    }));
}

/** The linker's name for the very bytes that it linked, in hexadecimal; null where it gave none. Throws BadInput as {@link readElf}. */
export function readElfBuildId(bytes: Uint8Array): string | null {
  const note = readElfSections(bytes).find(({ name }) => name === ".note.gnu.build-id");
  if (note === undefined) return null;
  const { fields } = headers(bytes);
  const start = note.start + 12 + Math.ceil(fields.word(note.start) / 4) * 4; // behind three words and the owner's name
  return Buffer.from(bytes.subarray(start, Math.min(start + fields.word(note.start + 4), note.end))).toString("hex");
}

/** The sections of an ELF file, as its header lists them. Throws BadInput as {@link readElf}. */
export function readElfSections(bytes: Uint8Array): ElfSection[] {
  const { fields } = headers(bytes);
  const { wide } = fields;
  const table = Number(fields.long(wide ? 40 : 32));
  const [entrySize, count, names] = [58, 60, 62].map((at) => fields.half(wide ? at : at - 12));
  if (entrySize === undefined || count === undefined || names === undefined || count === 0) return [];
  const at = (index: number, offset: number): number => table + index * entrySize + offset;
  const start = (index: number): number => Number(fields.long(at(index, wide ? 24 : 16)));
  return Array.from({ length: count }, (_, index): ElfSection => {
    const flags = fields.long(at(index, 8));
    const size = fields.word(at(index, 4)) === SHT_NOBITS ? 0 : Number(fields.long(at(index, wide ? 32 : 20)));
    return {
      name: fields.text(start(names) + fields.word(at(index, 0))),
      start: start(index),
      end: start(index) + size,
      code: (flags & SHF.EXECUTE) !== 0n,
      constant: (flags & (SHF.LOADED | SHF.WRITE)) === SHF.LOADED,
    };
  });
}

function headers(bytes: Uint8Array): { fields: Fields; machine: number; segments: Segment[] } {
  if (!isElf(bytes)) {
    const seen = [...bytes.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    throw new BadInput(`not an ELF file: begins with "${seen}" instead of "7f 45 4c 46"`);
  }
  const [width, order] = [bytes[4], bytes[5]];
  if ((width !== 1 && width !== 2) || (order !== 1 && order !== 2)) {
    throw new BadInput(`ELF file is damaged: class ${width}, byte order ${order}; copy it again`);
  }
  const fields = new Fields(bytes, width === 2, order === 1);
  const wide = fields.wide;
  const table = Number(fields.long(wide ? 32 : 28));
  const entrySize = fields.half(wide ? 54 : 42);
  const count = fields.half(wide ? 56 : 44);
  const segments = Array.from({ length: count }, (_, index): Segment => {
    const at = table + index * entrySize;
    return {
      type: fields.word(at),
      flags: fields.word(at + (wide ? 4 : 24)),
      offset: Number(fields.long(at + (wide ? 8 : 4))),
      address: fields.long(at + (wide ? 16 : 8)),
      size: Number(fields.long(at + (wide ? 32 : 16))),
      memorySize: Number(fields.long(at + (wide ? 40 : 20))),
    };
  });
  return { fields, machine: fields.half(18), segments };
}

function interpreterOf(fields: Fields, segments: Segment[]): string | null {
  const segment = segments.find((entry) => entry.type === PT.INTERP);
  return segment ? fields.text(segment.offset) : null;
}

function dynamicEntries(fields: Fields, dynamic: Segment): [tag: number, value: bigint][] {
  const half = fields.wide ? 8 : 4;
  const entries: [number, bigint][] = [];
  for (let at = dynamic.offset; at + 2 * half <= dynamic.offset + dynamic.size; at += 2 * half) {
    const tag = Number(fields.long(at));
    if (tag === DT.NULL) break;
    entries.push([tag, fields.long(at + half)]);
  }
  return entries;
}

/** Where in the file the byte lies that is loaded at `address`. */
function fileOffset(segments: Segment[], address: bigint): number {
  const found = segments.find(
    (segment) => segment.type === PT.LOAD && address >= segment.address && address < segment.address + BigInt(segment.size),
  );
  if (!found) throw new BadInput(`ELF file is damaged: no segment holds address 0x${address.toString(16)}; copy it again`);
  return found.offset + Number(address - found.address);
}
