import type { ControlFile, Operator } from "./control.ts";

/** What an image's operators do to the stores that an earlier image's operators left on the device. */
export interface Drift {
  operator: Operator;
  /** `error`: the store would not be found again, so that its state seems lost. */
  severity: "error" | "warning";
  text: string;
}

/** Compares with the previous control file, by id. */
export function compareWithPrevious(operators: readonly Operator[], previous: ControlFile): Drift[] {
  const before = new Map(previous.operators.map((operator) => [operator.id, operator]));
  return operators.flatMap((operator) => {
    const old = before.get(operator.id);
    return old === undefined ? [] : compare(operator, old).map((drift) => ({ operator, ...drift }));
  });
}

function compare(operator: Operator, old: Operator): Omit<Drift, "operator">[] {
  const { path } = operator;
  const drifts: Omit<Drift, "operator">[] = [];
  if (old.state === "ephemeral") {
    return drifts;
  }
  if (keptWith(operator) !== keptWith(old) || operator.kind !== old.kind) {
    const was = `${old.state}, ${old.kind}, via ${old.via}`;
    const text = `${path} was ${was} in the previous control file (${old.origin}) and is ${operator.state}, ${operator.kind}, via ${operator.via}: what devices hold there would not be found; keep it, or give it another "id:" if that is meant`;
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

/** The place a store is in. */
function keptWith(operator: Operator): string {
  const shared = operator.state === "shared" || operator.state === "identity";
  return operator.state === "ephemeral" ? "memory" : shared ? "shared" : operator.via;
}
