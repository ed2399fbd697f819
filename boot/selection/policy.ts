import type { ControlFile, ControlTrust, SlotDefinition } from "../../state-ops/control.ts";
import type { SlotName } from "../record/record.ts";

/** What the control file says about selection. */
export interface Policy {
  /** In the order they are tried in without a record. */
  slots: SlotName[];
  /** Attempts that a slot gets while it is on trial, and once it is committed. */
  tries: { trial: number; committed: number };
  /** Whose images are believed, and which are too old. */
  trust: ControlTrust;
}

/** The slot that a word of the command line means, by its name or its bootname; the word itself where none is called so. */
export function slotCalled(word: string, slots: readonly SlotDefinition[]): SlotName {
  return slots.find(({ name, bootname }) => name === word || bootname === word)?.name ?? word;
}

export function policyOf(control: ControlFile): Policy {
  return { slots: control.slots.map((slot) => slot.name), tries: { ...control.tries }, trust: control.trust };
}
