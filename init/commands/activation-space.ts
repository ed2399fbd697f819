import type { BootRecord } from "../../boot/record/record.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { cloneRules } from "../../state-ops/clone-rules.ts";
import { spaceFault } from "../../state-ops/clone-space.ts";
import type { Operator } from "../../state-ops/control.ts";
import { NO_ORDERS } from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { readGenerations } from "../state/data-filesystem.ts";
import { measureStores, probeEngine } from "../state/estimate.ts";
import { withDataFilesystem } from "./data-access.ts";
import type { Machine, Places } from "./machine.ts";
import { operatorsIfDeclared } from "./state/declared.ts";

/**
 * Throws Refusal where the first boot of `slot`, as `record` has it, would have no space for its clone of the state. PID 1
 * would fail the slot then, and nothing would be lost but a boot. Returns a warning where nobody can tell.
 */
export function refuseWithoutSpace(kernel: Kernel, places: Places, machine: Machine, record: BootRecord, slot: string): string[] {
  if (machine.report.data === null) return [];
  let fault: string | null;
  try {
    // The image in the slot may declare other caches; what the running one declares is the best there is to know.
    const operators = operatorsIfDeclared(kernel, places);
    fault = withDataFilesystem(kernel, machine, (data) => missingSpace(kernel, data, machine, record, slot, operators));
  } catch (error) {
    if (!(error instanceof KernelError || error instanceof Refusal)) throw error;
    return [`whether the state fits a second time cannot be seen: ${error.message}`];
  }
  if (fault !== null) throw new Refusal(`slot ${slot} is not activated: ${fault}`);
  return [];
}

function missingSpace(
  kernel: Kernel,
  data: Descriptor,
  machine: Machine,
  record: BootRecord,
  slot: string,
  operators: readonly Operator[],
): string | null {
  const generation = clonedGeneration(kernel, data, machine, record, slot);
  if (generation === null) return null;
  const { bytes, files, whole } = measureStores(kernel, data, generation, cloneRules(operators, []), () => {});
  const engine = probeEngine(kernel, data, generation);
  const { blockSize, available, inodes, inodesFree } = kernel.filesystemStatus(data);
  const free = { bytes: Number(available) * blockSize, files: inodes === 0n ? null : Number(inodesFree) };
  return spaceFault({ generation, engine, bytes, files, whole }, free);
}

/** The generation that the next boot of the slot clones; null where it goes on with its own, or makes one of the image. */
function clonedGeneration(kernel: Kernel, data: Descriptor, machine: Machine, record: BootRecord, slot: string): number | null {
  const { state, imageId } = slotOf(record, slot);
  const found = readGenerations(kernel, data, machine.policy.slots);
  const own = found.generations.find(({ number }) => number === found.pointers[slot]);
  const plan = planGeneration({
    ...found,
    ...{
      slot,
      imageId: imageId ?? "",
      trial: state !== "committed",
      previousEnd: "none",
      left: null,
      orders: NO_ORDERS,
      wish: "ordinary",
    },
    ...{ committed: record.lastCommitted, attempt: (record.attempt?.number ?? 0) + 1 },
    // Nobody has read the control file in the slot: it is taken to be the one that its generation was laid by.
    controlDigest: own?.meta?.controlDigest ?? "",
  });
  return plan.do === "clone" ? plan.from : null;
}
