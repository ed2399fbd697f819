/** Which stores a reset begins anew, and what the next boot is to be asked for. */
import type { Operator } from "./control.ts";
import { hasStore } from "./operator-combinations.ts";
import { byPath, operatorsBelow, rulingOperator } from "./operator-tree.ts";
import { Refusal } from "./outcome.ts";
import type { StateRequests } from "./requests.ts";

/** What is to begin anew: the operator that rules a path with all below it, or everything. `identity`: identity too. */
export type ResetOrder = { path: string; identity: boolean } | { factory: true; identity: boolean };

export interface ResetPlan {
  requests: StateRequests;
  /** Operators whose stores begin anew, by path. */
  lost: Operator[];
  /** Identity among them, which is not lost. */
  kept: Operator[];
  /** What the caller may not expect, one sentence each. */
  notes: string[];
}

/**
 * Plans a reset on top of what was asked for before. Throws Refusal where nothing is kept at the path, or only identity that
 * was not named.
 */
export function planReset(operators: readonly Operator[], order: ResetOrder, pending: StateRequests): ResetPlan {
  return "path" in order ? planStores(operators, order, pending) : planFactory(operators, order.identity, pending);
}

function planFactory(operators: readonly Operator[], asked: boolean, pending: StateRequests): ResetPlan {
  const identity = asked || (pending.reset?.what === "factory" && pending.reset.identity);
  const stores = byPath(operators.filter(hasStore));
  const lost = stores.filter(({ state }) => identity || state !== "identity");
  const notes = ["the state of every slot is lost: a rollback brings none back"];
  if (identity && !asked) notes.push("a factory reset with identity was asked for before, and stays so");
  const requests: StateRequests = { ...pending, reset: { what: "factory", identity } };
  return { requests, lost, kept: stores.filter((operator) => !lost.includes(operator)), notes };
}

function planStores(
  operators: readonly Operator[],
  { path, identity }: { path: string; identity: boolean },
  pending: StateRequests,
): ResetPlan {
  const operator = requireKept(operators, path);
  const all = [operator, ...operatorsBelow(operators, operator)].filter(hasStore);
  if (operator.state === "identity" && !identity) {
    throw new Refusal(
      `${operator.path} is identity (${operator.origin}), which is kept unless it is named: "slipway state reset --identity ${path}"`,
    );
  }
  const lost = all.filter(({ state }) => identity || state !== "identity");
  const kept = all.filter((other) => !lost.includes(other));
  const notes = path === operator.path ? [] : [`${path} lies in ${operator.path}, which begins anew as a whole`];
  const before = pending.reset;
  if (before?.what === "factory") {
    const covered = lost.every(({ state }) => state !== "identity") || before.identity;
    if (!covered) {
      throw new Refusal(
        'a factory reset is pending that keeps identity; say "slipway state reset --factory --identity", or --cancel first',
      );
    }
    return { requests: pending, lost, kept, notes: [...notes, "a factory reset is pending already, and takes this along"] };
  }
  const ids = [...new Set([...(before?.ids ?? []), ...lost.map(({ id }) => id)])].sort();
  return { requests: { ...pending, reset: { what: "stores", ids } }, lost, kept, notes };
}

function requireKept(operators: readonly Operator[], path: string): Operator {
  const operator = rulingOperator(operators, path);
  const explain = `see slipway state explain ${path}`;
  if (operator === null || operator.state === null) {
    throw new Refusal(`nothing is kept at ${path}: it is as the image has it, and cannot be written; ${explain}`);
  }
  if (operator.state !== "ephemeral" && operator.via === "symlink") {
    throw new Refusal(`nothing is kept at ${operator.path}, a link to ${operator.target}; reset ${operator.target} instead`);
  }
  if (operator.state === "ephemeral") {
    const below = operatorsBelow(operators, operator).filter(hasStore);
    const instead = below.length === 0 ? "" : `; kept below it are ${below.map((other) => other.path).join(", ")}`;
    throw new Refusal(
      `nothing is kept at ${path}: ${operator.path} is ephemeral, and begins anew at every boot: reboot${instead}`,
    );
  }
  return operator;
}
