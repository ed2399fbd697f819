import type { Superblock } from "./superblock.ts";

/** What is known of a block device: a disk or a partition of one. */
export interface BlockDevice {
  /** The kernel's name: "vda2". */
  name: string;
  /** Its node: "/dev/vda2". */
  path: string;
  number: { major: number; minor: number };
  sizeBytes: bigint;
  readOnly: boolean;
  /** The disk a partition lies on, "vda"; null: it is a whole disk itself. */
  disk: string | null;
  /** Number in the partition table; null for a whole disk. */
  partition: number | null;
  /** From the partition table, as the kernel tells it; null where there is none. */
  partlabel: string | null;
  /** Lower case; null where there is none or nobody asked for it. */
  partuuid: string | null;
  /** Null where nothing is recognised or nobody asked for it. */
  superblock: Superblock | null;
}
