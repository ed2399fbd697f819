import type { Arrived } from "../../boot/converge/progress-text.ts";
import type { Run } from "../../boot/converge/ranges.ts";
import type { Copy, WindowPlan } from "../../boot/converge/window-plan.ts";
import { ZERO_BLOCK } from "../../boot/image/verity.ts";
import type { BlockWriter } from "./block-writer.ts";
import type { Donor } from "./compare.ts";
import { fetchBlocks } from "./fetch-blocks.ts";
import { type OpenSlot, PIECE, WriteFailed } from "./open-slot.ts";
import type { ImageSource } from "./source.ts";

/** Runs of missing blocks that a source is asked for at once: the list of more would take memory of its own. */
const MOST_RUNS = 16384;

/** Blocks are missing, and there is no source to fetch them from. */
export class SourceNeeded extends Error {
  override readonly name = "SourceNeeded";
  constructor(readonly blocks: number) {
    super(blocks === 1 ? "1 block is in no other slot" : `${blocks} blocks are in no other slot`);
  }
}

export interface Carrying {
  plan: WindowPlan;
  writer: BlockWriter;
  target: OpenSlot;
  donors: readonly Donor[];
  source: ImageSource | null;
  /** Called with blocks as they arrive. */
  told: (from: keyof Arrived, blocks: number) => void;
  /** Called between two copies: see Wanted. */
  breathe: (() => Promise<void>) | undefined;
}

/**
 * Carries out the plan of a window: moves within the target first, in their order, then what needs nothing else, then what has to
 * be fetched, then copies of that. A copy that does not turn out right is fetched. Throws SourceError, SourceNeeded, WriteFailed.
 */
export async function carryOut(carrying: Carrying): Promise<void> {
  try {
    await carryOutAll(carrying);
  } catch (error) {
    // What has come is right, and need not be fetched again.
    if (!(error instanceof WriteFailed)) carrying.writer.flush();
    throw error;
  }
}

async function carryOutAll(carrying: Carrying): Promise<void> {
  const { plan, donors } = carrying;
  for (const copy of plan.moves()) await copyBlocks(carrying, copy, "target");
  // What is moved next may lie where the next copies are written.
  for (const { first, count } of plan.zeros()) await writeZeros(carrying, first, count);
  for (const copy of plan.donations(donors.length)) await copyBlocks(carrying, copy, "donor");
  await fetchMissing(carrying);
  carrying.writer.flush();
  for (const copy of plan.twins()) await copyBlocks(carrying, copy, "target");
  await fetchMissing(carrying);
  carrying.writer.flush();
}

async function copyBlocks(
  { plan, writer, target, donors, told, breathe }: Carrying,
  { donor, from, to, count }: Copy,
  name: keyof Arrived,
): Promise<void> {
  const slot = donor === null ? target : donors[donor]?.slot;
  const blocks = slot?.read(from, count) ?? [];
  let right = 0;
  for (let index = 0; index < count; index++) {
    const held = donor === null ? writer.heldBlock(from + index) : null;
    const bytes = held ?? blocks[index] ?? null;
    if (bytes !== null && writer.offer(to + index, bytes)) {
      plan.arrived(to + index);
      right++;
    } else plan.failed(to + index);
  }
  told(name, right);
  await breathe?.();
}

async function writeZeros({ plan, writer, told, breathe }: Carrying, first: number, count: number): Promise<void> {
  for (let block = first; block < first + count; block++) {
    if (writer.offer(block, ZERO_BLOCK)) plan.arrived(block);
    else plan.failed(block);
  }
  told("zero", count);
  await breathe?.();
}

async function fetchMissing({ plan, writer, source, told }: Carrying): Promise<void> {
  for (const runs of missingRuns(plan)) {
    if (source === null) throw new SourceNeeded(plan.amounts(0).source);
    let untold = 0;
    const tell = () => {
      told("source", untold);
      untold = 0;
    };
    await fetchBlocks(
      source,
      runs,
      (block) => plan.isMissing(block),
      (block, bytes) => {
        if (!writer.offer(block, bytes)) return false;
        plan.arrived(block);
        if (++untold === PIECE) tell();
        return true;
      },
    );
    tell();
  }
}

/** The missing blocks, as much of them as a source is asked for at once. */
export function* missingRuns(plan: WindowPlan): Generator<Run[]> {
  for (let from = plan.first; ; ) {
    const runs = plan.missing(from, MOST_RUNS);
    const last = runs.at(-1);
    if (last === undefined) return;
    yield runs;
    from = last.first + last.count;
  }
}
