/** What the boot of one slot makes of the running system's requests. Pure. */
import type { Operator } from "./control.ts";
import { type GenerationOrders, NO_ORDERS } from "./generation-facts.ts";
import { generationName } from "./layout.ts";
import type { StateRequests } from "./requests.ts";

export interface RequestPlan {
  orders: GenerationOrders;
  /** Names in shared/ whose stores begin anew: these, or all but these. */
  shared: { remove: readonly string[] } | { keep: readonly string[] };
  /** What is done, one sentence each, for the report and the boot journal. */
  notes: string[];
}

/** A boot that nothing was asked of. */
export const NO_REQUEST_PLAN: RequestPlan = { orders: NO_ORDERS, shared: { remove: [] }, notes: [] };

/**
 * Plans the requests for the image with these operators, in `slot`. A store that the image does not declare is left alone:
 * nobody here knows how long it is to be kept. Only a factory reset takes those as well.
 */
export function planRequests(requests: StateRequests, operators: readonly Operator[], slot: string): RequestPlan {
  const { reset, carry } = requests;
  const ids = new Set(reset?.what === "stores" ? reset.ids : []);
  const asked = operators.filter(({ id }) => ids.has(id));
  const declared = new Set(asked.map(({ id }) => id));
  const unknown = [...ids].filter((id) => !declared.has(id));
  const persistent = asked.filter(({ state }) => state === "persistent").map(({ id }) => id);
  const shared = asked.filter(({ state }) => state === "shared" || state === "identity");
  const factory = reset?.what === "factory";
  const carried = !factory && carry !== null && carry.slot === slot ? carry.generation : null;
  return {
    orders: { factory, without: persistent, carry: carried },
    shared: factory ? { keep: reset.identity ? [] : identityNames(operators) } : { remove: shared.flatMap(names) },
    notes: [
      ...(factory ? [`factory reset: all state begins anew${reset.identity ? ", identity too" : ", but for identity"}`] : []),
      ...(asked.length > 0 ? [`reset: ${asked.map(({ path }) => path).join(", ")} begin anew`] : []),
      ...unknown.map((id) => `reset of ${id} was dropped: the image in slot ${slot} declares no such store`),
      ...(carry !== null && carried === null ? [dropped(carry, slot, factory)] : []),
    ],
  };
}

function dropped(carry: { slot: string; generation: number }, slot: string, factory: boolean): string {
  const what = `the request that slot ${carry.slot} goes on with generation ${generationName(carry.generation)} was dropped`;
  return `${what}: ${factory ? "a factory reset came first" : `slot ${slot} boots`}`;
}

function identityNames(operators: readonly Operator[]): string[] {
  return operators.filter(({ state }) => state === "identity").flatMap(names);
}

/** A store made by an earlier image keeps its name. */
function names({ id, renamedFrom }: Operator): string[] {
  return renamedFrom === null ? [id] : [id, renamedFrom];
}
