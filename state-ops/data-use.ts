/** Whether an image's state needs the data filesystem, whether what was found there can be used, and what to tell of it. */
import type { ControlFile, Operator } from "./control.ts";
import { hasStore } from "./operator-combinations.ts";
import { Refusal } from "./outcome.ts";
import type { GenerationPlan } from "./planned-generation.ts";
import { planState, type StateContext, type StateStep } from "./state-plan.ts";

const KEPT = new Set(["persistent", "shared", "identity"]);

/** Whether the operator keeps what is written beyond the boot. */
export function isKept({ state }: Pick<Operator, "state">): boolean {
  return state !== null && KEPT.has(state);
}

/** Whether any operator does. */
export function keepsState(operators: readonly Operator[]): boolean {
  return operators.some(isKept);
}

/** Whether the operator's store is part of a generation. */
export function isRolledBack(operator: Operator): boolean {
  return operator.state === "persistent" && hasStore(operator);
}

/** Why a slot can have no persistent state from before; null where it may. */
export function whyNoPrevious(operators: readonly Operator[], slot: string): string | null {
  if (operators.some(isRolledBack)) return null;
  return `the image in slot ${slot} keeps no persistent state: recovery cannot go back to one from before`;
}

/** What was seen of the data partition before anything is done to it. */
export interface SeenData {
  /** "/dev/vda4" */
  device: string;
  /** The kernel refuses every write to the device. */
  readOnly: boolean;
  /** Null: no filesystem that slipway knows. */
  filesystem: string | null;
  /** "unknown" where the superblock has none. */
  uuid: string;
  /** The superblock says that errors were found on the filesystem and not repaired since. */
  errors: boolean;
}

/** What the machine expects there. */
export interface ExpectedData {
  definition: Pick<NonNullable<ControlFile["data"]>, "filesystem" | "whenReplaced">;
  /** UUID that the boot record knows; null before the first mount, and after the record was lost. */
  known: string | null;
  /** The command line says to take another filesystem for this boot. */
  adopt: boolean;
}

/** What is to be done before the data filesystem is mounted. */
export interface DataUse {
  /** Its checker has to look first. */
  check: boolean;
  /** For the report and the boot journal. */
  notes: string[];
}

/**
 * Whether the data partition can be used as it was seen. Throws Error, with what was seen and the remedy, where it cannot:
 * state that cannot be found again must never look like a machine that boots for the first time.
 */
export function judgeData(seen: SeenData, expected: ExpectedData): DataUse {
  const { device, uuid } = seen;
  const { definition, known, adopt } = expected;
  if (seen.filesystem !== definition.filesystem) throw new Error(wrongFilesystem(seen, expected));
  const notes: string[] = [];
  if (known !== null && known !== uuid) {
    const other = `${device} has the data filesystem ${uuid}, the boot record knows ${known}: another disk, or made anew`;
    if (!adopt && definition.whenReplaced === "refuse") {
      throw new Error(
        `${other}; put the right one back, or take this one: slipway.data=adopt on the kernel command line, or when-replaced: adopt in system.yaml`,
      );
    }
    notes.push(`another data filesystem is adopted: ${other}`);
  }
  if (seen.readOnly) {
    throw new Error(`${device} is write-protected, and state cannot be kept on it; unlock the disk, or replace it`);
  }
  return { check: seen.errors, notes };
}

function wrongFilesystem({ device, filesystem }: SeenData, { definition, known }: ExpectedData): string {
  const seen = `${device} has ${filesystem ?? "no known"} filesystem, the control file says ${definition.filesystem}`;
  if (known === null) return `${seen}; make it with mkfs.${definition.filesystem}`;
  const uuidOption = definition.filesystem === "xfs" ? `-m uuid=${known}` : `-U ${known}`;
  return `${seen}, and the boot record knows state on ${known}: lost superblock, or another disk; repair it by hand, put the right disk back, or begin anew with mkfs.${definition.filesystem} ${uuidOption}`;
}

/**
 * What to tell where a generation is made from the image although there was state: null in every other boot. `uuid` is that of
 * the data filesystem, `known` the one of the boot record: a machine whose record knows none boots for the first time.
 */
export function lostState(plan: GenerationPlan, uuid: string, known: string | null): string | null {
  if (plan.do !== "create" || plan.standIn !== undefined || plan.reason === null || known === null) return null;
  return `state was lost: ${plan.reason} (data filesystem ${uuid})`;
}

/** A path that got memory in the place of its store. */
export interface Degraded {
  path: string;
  reason: string;
}

/** For the boot journal: one sentence for each reason, with the paths that it was for. */
export function degradedNotes(degraded: readonly Degraded[]): string[] {
  const reasons = [...new Set(degraded.map(({ reason }) => reason))];
  return reasons.map((reason) => {
    const paths = degraded.filter((entry) => entry.reason === reason).map(({ path }) => path);
    const shown = paths.length <= 3 ? paths.join(", ") : `${paths.slice(0, 2).join(", ")} and ${paths.length - 2} more`;
    return `degraded: ${shown}: ${reason}`;
  });
}

/** As planState. `missing`: why there is no data filesystem, for the error of a store that is required; null where there is one. */
export function planStateWithout(operators: readonly Operator[], context: StateContext, missing: string | null): StateStep[] {
  try {
    return planState(operators, context);
  } catch (error) {
    if (missing === null || !(error instanceof Refusal)) throw error;
    throw new Error(`${error.message}: ${missing}`);
  }
}
