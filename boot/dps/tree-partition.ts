/** The partition with a hash tree, and what binds it, the data and the root hash to each other. */
import { superblockView } from "../image/verity.ts";
import type { VerityShape } from "../image/verity-table.ts";

/** Read of the partition, bytes. */
export const VERITY_HEAD = 512;

/** What the superblock says (cryptsetup, lib/verity/verity.c): untrusted, but where the root hash binds it. */
export interface TreeParameters {
  dataBlock: number;
  hashBlock: number;
  dataBlocks: bigint;
  /** Hex. */
  salt: string;
}

const BLOCKS = [512, 1024, 2048, 4096];
const DIGEST = 32n;

/** The parameters in the first bytes of the partition, or why it is none that can be used. */
export function decodeTreePartition(bytes: Uint8Array): { parameters: TreeParameters } | { fault: string } {
  const view = superblockView(bytes);
  if (typeof view === "string") return { fault: view };
  const [dataBlock, hashBlock] = [view.getUint32(64, true), view.getUint32(68, true)];
  for (const block of [dataBlock, hashBlock])
    if (!BLOCKS.includes(block)) return { fault: `has blocks of ${block} bytes, read are ${BLOCKS.join(", ")}` };
  const saltLength = view.getUint16(80, true);
  if (saltLength > 256) return { fault: `says a salt of ${saltLength} bytes, the most are 256` };
  const salt = bytes.slice(88, 88 + saltLength).toHex();
  return { parameters: { dataBlock, hashBlock, dataBlocks: view.getBigUint64(72, true), salt } };
}

/** Bytes of the tree behind the superblock: each block of a level holds the digests of hashBlock / 32 below it. */
function treeBytes({ hashBlock, dataBlocks }: TreeParameters): bigint {
  const fanout = BigInt(hashBlock) / DIGEST;
  let blocks = 0n;
  for (let level = dataBlocks; level > 1n; ) {
    level = (level + fanout - 1n) / fanout;
    blocks += level;
  }
  return blocks * BigInt(hashBlock);
}

/** What dm-verity is told of the two partitions; the fault where they cannot be each other's. Sizes are bytes. */
export function shapeOf(
  rootHash: string,
  parameters: TreeParameters,
  data: { size: bigint },
  tree: { size: bigint; device: { major: number; minor: number } },
): { shape: VerityShape } | { fault: string } {
  const { dataBlock, hashBlock, dataBlocks, salt } = parameters;
  const length = dataBlocks * BigInt(dataBlock);
  if (length > data.size) return { fault: `is for ${length} bytes of data, and the partition has ${data.size}` };
  if (length < 4096n || length % 4096n !== 0n) return { fault: `is for ${length} bytes of data, which is no whole image` };
  const start = Math.ceil(VERITY_HEAD / hashBlock);
  const end = BigInt(start * hashBlock) + treeBytes(parameters);
  if (end > tree.size) return { fault: `ends at byte ${end} of a partition of ${tree.size}` };
  const elsewhere = { device: tree.device, dataBlock, hashBlock, start };
  return { shape: { rootHash, salt, filesystemSize: Number(length), tree: elsewhere } };
}

/** The root hash that the partitions' UUIDs say: the data's are its first 16 bytes, the tree's its last. Null where one has none. */
export function boundRootHash(data: string | null, tree: string | null): string | null {
  const text = `${data ?? ""}${tree ?? ""}`.replaceAll("-", "").toLowerCase();
  return data !== null && tree !== null && /^[0-9a-f]{64}$/.test(text) ? text : null;
}
