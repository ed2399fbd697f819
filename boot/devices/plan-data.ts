/** What becomes of the data partition at a boot: `data: { grow, create }`. Pure. */

import type { ControlFile } from "../../state-ops/control.ts";
import { MAKERS } from "../../state-ops/data-make.ts";
import { type GptPartition, readEntries } from "./gpt.ts";
import { appendPartition, growLast, moveBackup } from "./gpt-plans.ts";
import { type GptPair, type GptTable, rewriteTable, type TableRewrite, withPartition } from "./gpt-table.ts";
import { isEntry } from "./own-table.ts";
import { type DeviceReference, parseReference } from "./reference.ts";
import { UNFINISHED } from "./unfinished.ts";

/** Linux filesystem data, and no-auto of the Discoverable Partitions Specification, as `slipway disk build` gives them. */
const DATA_TYPE = "0fc63daf-8483-4772-8e79-3d69d8477de4";
const NO_AUTO = 1n << 63n;

/** Less than this that could be won is not worth another table, bytes. */
const LEAST_GAIN = 1024n * 1024n;

export interface DataWish {
  data: NonNullable<ControlFile["data"]>;
  /** A blank disk may be laid out, so that a data filesystem may be left half made by that. */
  installs: boolean;
  /** UUID of the data filesystem that the boot record knows; null: none, so that no state is lost with what is made anew. */
  known: string | null;
  /** Number of the data partition on this disk, where the reference is none that a table answers; null: not here. */
  seen: number | null;
  /** GUID of a partition that is made. */
  unique: string;
}

/** What is to be done, in this order. */
export interface DataPlan {
  rewrite: TableRewrite | null;
  /** Partitions that the kernel has to be told of: one that ends elsewhere, or that is new. */
  resized: GptPartition | null;
  added: GptPartition | null;
  /** On what the filesystem is to be made: `wanted` whatever is there, `if-blank` only where nothing is. */
  make: { partition: GptPartition; when: "wanted" | "if-blank" } | null;
  /** For people: why not all that was asked for can be done; null: it can. */
  refused: string | null;
}

const NOTHING: DataPlan = { rewrite: null, resized: null, added: null, make: null, refused: null };

/** Decides from the disk's table alone. Nothing to do gives a plan with nothing in it. */
export function planData(pair: GptPair, wish: DataWish): DataPlan {
  const { data, known, installs } = wish;
  const refuse = (why: string): DataPlan => ({ ...NOTHING, refused: why });
  if (typeof pair.primary === "string")
    return data.grow || data.create ? refuse(`there is no GPT to change (${pair.primary})`) : NOTHING;
  const reference = parseReference(data.device);
  const found = readEntries(pair.primary).filter((entry) => isData(entry, reference, wish.seen));
  const [partition, another] = found;
  if (another !== undefined) return NOTHING;
  if (partition === undefined) return data.create && reference.by === "partlabel" ? append(pair, wish, reference.value) : NOTHING;
  const mayMake = known === null && (data.create || installs);
  const make: DataPlan["make"] =
    mayMake && (partition.attributes & UNFINISHED) !== 0n
      ? { partition, when: "wanted" }
      : data.create && known === null
        ? { partition, when: "if-blank" }
        : null;
  return data.grow ? grow(pair, partition, make) : { ...NOTHING, make };
}

function isData(entry: GptPartition, reference: DeviceReference, seen: number | null): boolean {
  const inTable = reference.by === "partlabel" || reference.by === "partuuid";
  return inTable ? isEntry(entry, reference) : entry.number === seen;
}

function grow(pair: GptPair, partition: GptPartition, make: DataPlan["make"]): DataPlan {
  const moved = moveBackup(pair);
  if (typeof moved === "string") return { ...NOTHING, make, refused: moved };
  const gain = (moved.lastUsableLba - partition.lastLba) * BigInt(pair.sectorSize);
  if (gain < LEAST_GAIN) return { ...NOTHING, make };
  const grown = growLast(moved, partition.number);
  // On its own disk a partition in the midst was put there on purpose; on a larger one somebody waits for the room.
  if (typeof grown === "string") return { ...NOTHING, make, refused: isWider(moved, pair) ? grown : null };
  const rewrite = rewriteTable(grown, pair.mbr);
  if (typeof rewrite === "string") return { ...NOTHING, make, refused: rewrite };
  const resized = readEntries(grown).find(({ number }) => number === partition.number) ?? partition;
  if (resized.lastLba === partition.lastLba) return { ...NOTHING, make };
  return { ...NOTHING, rewrite, resized, make: make && { ...make, partition: resized } };
}

function isWider({ lastUsableLba }: GptTable, { primary }: GptPair): boolean {
  return typeof primary !== "string" && lastUsableLba > primary.lastUsableLba;
}

function append(pair: GptPair, { data, known, unique }: DataWish, label: string): DataPlan {
  const refuse = (why: string): DataPlan => ({ ...NOTHING, refused: why });
  if (known !== null)
    return refuse(`partition ${label} is gone, and the boot record knows state on ${known}: it is not made anew`);
  const moved = moveBackup(pair);
  if (typeof moved === "string") return refuse(moved);
  const partition = { type: DATA_TYPE, unique, label, attributes: NO_AUTO | UNFINISHED };
  const appended = appendPartition(moved, partition, BigInt(MAKERS[data.filesystem].smallest));
  if (typeof appended === "string") return refuse(appended);
  const rewrite = rewriteTable(appended.table, pair.mbr);
  if (typeof rewrite === "string") return refuse(rewrite);
  return { ...NOTHING, rewrite, added: appended.added, make: { partition: appended.added, when: "wanted" } };
}

/** The table with the partition marked as one whose filesystem is about to be made, or no more. */
export function markUnfinished(pair: GptPair, number: number, unfinished: boolean): TableRewrite | string {
  const moved = moveBackup(pair);
  if (typeof moved === "string") return moved;
  const partition = readEntries(moved).find((entry) => entry.number === number);
  if (partition === undefined) return `partition ${number} is gone from the table`;
  const attributes = unfinished ? partition.attributes | UNFINISHED : partition.attributes & ~UNFINISHED;
  return rewriteTable(withPartition(moved, { ...partition, attributes }), pair.mbr);
}
