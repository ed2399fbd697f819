import type { Kernel } from "../kernel/kernel.ts";
import type { Told } from "./attempts.ts";
import type { Limits } from "./limits.ts";

/** What callers may choose, and tests replace. */
export interface NetworkContext {
  told?: Told;
  kernel?: Kernel;
  limits?: Limits;
  /** Gives up: what is under way ends with a SourceError. */
  signal?: AbortSignal;
}
