import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";

const PIECE = 1024 * 1024;
const BLOCK = 64 * 1024;
const zeros = Buffer.alloc(BLOCK);

/** Copies a file to `offset` of an open one that is zero there, leaving out holes and zeros, so that the target stays sparse. */
export function copySparse(kernel: Kernel, from: string, to: Descriptor, offset: bigint): void {
  withOpen(kernel, from, O.RDONLY, (source) => {
    for (let start = kernel.seekData(source, 0n); start !== null; ) {
      const end = kernel.seekHole(source, start);
      copyExtent(kernel, source, to, start, end, offset);
      start = kernel.seekData(source, end);
    }
  });
}

function copyExtent(kernel: Kernel, source: Descriptor, to: Descriptor, start: bigint, end: bigint, offset: bigint): void {
  for (let at = start; at < end; ) {
    const left = end - at;
    const piece = kernel.read(source, left < BigInt(PIECE) ? Number(left) : PIECE, at);
    if (piece.length === 0) return;
    for (let place = 0; place < piece.length; place += BLOCK) {
      const block = piece.subarray(place, place + BLOCK);
      if (zeros.compare(block, 0, block.length, 0, block.length) === 0) continue;
      kernel.write(to, block, offset + at + BigInt(place));
    }
    at += BigInt(piece.length);
  }
}
