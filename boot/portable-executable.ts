/**
 * UEFI's executables (Microsoft's PE32+, "PE Format"): their sections, as far as a unified kernel image is made of them and
 * read again (UAPI group's "Unified Kernel Image").
 */
import { BadInput } from "../state-ops/outcome.ts";
import { joined } from "./joined.ts";

export interface PeSection {
  /** Up to 8 characters, with its dot: ".cmdline". */
  name: string;
  /** Bytes in memory; those in the file are padded up to the file's alignment. */
  size: number;
  /** From the image's start in memory. */
  address: number;
  fileOffset: number;
  fileSize: number;
}

export interface PeFile {
  /** 0x8664 x86-64, 0xaa64 arm64. */
  machine: number;
  sections: PeSection[];
  /** Where the section headers begin, and the bytes that all headers have room for. */
  headersOffset: number;
  headersSize: number;
  optionalOffset: number;
  fileAlignment: number;
}

/** Machines of {@link PeFile.machine} that have a name here, and what UEFI calls them in file names. */
export const PE_MACHINE: Record<number, { name: string; efi: string }> = {
  34404: { name: "x86-64", efi: "x64" },
  43620: { name: "arm64", efi: "aa64" },
};

const COFF_SIZE = 20;
const SECTION_SIZE = 40;
const PE32_PLUS = 0x20b;
/** Fields of the optional header, from its start. */
const OPTIONAL = {
  fileAlignment: 36,
  sizeOfImage: 56,
  sizeOfHeaders: 60,
  checkSum: 64,
  directories: 108,
  certificates: 144,
} as const;
/** IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ. */
const READ_ONLY_DATA = 0x4000_0040;
const ARM64_NOP = 0xd503_201f;
/** New sections begin at a page of memory: the kernel and its initrd are used where they lie. */
const PAGE = 4096;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/**
 * Reads the headers of a file that begins with `bytes`; they lie in its first kilobytes.
 * @param what begins the error: "--stub FILE"
 * @throws BadInput where it is no PE32+
 */
export function readPe(what: string, bytes: Uint8Array): PeFile {
  const refuse = (why: string): never => {
    throw new BadInput(`${what} is no EFI executable: ${why}`);
  };
  const view = viewOf(bytes);
  if (bytes.length < 64 || view.getUint16(0) !== 0x4d5a) refuse(`it does not begin with "MZ"`);
  const peOffset = view.getUint32(60, true);
  const optionalOffset = peOffset + 4 + COFF_SIZE;
  if (optionalOffset + OPTIONAL.certificates + 8 > bytes.length) refuse("its headers are cut short");
  if (view.getUint32(peOffset) !== 0x5045_0000) refuse(`it has no "PE" signature`);
  if (view.getUint16(optionalOffset, true) !== PE32_PLUS) refuse("it is not for 64 bits");
  const count = view.getUint16(peOffset + 6, true);
  const headersOffset = optionalOffset + view.getUint16(peOffset + 20, true);
  if (headersOffset + count * SECTION_SIZE > bytes.length) refuse(`its ${count} section headers are cut short`);
  const sections = Array.from({ length: count }, (_, index) => {
    const at = headersOffset + index * SECTION_SIZE;
    const name = new TextDecoder("latin1").decode(bytes.subarray(at, at + 8)).replace(/\0.*$/s, "");
    const [size, address, fileSize, fileOffset] = [8, 12, 16, 20].map((field) => view.getUint32(at + field, true));
    return { name, size: size ?? 0, address: address ?? 0, fileSize: fileSize ?? 0, fileOffset: fileOffset ?? 0 };
  });
  return {
    machine: view.getUint16(peOffset + 4, true),
    sections,
    headersOffset,
    headersSize: view.getUint32(optionalOffset + OPTIONAL.sizeOfHeaders, true),
    optionalOffset,
    fileAlignment: view.getUint32(optionalOffset + OPTIONAL.fileAlignment, true),
  };
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** Whether nothing but padding lies where a section header is to go: zeros, or arm64's instruction for nothing, as in Debian's stub. */
function isFiller(view: DataView, at: number): boolean {
  for (let word = at; word < at + SECTION_SIZE; word += 4) if (![0, ARM64_NOP].includes(view.getUint32(word, true))) return false;
  return true;
}

/**
 * `stub` with `added` sections behind its own, in the file and in memory. Its symbols, of which nobody makes use, and its
 * checksum, which UEFI does not read, are left out. Same input, same bytes.
 *
 * @param what the stub, for errors
 * @throws BadInput where the stub is signed, has such a section already, or no room for the headers
 */
export function appendSections(
  what: string,
  stub: Uint8Array,
  added: readonly { name: string; bytes: Uint8Array }[],
): Uint8Array {
  const pe = readPe(what, stub);
  const view = viewOf(stub);
  if (
    view.getUint32(pe.optionalOffset + OPTIONAL.directories, true) > 4 &&
    view.getUint32(pe.optionalOffset + OPTIONAL.certificates + 4, true) !== 0
  )
    throw new BadInput(`${what} is signed, and its signature would not hold for what is made of it; take the unsigned one`);
  for (const { name } of added) {
    if (pe.sections.some((section) => section.name === name))
      throw new BadInput(`${what} has a section ${name} already: it is a whole image, not a stub`);
  }
  const ends = pe.headersOffset + (pe.sections.length + added.length) * SECTION_SIZE;
  const unit = pe.fileAlignment;
  if (unit < 512 || unit > 65536 || (unit & (unit - 1)) !== 0) throw new BadInput(`${what} has a file alignment of ${unit}`);
  if (ends > pe.headersSize)
    throw new BadInput(
      `${what} has room for ${Math.floor((pe.headersSize - pe.headersOffset) / SECTION_SIZE)} section headers, and ${pe.sections.length + added.length} are needed`,
    );
  const last = Math.max(pe.headersSize, ...pe.sections.map(({ fileOffset, fileSize }) => fileOffset + fileSize));
  if (last > stub.length) throw new BadInput(`${what} is cut short: its sections end at ${last}, it at ${stub.length}`);
  const base = new Uint8Array(roundUp(last, unit));
  base.set(stub.subarray(0, last));
  const head = viewOf(base);
  const coff = pe.optionalOffset - COFF_SIZE;
  let memory = Math.max(...pe.sections.map(({ address, size }) => address + size));
  let file = base.length;
  const pieces: Uint8Array[] = [base];
  added.forEach(({ name, bytes }, index) => {
    const at = pe.headersOffset + (pe.sections.length + index) * SECTION_SIZE;
    if (!isFiller(head, at)) throw new BadInput(`${what} has something else where the headers of more sections belong`);
    memory = roundUp(memory, PAGE);
    const fileSize = roundUp(bytes.length, unit);
    base.fill(0, at, at + SECTION_SIZE);
    base.set(new TextEncoder().encode(name).subarray(0, 8), at);
    head.setUint32(at + 8, bytes.length, true);
    head.setUint32(at + 12, memory, true);
    head.setUint32(at + 16, fileSize, true);
    head.setUint32(at + 20, file, true);
    head.setUint32(at + 36, READ_ONLY_DATA, true);
    pieces.push(bytes, new Uint8Array(fileSize - bytes.length));
    memory += bytes.length;
    file += fileSize;
  });
  if (roundUp(memory, PAGE) > 0xffff_ffff)
    throw new BadInput(`${what} and its sections are ${memory} bytes; a PE file has no room for 4 GiB`);
  head.setUint16(coff + 2, pe.sections.length + added.length, true);
  head.setUint32(coff + 8, 0, true);
  head.setUint32(coff + 12, 0, true);
  head.setUint32(pe.optionalOffset + OPTIONAL.sizeOfImage, roundUp(memory, PAGE), true);
  head.setUint32(pe.optionalOffset + OPTIONAL.checkSum, 0, true);
  return joined(pieces);
}
