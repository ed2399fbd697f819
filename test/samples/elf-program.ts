/** What a made program has in its headers. */
export interface ElfContent {
  /** e_machine: 62 x86-64, 183 arm64. */
  machine: number;
  interpreter?: string;
  needed?: string[];
  runpath?: string;
}

/** A 64-bit little-endian program that has headers and nothing to run; see elf(5). */
export function elfProgram({ machine, interpreter, needed = [], runpath }: ElfContent): Uint8Array {
  const texts = ["", interpreter ?? "", runpath ?? "", ...needed].map((text) => new TextEncoder().encode(`${text}\0`));
  const at = texts.map((_, index) => texts.slice(0, index).reduce((sum, text) => sum + text.length, 0));
  const [tableAt, dynamicAt] = [64, 64 + 3 * 56];
  const entries: [number, number][] = [
    ...needed.map((_, index): [number, number] => [1, at[index + 3] ?? 0]),
    ...(runpath === undefined ? [] : [[29, at[2] ?? 0] as [number, number]]),
    [5, dynamicAt + 16 * (needed.length + 3)],
    [0, 0],
  ];
  const textsAt = dynamicAt + 16 * (needed.length + 3);
  const bytes = new Uint8Array(textsAt + texts.reduce((sum, text) => sum + text.length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, machine, true);
  view.setBigUint64(32, BigInt(tableAt), true);
  view.setUint16(54, 56, true);
  view.setUint16(56, 3, true);
  const segment = (index: number, type: number, offset: number, size: number): void => {
    const place = tableAt + index * 56;
    view.setUint32(place, type, true);
    for (const [field, value] of [offset, offset, offset, size, size].entries()) {
      view.setBigUint64(place + 8 + 8 * field, BigInt(value), true);
    }
  };
  segment(0, 1, 0, bytes.length);
  segment(1, interpreter === undefined ? 0 : 3, textsAt + (at[1] ?? 0), interpreter?.length ?? 0);
  segment(2, 2, dynamicAt, 16 * entries.length);
  for (const [index, [tag, value]] of entries.entries()) {
    view.setBigUint64(dynamicAt + 16 * index, BigInt(tag), true);
    view.setBigUint64(dynamicAt + 16 * index + 8, BigInt(value), true);
  }
  for (const [index, text] of texts.entries()) bytes.set(text, textsAt + (at[index] ?? 0));
  return bytes;
}
