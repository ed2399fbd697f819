/** Whether a clone fits. Pure. */

import { generationName } from "./layout.ts";
import { sizeText } from "./size-text.ts";

/** How a clone is made: a snapshot of btrfs, each file a reflink, each file copied without its holes. */
export type CloneEngine = "snapshot" | "reflink" | "copy";

export interface CloneNeed {
  generation: number;
  engine: CloneEngine;
  /** What a copy would take. */
  bytes: number;
  files: number;
  /** Not all of it was looked at: it is at least so much. */
  whole: boolean;
}

export interface FreeSpace {
  bytes: number;
  /** Null where the filesystem makes inodes as it needs them. */
  files: number | null;
}

/** What building and sealing takes besides the stores, and what the slot's first minutes may write. */
const MARGIN = { bytes: 4 * 1024 * 1024, files: 64 };
/** Metadata of one file on a filesystem with reflinks, bytes: an inode, its name, its extents. */
const METADATA = 1024;

/** What is missing for the clone, and what to do about it; null where it fits. */
export function spaceFault(need: CloneNeed, free: FreeSpace): string | null {
  const bytes = MARGIN.bytes + bytesOf(need);
  const files = MARGIN.files + (need.engine === "snapshot" ? 0 : need.files);
  const lacks = [
    ...(bytes > free.bytes ? [`${sizeText(bytes)}, and ${sizeText(free.bytes)} are free`] : []),
    ...(free.files !== null && files > free.files ? [`${files} inodes, and ${free.files} are free`] : []),
  ];
  if (lacks.length === 0) return null;
  const least = need.whole ? "" : "at least ";
  return `its first boot clones generation ${generationName(need.generation)}, which needs ${least}${lacks.join("; ")}; run "slipway state gc", delete what is not needed (slipway state list shows sizes), or declare it cache: true`;
}

function bytesOf({ engine, bytes, files }: CloneNeed): number {
  if (engine === "copy") return bytes;
  return engine === "reflink" ? files * METADATA : 0;
}
