/** What is decided on the generation of a boot. */
import type { StandIn } from "./layout.ts";

/**
 * Which generation the slot gets. `to` is a new number; the pointer of the slot is set to `to` or `generation` where it
 * says anything else. `why` is one sentence, always there. `reason` is null in an ordinary boot, else what was found
 * wrong, for the report and the journal. No plan removes anything.
 */
export type GenerationPlan = { do: "continue"; generation: number; why: string; reason: string | null } | ClonePlan | CreatePlan;

export interface CreatePlan {
  do: "create";
  to: number;
  /** Set where a recovery has it made in the place of the slot's own. */
  standIn?: StandIn;
  why: string;
  reason: string | null;
}

export interface ClonePlan {
  do: "clone";
  from: number;
  to: number;
  /** The committed generation that the new one descends from: `from`, unless a trial's own is cloned. */
  parent: number;
  /** Ids of stores that are left out, and so begin anew. */
  without: readonly string[];
  /** As in {@link CreatePlan}. */
  standIn?: StandIn;
  why: string;
  reason: string | null;
}
