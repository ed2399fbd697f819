import type { ControlFile } from "../../state-ops/control.ts";
import { CHECKERS, missingChecker } from "../../state-ops/data-check.ts";
import { judgeData, keepsState, planStateWithout, type SeenData, whyNoPrevious } from "../../state-ops/data-use.ts";
import { inSafeMode, planSafeMode, SAFE_MODE } from "../../state-ops/safe-mode.ts";
import { MNT, MS } from "../kernel/constants.ts";
import { DATA_PLACE } from "../sequence/data.ts";
import { checkLayout } from "../state/data-filesystem.ts";
import type { DataFacts } from "./facts.ts";
import { type PlannedGeneration, planSlotGeneration, unknownGeneration } from "./plan-generation.ts";
import type { Effect, StatePlan } from "./plan-shape.ts";
import type { FoundData, PlannedData, PlannedState } from "./planned-data.ts";
import { stateEffects } from "./state-effects.ts";

/** Takes the data filesystem's own mount away; binds from it stay. */
export const unmountData: Effect = { do: "unmount", target: DATA_PLACE, flags: MNT.DETACH | MNT.NOFOLLOW };

/** What would be done about the state, in the order of the sequence. Throws Error where a required store cannot be had. */
export function planSlotState(order: PlannedState): StatePlan {
  const { imageControl, slot, warnings } = order;
  const unkept = order.wish === "previous" ? whyNoPrevious(imageControl?.operators ?? [], slot) : null;
  if (unkept !== null) throw new Error(unkept);
  if (imageControl === null) {
    warnings.push(`the image in slot ${slot} has no control file: it gets no writable state; compile one into it`);
    return stateless("the image has no control file, so it gets no writable state", order.opened);
  }
  const { operators } = imageControl;
  const kept = keepsState(operators);
  const { found, missing } = kept && order.opened === null ? openData(order) : { found: order.opened, missing: null };
  if (missing !== null && order.wish === "previous") throw new Error(`recovery cannot go back to the state before: ${missing}`);
  const generation = found === null || !kept ? null : generationOf(order, found, imageControl);
  const safeMode = order.wish === "memory";
  const steps = safeMode
    ? planSafeMode(operators, { missing, memory: order.memory })
    : planStateWithout(operators, { generation: generation?.path ?? null }, missing);
  order.effects.push(...stateEffects(steps));
  const failed = steps.flatMap((step) =>
    step.do === "tmpfs" && step.degraded ? [{ path: `/${step.path}`, reason: missing ?? "it cannot be kept" }] : [],
  );
  const degraded = safeMode ? inSafeMode(operators, failed) : failed;
  if (safeMode) order.stateNotes.push(SAFE_MODE);
  for (const { path, reason } of degraded) warnings.push(`${path} is degraded to memory: ${reason}`);
  const why = whyState(order, { kept, generation, missing });
  return {
    data: found?.data ?? null,
    generation: generation?.plan ?? null,
    why,
    steps,
    notes: generation?.notes ?? [],
    degraded,
    safeMode,
  };
}

function whyState(
  { wish }: PlannedState,
  { kept, generation, missing }: { kept: boolean; generation: PlannedGeneration | null; missing: string | null },
): string {
  if (!kept) return "the image keeps nothing beyond a boot";
  if (missing !== null) return `no data filesystem: ${missing}`;
  return wish === "memory" ? "safe mode: no generation is used" : (generation?.why ?? "there is none");
}

function generationOf(order: PlannedState, { facts, data }: FoundData, image: ControlFile): PlannedGeneration | null {
  const { wish } = order;
  if (wish === "memory") return null;
  if (facts.content === null) return unknownGeneration(order, facts.unknown ?? "nobody looked");
  try {
    return planSlotGeneration({ ...order, wish }, facts.content, image, data.uuid);
  } catch (error) {
    // There is no state from before: nothing of the data filesystem stays mounted.
    if (order.opened === null) order.effects.push(unmountData);
    throw error;
  }
}

function stateless(why: string, opened: FoundData | null): StatePlan {
  return { data: opened?.data ?? null, generation: null, why, steps: [], notes: [], degraded: [], safeMode: false };
}

/** Plans the mount of the data filesystem, or says why there is none. */
export function openData(order: PlannedData): { found: FoundData | null; missing: string | null } {
  if (order.control.data === null) return { found: null, missing: "the control file has no data:" };
  try {
    return { found: mountData(order, order.control.data), missing: null };
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    order.warnings.push(`no data filesystem: ${missing}`);
    return { found: null, missing };
  }
}

function mountData(order: PlannedData, data: NonNullable<ControlFile["data"]>): FoundData {
  const resolution = order.findDevice();
  if (!("found" in resolution)) {
    throw new Error("missing" in resolution ? resolution.missing : resolution.ambiguous);
  }
  const { path, name, readOnly } = resolution.found;
  const facts = order.dataOf(name) ?? presumed(order, data, path);
  if (facts.fault !== null) throw new Error(facts.fault);
  const uuid = facts.uuid ?? "unknown";
  const { filesystem, errors } = facts;
  const seen: SeenData = { device: path, readOnly, filesystem, uuid, errors };
  const use = judgeData(seen, { definition: data, known: order.knownData, adopt: order.adopt });
  order.stateNotes.push(...use.notes);
  if (use.check) planCheck(order, data, path);
  const flags = MS.NOSUID | MS.NODEV | MS.NOATIME;
  order.effects.push({ do: "mount", source: path, target: DATA_PLACE, type: data.filesystem, flags, data: "" });
  try {
    const layout = facts.content?.layout ?? null;
    if (layout !== null) order.warnings.push(...checkLayout(layout, uuid));
  } catch (error) {
    order.effects.push(unmountData);
    throw error;
  }
  return { data: { device: path, filesystem: data.filesystem, uuid }, facts };
}

/** The facts do not speak of a device: it is taken to hold what the record knows. */
function presumed(order: PlannedData, { filesystem }: NonNullable<ControlFile["data"]>, path: string): DataFacts {
  const unknown = `the facts do not speak of ${path}`;
  return { fault: null, filesystem, uuid: order.knownData, errors: false, content: null, unknown };
}

/** The programs of the initrd are not seen from the running system: the plan takes it to have no checker. */
function planCheck(order: PlannedData, { filesystem }: NonNullable<ControlFile["data"]>, path: string): void {
  const checker = CHECKERS[filesystem];
  order.stateNotes.push(`${path}: its superblock tells of errors; ${missingChecker(checker)}`);
  order.unknown.push(`whether the initrd has ${checker.name}, which would repair ${path} first: taken not to`);
}
