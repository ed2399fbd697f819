/** What the commands know of the generations on the data filesystem. */
import type { BootRecord } from "../../../boot/record/record.ts";
import { type CollectionFacts, type CollectionPlan, planCollection } from "../../../state-ops/collection.ts";
import { GENERATION, LAYOUT } from "../../../state-ops/layout.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { isCode, withDirectory } from "../../state/beneath.ts";
import { readGenerations } from "../../state/data-filesystem.ts";
import type { Machine } from "../machine.ts";

/** What may be deleted, and why not, by what is on the data filesystem and in the boot record. */
export function collection(
  kernel: Kernel,
  data: Descriptor,
  machine: Machine,
  committed: BootRecord["lastCommitted"],
): { facts: CollectionFacts; plan: CollectionPlan } {
  const facts = { ...readGenerations(kernel, data, machine.policy.slots), committed };
  return { facts, plan: planCollection(facts) };
}

/** When a generation was made, milliseconds since the epoch: its last file was written then. Null where it cannot be read. */
export function madeUnixMs(kernel: Kernel, data: Descriptor, name: string): number | null {
  try {
    return withDirectory(kernel, data, `${LAYOUT.generations}/${name}`, (generation) =>
      Number(kernel.statusAt(GENERATION.complete, generation).modified / 1_000_000n),
    );
  } catch (error) {
    if (isCode(error, "ENOENT", "ENOTDIR", "ELOOP", "EIO")) return null;
    throw error;
  }
}
