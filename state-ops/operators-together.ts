/**
 * What must hold between the operators of one control file, whatever the image. The compiler reports every fault with
 * the places of both, PID 1 refuses the file by the first.
 */
import type { Operator } from "./control.ts";
import { hasStore } from "./operator-combinations.ts";
import { nestingFault, parentOf, readonlyFault, symlinkTargetFault } from "./operator-rules.ts";

export interface TogetherFault {
  operator: Operator;
  /** The operator that it does not go with; null where something is missing. */
  other: Operator | null;
  /** The YAML key of `operator` that is about it. */
  key: string;
  /** What is wrong with the remedy; `otherPlace` says where `other` was declared. */
  text: (otherPlace: string) => string;
}

/** Every fault, in the order of `operators`. */
export function togetherFaults(operators: readonly Operator[]): TogetherFault[] {
  const byPath = new Map<string, Operator>();
  for (const operator of operators) {
    if (!byPath.has(operator.path)) byPath.set(operator.path, operator);
  }
  return [...operators.flatMap((operator) => placeFaults(operator, byPath)), ...storeFaults(operators)];
}

function placeFaults(operator: Operator, byPath: ReadonlyMap<string, Operator>): TogetherFault[] {
  const { path, target } = operator;
  const first = byPath.get(path);
  if (first !== undefined && first !== operator) {
    // An origin begins with the package's name, which has no slash.
    const [other, own] = [first, operator].map(({ origin }) => `"override: ${origin.split("/")[0]}"`);
    const text = (place: string) =>
      `${path} is declared twice, here and ${place}; take one away, or say ${other} here or ${own} there in the one that is to stay`;
    return [{ operator, other: first, key: "path", text }];
  }
  const outer = parentOf(path, byPath);
  const nesting = outer === null ? null : nestingFault(outer, operator);
  if (nesting !== null) {
    return [{ operator, other: outer, key: "path", text: (place) => `${nesting} (${place})` }];
  }
  const readonly = readonlyFault(operator, outer);
  if (readonly !== null) {
    return [{ operator, other: null, key: "via", text: () => readonly }];
  }
  const holder = target === null ? null : (byPath.get(target) ?? parentOf(target, byPath));
  const leads = symlinkTargetFault(operator, holder);
  return leads === null
    ? []
    : [{ operator, other: holder, key: "target", text: (place) => (holder === null ? leads : `${leads} (${place})`) }];
}

/** No two operators may find the same store, under its own id or under that of earlier images. */
function storeFaults(operators: readonly Operator[]): TogetherFault[] {
  const byId = new Map<string, Operator>();
  const byOldId = new Map<string, Operator>();
  for (const operator of operators) {
    if (!byId.has(operator.id)) byId.set(operator.id, operator);
    if (operator.renamedFrom !== null && !byOldId.has(operator.renamedFrom)) byOldId.set(operator.renamedFrom, operator);
  }
  return operators.flatMap((operator) => {
    const { id, path, renamedFrom } = operator;
    const faults: TogetherFault[] = [];
    const sameId = byId.get(id);
    if (sameId !== undefined && sameId !== operator && sameId.path !== path) {
      const text = (place: string) =>
        `the id "${id}" of ${path} is also that of ${sameId.path}, ${place}; give one another "id:"`;
      faults.push({ operator, other: sameId, key: "id", text });
    }
    if (renamedFrom === null) return faults;
    const inUse = byId.get(renamedFrom);
    if (inUse !== undefined && inUse !== operator && hasStore(inUse)) {
      const text = (place: string) =>
        `${path} takes its store over from "${renamedFrom}", which is the id of ${inUse.path}, ${place}; one store cannot be both, leave "renamed-from" away`;
      faults.push({ operator, other: inUse, key: "renamed-from", text });
    }
    const twice = byOldId.get(renamedFrom);
    if (twice !== undefined && twice !== operator) {
      const text = (place: string) =>
        `${path} and ${twice.path} both take the store "${renamedFrom}" over, ${place}; leave one "renamed-from" away`;
      faults.push({ operator, other: twice, key: "renamed-from", text });
    }
    return faults;
  });
}
