/** What of a generation's stores goes into a clone of it, and under which name, as the image that boots declares it. Pure. */
import type { Operator } from "./control.ts";
import { globMatcher } from "./globs.ts";

export interface CloneRules {
  /**
   * The name of the store `id` in the clone; null where it is left out: a cache, one that begins anew, or one that was being
   * made when the power failed. `has` says which stores the source has.
   */
  nameOf(id: string, has: (id: string) => boolean): string | null;
  /** What is left out within the store that has this name in the clone, by paths below it; null where nothing is. */
  excluded(id: string): ((path: Uint8Array) => boolean) | null;
}

/** Stores that no operator declares are cloned as they are: an image that declares them may come back. */
export function cloneRules(operators: readonly Operator[], without: readonly string[]): CloneRules {
  const persistent = operators.filter(({ state }) => state === "persistent");
  const byId = new Map(persistent.map((operator) => [operator.id, operator]));
  const heirs = new Map<string, Operator>();
  for (const operator of persistent) {
    const { renamedFrom } = operator;
    if (renamedFrom !== null && !heirs.has(renamedFrom)) heirs.set(renamedFrom, operator);
  }
  const leftOut = new Set([...without, ...persistent.flatMap(({ id, cache }) => (cache ? [id] : []))]);
  const renamed = (id: string, has: (id: string) => boolean): string => {
    const heir = byId.has(id) ? undefined : heirs.get(id);
    return heir === undefined || has(heir.id) ? id : heir.id;
  };
  return {
    nameOf(id, has) {
      const name = renamed(id, has);
      return id.startsWith(".") || leftOut.has(name) ? null : name;
    },
    excluded(id) {
      const globs = byId.get(id)?.exclude ?? [];
      return globs.length === 0 ? null : globMatcher(globs);
    },
  };
}
