/**
 * Makes a slot hold an image: install, update, resume and repair are this one function. What the slot holds already is found by
 * the image's hash tree, so that nothing about an interrupted run has to be remembered.
 */
import type { Planned } from "../../boot/converge/amounts-text.ts";
import { HEAD_BLOCKS, magicSector } from "../../boot/converge/head.ts";
import type { Arrived, Phase, Step } from "../../boot/converge/progress-text.ts";
import { blocksOf, coalesce } from "../../boot/converge/ranges.ts";
import { WINDOW_BLOCKS, WindowPlan } from "../../boot/converge/window-plan.ts";
import type { ImageLayout, Seal } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { checkSlot, damageText } from "../image/check-slot.ts";
import { KernelError } from "../kernel/kernel.ts";
import { BlockWriter } from "./block-writer.ts";
import { carryOut, missingRuns } from "./carry-out.ts";
import { Comparison, type Donor } from "./compare.ts";
import { ImageTree, MOST_KEPT } from "./image-tree.ts";
import type { OpenSlot } from "./open-slot.ts";
import type { ImageSource } from "./source.ts";
import { completeImage, isComplete, isSameImage, withdrawImage } from "./withdraw.ts";

export interface Wanted {
  /** The image: its seal was judged already. */
  seal: Seal;
  layout: ImageLayout;
  /** Null for a repair that has to do with what the machine has. */
  source: ImageSource | null;
  target: OpenSlot;
  donors: readonly Donor[];
  /** Called before the target's image is taken from it: makes durable that nothing boots from the target. */
  withdraw: () => void;
  told: (step: Step) => void;
  /**
   * Called within work that would else keep the event loop from turning; what it throws ends the work, and what has come is kept.
   * Left out where nothing else goes on in the process.
   */
  breathe?: () => Promise<void>;
  /** Blocks that are planned at once; {@link WINDOW_BLOCKS} if absent. */
  windowBlocks?: number;
  /** Blocks of the tree's leaves that are kept in memory; {@link MOST_KEPT} if absent. */
  mostKept?: number;
}

export interface Converged extends Planned {
  /** Whether anything was written. */
  changed: boolean;
}

/** Reading back differs from what was written, twice, or the medium is gone by then. */
export class BadMedium extends Error {
  override readonly name = "BadMedium";
}

/** What {@link converge} would do; changes nothing. Throws SourceError, TreeMissing. */
export async function planConvergence(wanted: Wanted): Promise<Planned> {
  const run = new Run(wanted);
  await run.prove(false);
  await run.eachWindow(async () => {});
  return run.planned;
}

/**
 * Makes the target hold the image, whole and read back. Where it throws, what has come is kept for the next time. Throws
 * SourceError, SourceNeeded, TreeMissing, WriteFailed, BadMedium, and what `withdraw` throws.
 */
export async function converge(wanted: Wanted): Promise<Converged> {
  const first = new Run(wanted);
  const changed = await first.make();
  if (!changed) return { ...first.planned, changed };
  const fault = await readBack(wanted, first.came);
  if (fault === null) return { ...first.planned, changed };
  // A block may have been lost on its way; a medium that fails does so again.
  const second = new Run(wanted);
  await second.make();
  const again = await readBack(wanted, second.came);
  if (again === null) return { ...first.planned, changed };
  throw new BadMedium(`${wanted.target.path}: ${again}, though the right one was written twice; the disk is failing`);
}

class Run {
  readonly #wanted: Wanted;
  readonly #tree: ImageTree;
  readonly #window: number;
  readonly #arrived: Arrived = { zero: 0, target: 0, donor: 0, source: 0 };
  readonly planned: Planned;

  constructor(wanted: Wanted) {
    const { seal, target, donors, source, windowBlocks = WINDOW_BLOCKS, mostKept = MOST_KEPT } = wanted;
    const same = donors.filter(({ manifest }) => manifest.rootHash === seal.manifest.rootHash);
    this.#wanted = wanted;
    this.#tree = new ImageTree(seal.manifest, [target, ...same.map(({ slot }) => slot)], source, mostKept);
    this.#window = Math.min(windowBlocks, wanted.layout.dataBlocks);
    this.planned = { there: 0, zero: 0, target: 0, donors: donors.map(() => 0), source: 0, between: 0, tree: 0 };
  }

  /** Gets the tree; with `whole` all of it is proven before anything else happens, else what fits into the memory. */
  async prove(whole: boolean): Promise<void> {
    const total = this.#tree.leafBlocks;
    await this.#tree.proveUpper();
    let done = 0;
    const told = (blocks: number) => {
      done += blocks;
      this.#tell("tree", done, total);
    };
    if (whole || this.#tree.fitsMemory) await this.#tree.proveLeaves(told);
    this.planned.tree = this.#tree.fetched;
  }

  /** Plans window by window, and calls `then` with each plan. Blocks that `isHeld` are not looked for. */
  async eachWindow(then: (plan: WindowPlan) => Promise<void>, isHeld = (_block: number) => false): Promise<void> {
    const { target, donors, seal, layout, breathe } = this.#wanted;
    const plan = new WindowPlan(this.#window, this.#tree.zeroLeaf);
    const comparison = await Comparison.of(this.#tree, target, donors, seal.manifest.salt, this.#window);
    for (let first = 0; first < layout.dataBlocks; first += this.#window) {
      plan.begin(first, Math.min(this.#window, layout.dataBlocks - first));
      let done = first;
      await comparison.plan(plan, async (blocks) => {
        done += blocks;
        this.#tell("compare", done, layout.dataBlocks);
        await breathe?.();
      });
      for (const block of HEAD_BLOCKS) if (block >= first && block < first + plan.count && isHeld(block)) plan.arrived(block);
      this.#count(plan);
      await then(plan);
    }
    this.planned.tree = this.#tree.fetched;
  }

  /** Adds what the plan says of its window. */
  #count(plan: WindowPlan): void {
    const { planned } = this;
    const amounts = plan.amounts(planned.donors.length);
    planned.there += amounts.there;
    planned.zero += amounts.zero;
    planned.target += amounts.target;
    planned.source += amounts.source;
    for (const runs of missingRuns(plan)) planned.between += blocksOf(coalesce(runs)) - blocksOf(runs);
    for (const [donor, blocks] of amounts.donors.entries()) planned.donors[donor] = (planned.donors[donor] ?? 0) + blocks;
  }

  /** Returns whether anything had to be written. */
  async make(): Promise<boolean> {
    const { seal, layout, source, target, donors, withdraw, breathe } = this.#wanted;
    const same = isSameImage(target, seal, layout);
    await this.prove(true);
    const writer = new BlockWriter(target, this.#tree, !same);
    if (!same) {
      // Withdrawing takes these blocks from the target, which may be right already.
      for (const block of HEAD_BLOCKS) {
        const bytes = block < layout.dataBlocks ? target.readBlock(block) : null;
        if (bytes !== null) writer.offer(block, bytes);
      }
      withdraw();
      withdrawImage(target);
    }
    await this.#tree.writeTo(target);
    const told = (from: keyof Arrived, blocks: number) => {
      this.#arrived[from] += blocks;
      this.#tell("write", this.planned.there + this.#arrivedBlocks(), layout.dataBlocks);
    };
    const fill = (plan: WindowPlan) => carryOut({ plan, writer, target, donors, source, told, breathe });
    await this.eachWindow(fill, (block) => writer.heldBlock(block) !== null);
    writer.finish(magicSector(seal.manifest.filesystem));
    return completeImage(target, seal, layout) || target.written > 0;
  }

  #arrivedBlocks(): number {
    const { zero, target, donor, source } = this.#arrived;
    return zero + target + donor + source;
  }

  /** What was there, and what has come. */
  get came(): Pick<Step, "there" | "arrived"> {
    return { there: this.planned.there, arrived: this.#arrived };
  }

  #tell(phase: Phase, done: number, total: number): void {
    this.#wanted.told({ phase, done, total, there: this.planned.there, arrived: { ...this.#arrived } });
  }
}

/** What is not as it should be on the medium; null where all is. `last` is how far the run before came. */
async function readBack(
  { target, seal, layout, told, breathe }: Wanted,
  last: Pick<Step, "there" | "arrived">,
): Promise<string | null> {
  let fault: string | null = null;
  try {
    for (const { done, total, damaged } of checkSlot(target.kernel, target.raw, seal.manifest)) {
      const [first] = damaged;
      if (first !== undefined) fault ??= damageText(first);
      told({ ...last, phase: "verify", done: done / BLOCK, total: total / BLOCK });
      await breathe?.();
    }
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new BadMedium(`${target.path}: what was written cannot be read back (${error.code}); is the disk still there?`);
  }
  if (fault !== null) return fault;
  return isComplete(target, seal, layout) ? null : "footer and seal are not what was written";
}
