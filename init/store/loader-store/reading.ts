import type { StoreReading, StoreView } from "../../../boot/stores/view.ts";
import { Refusal } from "../../../state-ops/outcome.ts";
import { KernelError } from "../../kernel/kernel.ts";
import { isCode } from "../../state/beneath.ts";
import { StoreFailure } from "./filesystem.ts";

/** A store that says nothing of any slot is as good as none. */
export function readingOf(view: StoreView, reason: string | null, place: string): StoreReading {
  if (Object.keys(view.slots).length > 0) return { condition: "valid", view, reason };
  return { condition: "empty", view: null, reason: reason ?? `${place} says nothing of the slots` };
}

/** A store's variables once `changes` are made: null removes one. */
export function withChanges(
  variables: ReadonlyMap<string, string>,
  changes: ReadonlyMap<string, string | null>,
): ReadonlyMap<string, string> {
  const changed = new Map(variables);
  for (const [name, value] of changes) {
    if (value === null) changed.delete(name);
    else changed.set(name, value);
  }
  return changed;
}

/** The reading of a store's files that were not read; `missing`: errors of what is not there. Throws as {@link failed}. */
export function unread(place: string, error: unknown, ...missing: string[]): StoreReading {
  if (isCode(error, ...missing)) return { condition: "empty", view: null, reason: `${place} is not there` };
  return { condition: "unreadable", view: null, reason: failed(place, error) };
}

/** A codec's reading, whose reason says nothing of the place. */
export function readAt(place: string, reading: StoreReading): StoreReading {
  return reading.reason === null ? reading : { ...reading, reason: `${place}: ${reading.reason}` };
}

/** Why a store was not read or written. What is no failure of the machine is thrown on. */
export function failed(place: string, error: unknown): string {
  if (error instanceof KernelError) return `${place}: ${error.message}`;
  if (error instanceof StoreFailure || error instanceof Refusal) return error.message;
  throw error;
}
