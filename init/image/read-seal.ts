import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { decodeFooter, type Footer } from "../../boot/image/footer.ts";
import { decodeSeal, type ImageLayout, LONGEST_SEAL, layoutOf, paddedSealLength, type Seal } from "../../boot/image/seal.ts";
import { BLOCK, decodeVeritySuperblock, treeBlocks } from "../../boot/image/verity.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";

/** What reading a seal needs of the kernel. */
export type Reader = Pick<Kernel, "read">;

/**
 * What a slot, an image file or a device holds: `sealed`, with the seal as it was read, by the footer or found behind the
 * filesystem; `unsealed`, where nothing says that there ever was a seal; or a `fault`, where there was one and it is not right.
 * Nothing is proven by that: signatures (boot/image/trust.ts) and tree still have to be checked.
 */
export type SealReading =
  | { is: "sealed"; seal: Seal; layout: ImageLayout; by: "footer" | "search" }
  | { is: "unsealed"; reason: string }
  | { is: "fault"; reason: string };

/** Reads the seal on an open file or device of `size` bytes. Throws KernelError where the device cannot be read. */
export function readSeal(kernel: Reader, fd: Descriptor, size: bigint): SealReading {
  const whole = size - (size % BigInt(BLOCK));
  if (whole < BigInt(4 * BLOCK)) return { is: "unsealed", reason: `${size} bytes are too few for an image` };
  const reading = decodeFooter(kernel.read(fd, BLOCK, whole - BigInt(BLOCK)), Number(whole));
  if (reading.is === "fault") return reading;
  return faultOf(() => (reading.is === "footer" ? byFooter(kernel, fd, reading.footer) : bySearch(kernel, fd, whole)));
}

/** As {@link readSeal}, without asking the footer: what a slot held whose footer is damaged. Proves no more than that. */
export function searchSeal(kernel: Reader, fd: Descriptor, size: bigint): SealReading {
  return faultOf(() => bySearch(kernel, fd, size - (size % BigInt(BLOCK))));
}

function faultOf(read: () => SealReading): SealReading {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    return { is: "fault", reason: error.message };
  }
}

function byFooter(kernel: Reader, fd: Descriptor, footer: Footer): SealReading {
  // Whole blocks, as a device that was opened past the page cache wants them.
  const padded = kernel.read(fd, paddedSealLength(footer.sealLength), BigInt(footer.sealOffset));
  const bytes = padded.subarray(0, footer.sealLength);
  if (Buffer.compare(sha256Bytes(bytes), footer.sealDigest) !== 0) {
    const remedy = "install the image again; a dd over a slot needs the footer at its end zeroed";
    return { is: "fault", reason: `the seal at ${footer.sealOffset} is not the one that the footer names; ${remedy}` };
  }
  return sealed(bytes, footer.sealOffset, "footer");
}

function bySearch(kernel: Reader, fd: Descriptor, size: bigint): SealReading {
  const unsealed = (reason: string): SealReading => ({ is: "unsealed", reason });
  const superblock = readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n));
  if (superblock === null) return unsealed("no footer, and no filesystem behind which a seal could be");
  const filesystemSize =
    superblock.size === null ? null : ((superblock.size + BigInt(BLOCK - 1)) / BigInt(BLOCK)) * BigInt(BLOCK);
  if (filesystemSize === null || filesystemSize + BigInt(3 * BLOCK) > size) return unsealed("no footer, and no room for a seal");
  const verity = decodeVeritySuperblock(kernel.read(fd, BLOCK, filesystemSize));
  if ("fault" in verity) return unsealed(`no footer, and what lies behind the filesystem ${verity.fault}`);
  const { dataBlocks } = verity.parameters;
  const offset = filesystemSize + BigInt(BLOCK) * BigInt(1 + treeBlocks(dataBlocks));
  if (offset + BigInt(BLOCK) > size) return unsealed("no footer, and no room for a seal behind the hash tree");
  const area = kernel.read(fd, LONGEST_SEAL, offset);
  const bytes = area.subarray(0, endOfSeal(area));
  if (bytes.length === 0) return unsealed("no footer, and no seal behind the hash tree");
  return sealed(bytes, Number(offset), "search");
}

/** How long a seal is that begins where `area` does: up to the zeros behind it, or to its newline where it fills its last block. */
function endOfSeal(area: Uint8Array): number {
  const behindNewline = area.indexOf(0x0a) + 1;
  if (behindNewline > 0 && behindNewline % BLOCK === 0) return behindNewline;
  const zero = area.indexOf(0);
  return zero < 0 ? area.length : zero;
}

function sealed(bytes: Uint8Array, offset: number, by: "footer" | "search"): SealReading {
  const seal = decodeSeal(bytes.slice());
  const layout = layoutOf(seal.manifest);
  if (layout.sealOffset !== offset) {
    return { is: "fault", reason: `the seal lies at ${offset}, an image of its size has it at ${layout.sealOffset}` };
  }
  return { is: "sealed", seal, layout, by };
}
