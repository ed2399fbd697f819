/** Whether an image's state needs the data filesystem, and whether what was found there can be used. */
import type { ControlFile, Operator } from "./control.ts";
import { Refusal } from "./outcome.ts";
import { planState, type StateContext, type StateStep } from "./state-plan.ts";

const KEPT = new Set(["persistent", "shared", "identity"]);

/** Whether any operator keeps what is written beyond the boot. */
export function keepsState(operators: readonly Operator[]): boolean {
  return operators.some((operator) => operator.state !== null && KEPT.has(operator.state));
}

/** Throws Error unless `device`, on which the filesystem `type` was seen, is the declared data filesystem. */
export function checkDataFilesystem(device: string, type: string | null, data: NonNullable<ControlFile["data"]>): void {
  if (type === data.filesystem) return;
  throw new Error(
    `${device} has ${type ?? "no known"} filesystem, the control file says ${data.filesystem}; make it with mkfs.${data.filesystem}`,
  );
}

/** What to warn of where the data filesystem is another one than the boot record knows; null where it is not. */
export function otherDataFilesystem(uuid: string, known: string | null): string | null {
  if (known === null || known === uuid) return null;
  return `the data filesystem is ${uuid}, the boot record knew ${known}: another disk, or made anew`;
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
