/** What a sealed image has that another lacks, by the leaves of their hash trees: the least that an update has to fetch. */
import type { Seal } from "../boot/image/seal.ts";
import { BLOCK, DIGEST, DIGESTS_PER_BLOCK, treeLevels } from "../boot/image/verity.ts";
import { readSeal } from "../init/image/read-seal.ts";
import { O } from "../init/kernel/constants.ts";
import { sizeOf } from "../init/kernel/files.ts";
import { linuxKernel } from "../init/kernel/linux.ts";

export interface MissingBlocks {
  /** 4 KiB blocks of the newer image's filesystem. */
  blocks: number;
  /** Those of them whose content is nowhere in the older image. */
  missing: number;
  /** The same, with each content counted once. */
  distinct: number;
  /** Runs of missing blocks that lie one after the other. */
  runs: number;
}

/**
 * Compares leaves.
 * @param older digests of the blocks of one image, one after the other; `newer` those of the other
 */
export function compareLeaves(older: Uint8Array, newer: Uint8Array): MissingBlocks {
  const digestAt = (leaves: Uint8Array, block: number) => leaves.subarray(block * DIGEST, (block + 1) * DIGEST).toHex();
  const known = new Set(Array.from({ length: older.length / DIGEST }, (_, block) => digestAt(older, block)));
  const blocks = newer.length / DIGEST;
  const wanted = new Set<string>();
  let [missing, runs, within] = [0, 0, false];
  for (let block = 0; block < blocks; block++) {
    const digest = digestAt(newer, block);
    const misses = !known.has(digest);
    if (misses) {
      missing += 1;
      wanted.add(digest);
      if (!within) runs += 1;
    }
    within = misses;
  }
  return { blocks, missing, distinct: wanted.size, runs };
}

/** A sealed image in a file or on a device of the host. */
export interface SealedFile {
  file: string;
  seal: Seal;
  /** Of the whole file, bytes. */
  size: number;
  /** Of verity superblock, hash tree, seal with its padding, and footer, bytes: what an update fetches beside blocks. */
  overhead: number;
  /** Digests of the filesystem's blocks. */
  leaves: Uint8Array;
}

/** Reads the seal and the leaves of a sealed image in a file or on a device, and believes them. Throws Error for a file that is none. */
export function readSealedFile(file: string): SealedFile {
  const kernel = linuxKernel();
  const fd = kernel.open(file, O.RDONLY);
  try {
    const size = sizeOf(kernel, fd);
    const reading = readSeal(kernel, fd, size);
    if (reading.is !== "sealed") throw new Error(`${file} is no sealed image: ${reading.reason}`);
    const { layout, seal } = reading;
    const [level] = treeLevels(layout.dataBlocks);
    const first = layout.treeOffset + (level?.start ?? 0) * BLOCK;
    const blocks = Math.ceil(layout.dataBlocks / DIGESTS_PER_BLOCK);
    const leaves = kernel.read(fd, blocks * BLOCK, BigInt(first)).subarray(0, layout.dataBlocks * DIGEST);
    return { file, seal, size: Number(size), overhead: Number(size) - layout.dataBlocks * BLOCK, leaves };
  } finally {
    kernel.close(fd);
  }
}
