/** What RAUC asks of its bootloader and has it do (src/bootchooser.c of RAUC 1.8, "custom"), in slipway's terms and by its rules. */
import type { BootRecord, SlotName } from "../../../boot/record/record.ts";
import { markBad, rearm } from "../../../boot/selection/running.ts";
import { notBootable, slotOf } from "../../../boot/selection/slots.ts";
import { Refusal } from "../../../state-ops/outcome.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { activateSlot } from "../activate.ts";
import type { Answer } from "../answer.ts";
import { type Change, changeRecord, writeRecord } from "../change-record.ts";
import { withEmptySlots } from "../empty-slots.ts";
import { type Places, readMachine } from "../machine.ts";
import { markSlotBad } from "../mark-bad.ts";
import { nextBoot } from "../next-boot.ts";
import { bootnameIn, slotWithBootname } from "./bootnames.ts";
import { readyForRauc } from "./ready.ts";

export const WHO = "slipway rauc-backend";
const REASON = "marked bad through rauc-backend";

/** RAUC's words for what a slot is: `good` boots when its turn comes, `bad` does not. */
export type RaucState = "good" | "bad";

/** The slot that runs. RAUC 1.8 does not ask its bootloader for it, later ones do. */
export function currentSlot(kernel: Kernel, places: Places): string {
  const machine = readMachine(kernel, places);
  return bootnameIn(machine, machine.report.slot);
}

/** The slot that the next boot chooses. Throws Refusal where none can boot. */
export function primarySlot(kernel: Kernel, places: Places): string {
  return changeRecord(kernel, places, WHO, ({ machine, record, store }) => {
    const { slot, why } = nextBoot(withEmptySlots(kernel, machine, record), machine.policy, store.writable);
    if (slot === null) throw new Refusal(`${why}: PID 1 would go into recovery; see slipway status`);
    return bootnameIn(machine, slot);
  });
}

/** Whether the slot boots when its turn comes. Throws BadInput for a slot that is not there. */
export function slotState(kernel: Kernel, places: Places, bootname: string): RaucState {
  return changeRecord(kernel, places, WHO, ({ machine, record }) => {
    const slot = slotWithBootname(machine, bootname);
    return notBootable(withEmptySlots(kernel, machine, record), slot, machine.policy.trust) === null ? "good" : "bad";
  });
}

/**
 * Makes the next boot choose the slot, as "slipway activate" does. The one that runs on trial and comes first already stays so.
 * Throws as that does.
 */
export function setPrimary(kernel: Kernel, places: Places, bootname: string): Answer {
  const machine = readMachine(kernel, places);
  const slot = slotWithBootname(machine, bootname);
  const first = () =>
    changeRecord(kernel, places, WHO, ({ record, store }) => nextBoot(record, machine.policy, store.writable).slot === slot);
  if (slot === machine.report.slot && first()) return unchanged(slot, `The next boot is slot ${slot}.`);
  return activateSlot(kernel, places, slot);
}

/**
 * Gives a slot up. One that does not run is RAUC's target before it writes to it, so that slipway's rules for an install hold.
 *
 * @throws BadInput for a slot that is not there, Refusal where an install into it is refused, or nothing else could boot
 */
export function setBad(kernel: Kernel, places: Places, bootname: string): Answer {
  const machine = readMachine(kernel, places);
  const name = slotWithBootname(machine, bootname);
  if (name === machine.report.slot) return markSlotBad(kernel, places, name, REASON);
  return changeRecord(kernel, places, WHO, (facts) => {
    const { store, record } = facts;
    const did = readyForRauc(kernel, machine, record, name);
    const marked = markBad(withEmptySlots(kernel, machine, record), name, REASON, machine.policy);
    return written(facts, name, marked, [...did, `Slot ${name} boots no more (${REASON}).`], store.writable);
  });
}

/**
 * Gives a slot that does not run its tries back. That commits nothing: whether its image is good only a boot shows.
 *
 * @throws BadInput for a slot that is not there, Refusal for an empty and for a damaged one
 */
export function setOtherGood(kernel: Kernel, places: Places, name: SlotName): Answer {
  return changeRecord(kernel, places, WHO, (facts) => {
    const { machine, store, record } = facts;
    const armed = rearm(withEmptySlots(kernel, machine, record), name, machine.policy);
    const { state, tries } = slotOf(armed, name);
    const as = state === "committed" ? "as a committed slot" : "as a trial";
    return written(facts, name, armed, [`Slot ${name} has all its ${tries} tries again, ${as}.`], store.writable);
  });
}

function written({ machine, store, record }: Change, slot: SlotName, made: BootRecord, did: string[], writable: boolean): Answer {
  const changed = JSON.stringify(made) !== JSON.stringify(record);
  if (changed) writeRecord(store, made);
  const next = nextBoot(made, machine.policy, writable).slot;
  return { ...unchanged(slot, ...did, `The next boot is slot ${next}.`), changed };
}

function unchanged(slot: SlotName, ...did: string[]): Answer {
  return { slot, changed: false, did, warnings: [], next: "nothing to do." };
}
