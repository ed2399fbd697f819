import type { ControlFile, Operator } from "./control.ts";
import { hasStore } from "./operator-combinations.ts";

/** What an image's operators do to the stores that an earlier image's operators left on the device. */
export interface Drift {
  operator: Operator;
  /** `error`: the store would not be found again, so that its state seems lost. */
  severity: "error" | "warning";
  text: string;
}

/** Compares with the previous control file, by id; a store that was renamed by the id that it had. */
export function compareWithPrevious(operators: readonly Operator[], previous: ControlFile): Drift[] {
  const before = new Map(previous.operators.map((operator) => [operator.id, operator]));
  return operators.flatMap((operator) => {
    const old = before.get(operator.id) ?? before.get(operator.renamedFrom ?? operator.id);
    return old === undefined ? [] : compare(operator, old).map((drift) => ({ operator, ...drift }));
  });
}

/** Stores of the previous image that no operator of this one finds. */
export function abandonedStores(operators: readonly Operator[], previous: ControlFile): Operator[] {
  const found = new Set(operators.filter(hasStore).flatMap(({ id, renamedFrom }) => [id, renamedFrom]));
  // One with the same id that keeps nothing now is told by compareWithPrevious.
  for (const { id } of operators) found.add(id);
  return previous.operators.filter((old) => hasStore(old) && !found.has(old.id));
}

function compare(operator: Operator, old: Operator): Omit<Drift, "operator">[] {
  const { path } = operator;
  const drifts: Omit<Drift, "operator">[] = [];
  if (!hasStore(old)) {
    return drifts;
  }
  if (keptWith(operator) !== keptWith(old) || operator.kind !== old.kind) {
    const text = `${path} was ${describe(old)} in the previous control file (${old.origin}) and is ${describe(operator)}: what devices hold there would not be found; keep it, or give it another "id:" if that is meant`;
    drifts.push({ severity: "error", text });
  }
  for (const key of ["owner", "group"] as const) {
    if (old[key] !== null && operator[key] !== null && old[key] !== operator[key]) {
      const text = `${path}: the number of its ${key} was ${old[key]} in the previous control file and is ${operator[key]}; files in devices' stores keep the old number`;
      drifts.push({ severity: "warning", text });
    }
  }
  return drifts;
}

function describe({ state, kind, via }: Operator): string {
  return [...(state === null ? [] : [state]), kind, `via ${via}`].join(", ");
}

/** The place a store is in. */
function keptWith(operator: Operator): string {
  const shared = operator.state === "shared" || operator.state === "identity";
  return !hasStore(operator) ? "memory" : shared ? "shared" : operator.via;
}
