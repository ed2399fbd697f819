import type { WindowPlan } from "../../boot/converge/window-plan.ts";
import { layoutOf, type Manifest } from "../../boot/image/seal.ts";
import { DIGEST, DIGESTS_PER_BLOCK, isSameDigest } from "../../boot/image/verity.ts";
import { ImageTree, leafBlockOf, TreeMissing } from "./image-tree.ts";
import { type OpenSlot, PIECE } from "./open-slot.ts";

/** A local slot with an image of the same system, whose blocks can be used. */
export interface Donor {
  name: string;
  slot: OpenSlot;
  manifest: Manifest;
}

/** A donor's image of more windows than this is searched only near the place where a block is wanted. */
const MOST_WINDOWS_SEARCHED = 8;

/** A donor whose tree was proven down to the leaves. */
interface Known {
  number: number;
  tree: ImageTree;
  dataBlocks: number;
}

/** Looks at what there is already, window by window: the target's blocks, read, and the donors' leaves. */
export class Comparison {
  readonly #tree: ImageTree;
  readonly #target: OpenSlot;
  readonly #windowBlocks: number;
  readonly #donors: Known[] = [];

  private constructor(tree: ImageTree, target: OpenSlot, windowBlocks: number) {
    this.#tree = tree;
    this.#target = target;
    this.#windowBlocks = windowBlocks;
  }

  /** A donor whose tree is damaged at the top is none. */
  static async of(
    tree: ImageTree,
    target: OpenSlot,
    donors: readonly Donor[],
    salt: string,
    windowBlocks: number,
  ): Promise<Comparison> {
    const comparison = new Comparison(tree, target, windowBlocks);
    for (const [number, { slot, manifest }] of donors.entries()) {
      if (manifest.salt !== salt) continue;
      const own = new ImageTree(manifest, [slot], null);
      try {
        await own.proveUpper();
        comparison.#donors.push({ number, tree: own, dataBlocks: layoutOf(manifest).dataBlocks });
      } catch (error) {
        if (!(error instanceof TreeMissing)) throw error;
      }
    }
    return comparison;
  }

  /** Plans the window of `plan`, which has begun. `told` is called with blocks of the target as they are compared, and waited for. */
  async plan(plan: WindowPlan, told: (blocks: number) => Promise<void>): Promise<void> {
    await this.#setLeaves(plan);
    await this.#readTarget(plan, told);
    if (plan.isWanting) for (const donor of this.#donors) this.#searchDonor(plan, donor);
    plan.settle();
  }

  async #setLeaves(plan: WindowPlan): Promise<void> {
    for await (const { begin, first, end, bytes } of this.#leaves(plan)) {
      for (let block = first; block < end; block++) plan.setLeaf(block, bytes, (block - begin) * DIGEST);
    }
  }

  async #readTarget(plan: WindowPlan, told: (blocks: number) => Promise<void>): Promise<void> {
    for await (const { begin, first, end, bytes } of this.#leaves(plan)) {
      for (let at = first; at < end; at += PIECE) {
        const count = Math.min(PIECE, end - at);
        const blocks = this.#target.read(at, count);
        // No entries(): an array for each block is memory that the collector lets lie.
        for (let index = 0; index < count; index++) {
          const there = blocks[index] ?? null;
          if (there === null) continue;
          const digest = this.#tree.digestOf(there);
          const block = at + index;
          if (isSameDigest(digest, 0, bytes, (block - begin) * DIGEST)) plan.isThere(block);
          else plan.isElse(block, digest, 0);
        }
        await told(count);
      }
    }
  }

  /** The window's leaves, in pieces: `bytes` holds those from the block `begin` on, the window's are from `first` up to `end`. */
  async *#leaves(plan: WindowPlan): AsyncGenerator<{ begin: number; first: number; end: number; bytes: Uint8Array }> {
    const end = plan.first + plan.count;
    for await (const { first, bytes } of this.#tree.leafPieces(leafBlockOf(plan.first), leafBlockOf(end - 1) + 1)) {
      const begin = first * DIGESTS_PER_BLOCK;
      yield { begin, first: Math.max(begin, plan.first), end: Math.min(end, begin + bytes.length / DIGEST), bytes };
    }
  }

  #searchDonor(plan: WindowPlan, { number, tree, dataBlocks }: Known): void {
    const whole = dataBlocks <= MOST_WINDOWS_SEARCHED * this.#windowBlocks;
    const first = whole ? 0 : Math.max(0, plan.first - this.#windowBlocks);
    const end = whole ? dataBlocks : Math.min(dataBlocks, plan.first + plan.count + this.#windowBlocks);
    for (let leafBlock = leafBlockOf(first); leafBlock * DIGESTS_PER_BLOCK < end; leafBlock += PIECE) {
      searchLeaves(plan, number, tree, leafBlock, dataBlocks);
    }
  }
}

/** Looks among the leaves of up to {@link PIECE} blocks of them. Damaged ones prove nothing, and are passed over. */
function searchLeaves(plan: WindowPlan, donor: number, tree: ImageTree, first: number, dataBlocks: number): void {
  for (const [index, bytes] of tree.provenLeaves(first, Math.min(PIECE, tree.leafBlocks - first))) {
    const begin = index * DIGESTS_PER_BLOCK;
    const count = Math.min(DIGESTS_PER_BLOCK, dataBlocks - begin);
    for (let leaf = 0; leaf < count; leaf++) plan.hasDonor(donor, begin + leaf, bytes, leaf * DIGEST);
  }
}
