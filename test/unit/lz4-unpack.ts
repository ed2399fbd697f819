/** Unpacks a block of LZ4, and is strict about what its description says of the end of a block. */
export function unpackLz4(block: Uint8Array): Uint8Array {
  const out: number[] = [];
  let at = 0;
  const byte = (): number => {
    const value = block[at++];
    if (value === undefined) throw new Error(`the block ends too early, after ${block.length} bytes`);
    return value;
  };
  const length = (four: number): number => {
    let sum = four;
    if (four === 15) for (let more = 255; more === 255; sum += more) more = byte();
    return sum;
  };
  for (;;) {
    const token = byte();
    const literals = length(token >> 4);
    for (let left = literals; left > 0; left--) out.push(byte());
    if (at === block.length) {
      if (out.length > 12 && literals < 5) throw new Error(`the last ${literals} bytes are literals, it has to be 5`);
      return Uint8Array.from(out);
    }
    const distance = byte() | (byte() << 8);
    if (distance === 0 || distance > out.length) throw new Error(`distance ${distance} after ${out.length} bytes`);
    const begins = out.length;
    for (let left = length(token & 15) + 4; left > 0; left--) out.push(out[out.length - distance] ?? 0);
    if (begins + 12 > out.length + (block.length - at)) throw new Error("a match begins in the last 12 bytes");
  }
}
