/** How state is laid in safe mode: what may be at fault stays out of reach, and the system boots whenever it can. */
import type { Operator } from "./control.ts";
import { type Degraded, isRolledBack } from "./data-use.ts";
import { hasStore } from "./operator-combinations.ts";
import { planState, type StateStep, standInMemory } from "./state-plan.ts";

/** No memory for a directory of state is limited to less, bytes. */
const LEAST = 16 * 1024 * 1024;

export interface SafeMode {
  /** Why there is no data filesystem; null where it is mounted. */
  missing: string | null;
  /** The machine's memory in bytes; null where it is not known. */
  memory: number | null;
}

/**
 * The steps that lay `operators` in safe mode, in their order: memory over the image's content for persistent state, what is
 * declared for everything else. What cannot be laid is degraded to memory whatever `on-failure` says, but for a mask: nothing
 * weaker hides what it hides.
 */
export function planSafeMode(operators: readonly Operator[], { missing, memory }: SafeMode): StateStep[] {
  const limit = limitOf(operators, memory);
  return operators.flatMap((operator): StateStep[] => {
    const tolerant: Operator = operator.via === "mask" ? operator : { ...operator, onFailure: "degraded" };
    if (isRolledBack(operator)) return [standInMemory(tolerant, limit)];
    // Nothing that is not persistent has its store in a generation.
    return planState([tolerant], { generation: missing === null ? "" : null });
  });
}

/** For the report and the journal of a boot in safe mode. */
export const SAFE_MODE = "safe mode: persistent state is in memory, what is written there is gone at the next reboot";

/** What a system in safe mode has to do without, for the report: it cannot be committed so. `failed`: what could not be laid. */
export function inSafeMode(operators: readonly Operator[], failed: readonly Degraded[]): Degraded[] {
  const stores = new Map(operators.filter(hasStore).map((operator) => [operator.path, operator]));
  const reason = "safe mode: it is in memory, and gone at the next reboot; its store is as it was";
  const suspected = [...stores.values()].filter(isRolledBack).map(({ path }) => ({ path, reason }));
  const inMemory = new Set(suspected.map(({ path }) => path));
  const others = failed.filter(({ path }) => !inMemory.has(path));
  const lost = others.map((entry) => {
    const state = stores.get(entry.path)?.state;
    return state === undefined ? entry : { ...entry, reason: `safe mode without its ${state} state: ${entry.reason}` };
  });
  return [...suspected, ...lost];
}

/** Half of the memory, shared out evenly: what fills one directory must not take the memory that the system runs in. */
function limitOf(operators: readonly Operator[], memory: number | null): number | null {
  const count = operators.filter((operator) => isRolledBack(operator) && operator.kind === "directory").length;
  if (memory === null || count === 0) return null;
  return Math.max(LEAST, Math.floor(memory / 2 / count / 4096) * 4096);
}

/** Bytes of memory by the text of /proc/meminfo (proc_meminfo(5)); null where it does not say. */
export function memoryIn(meminfo: string): number | null {
  const kibibytes = /^MemTotal:\s*(\d{1,12}) kB$/m.exec(meminfo)?.[1];
  return kibibytes === undefined ? null : Number(kibibytes) * 1024;
}
