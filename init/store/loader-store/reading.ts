import type { StoreReading, StoreView } from "../../../boot/stores/view.ts";
import { Refusal } from "../../../state-ops/outcome.ts";
import { KernelError } from "../../kernel/kernel.ts";
import { StoreFailure } from "./filesystem.ts";

/** A store that says nothing of any slot is as good as none. */
export function readingOf(view: StoreView, reason: string | null, place: string): StoreReading {
  if (Object.keys(view.slots).length > 0) return { condition: "valid", view, reason };
  return { condition: "empty", view: null, reason: reason ?? `${place} says nothing of the slots` };
}

/** Why a store was not read or written. What is no failure of the machine is thrown on. */
export function failed(place: string, error: unknown): string {
  if (error instanceof KernelError) return `${place}: ${error.message}`;
  if (error instanceof StoreFailure || error instanceof Refusal) return error.message;
  throw error;
}
