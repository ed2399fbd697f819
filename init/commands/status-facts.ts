import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import type { BootReport } from "../../boot/report.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { pendingTrial } from "../../boot/selection/running.ts";
import { notBootable, slotOf } from "../../boot/selection/slots.ts";
import { whyOtherStore } from "../../boot/stores/nonce.ts";
import { loaderSlotText } from "../../boot/stores/view-text.ts";
import { firstOf } from "../../boot/stores/write-order.ts";
import { systemDrift } from "../../state-ops/control-drift.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { readTextIfThere } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { RecordAndJournal } from "../store/boot-record.ts";
import { withEmptySlots } from "./empty-slots.ts";
import { lastBoots, rollbackFacts } from "./last-boots.ts";
import { type LoaderChoiceFacts, loaderChoiceFacts } from "./loader-facts.ts";
import { isUncommitted, type Machine, type Places, readMachine } from "./machine.ts";
import { nextBoot } from "./next-boot.ts";
import { nextStep } from "./next-step.ts";
import { openRecord } from "./open-record.ts";
import { slotDefinition, withSlotPlace } from "./slot-place.ts";
import { recoveryFacts } from "./status-recovery.ts";
import type { SlotFacts, Status } from "./status-shape.ts";
import { statusState } from "./status-state.ts";
import { trustFacts } from "./trust-facts.ts";
import { watchdogFacts } from "./watchdog-facts.ts";

interface Read extends RecordAndJournal {
  writable: boolean;
  unwritableReason: string | null;
}

/** Record and boot journal; a record that cannot be opened is a condition. */
export function readStore(kernel: Kernel, machine: Machine): Read {
  try {
    const store = openRecord(kernel, machine);
    try {
      return { ...store.read(), writable: store.writable, unwritableReason: store.unwritableReason };
    } finally {
      store.close();
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const reason = machine.report.record.device === null ? "none was found at boot" : error.message;
    const record = { condition: "unreadable" as const, record: null, sequence: 0, nextCopy: 0 as const, reason };
    return { record, journal: [], writable: false, unwritableReason: reason };
  }
}

function versionOf(kernel: Kernel, places: Places): string | null {
  const text = readTextIfThere(kernel, places.osRelease);
  const value = (name: string) => text?.match(new RegExp(`^${name}=(["']?)(.*)\\1$`, "m"))?.[2];
  const name = value("PRETTY_NAME") ?? value("NAME") ?? null;
  const image = value("IMAGE_VERSION");
  return image === undefined ? name : [name, `image ${image}`].filter((part) => part !== null).join(", ");
}

/** Notes in `warnings` where the slot's device is not there. */
function slotFacts(
  kernel: Kernel,
  machine: Machine,
  record: BootRecord,
  name: SlotName,
  warnings: string[],
): Omit<SlotFacts, "version" | "next"> {
  const { report, policy } = machine;
  const slot = slotOf(record, name);
  const running = name === report.slot;
  const definition = slotDefinition(machine, name);
  const file = "file" in definition ? definition.file : null;
  let device = running ? report.slotDevice : null;
  try {
    if (file === null) device = withSlotPlace(kernel, machine, name, ({ path }) => path);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    warnings.push(error.message);
  }
  return {
    name,
    device,
    file,
    imageId: slot.imageId ?? (running ? report.imageId : null),
    state: slot.damaged === null ? slot.state : "damaged",
    tries: slot.tries,
    triesOf: slot.state === "committed" ? policy.tries.committed : policy.tries.trial,
    priority: slot.priority,
    running,
    givenUp: slot.reason,
    reason: notBootable(record, name, policy.trust),
  };
}

/** What the next boot is expected to choose, and why. */
function expected(record: BootRecord, policy: Policy, read: Read): Status["next"] {
  const { slot, why } = nextBoot(record, policy, read.writable);
  if (slot !== null || read.writable || read.record.condition === "valid") return { slot, why };
  return { slot: policy.slots[0] ?? null, why: "without a boot record the slots are tried in their order, uncounted" };
}

/** What the loader starts next by what its store says; null where it does not choose, or that is not known. */
function loaderNext({ chooser, store, nonce }: LoaderChoiceFacts): Status["next"] | null {
  if (chooser === "slipway" || store === null || store.condition !== "valid" || nonce === "other") return null;
  const slot = firstOf({ slots: store.slots, nonce: null });
  const said = slot === null ? undefined : store.slots[slot];
  return said === undefined ? null : { slot, why: `first in the bootloader's store (${loaderSlotText(said)})` };
}

/** Where it is not known what the loader will name. */
function unlessNamed({ chooser }: LoaderChoiceFacts, next: Status["next"]): Status["next"] {
  return chooser === "slipway" ? next : { ...next, why: `${next.why}, unless the bootloader names another` };
}

/** A warning where an image says what its initrd does not: somebody changed system.yaml and built no initrd with it. */
function driftOf(kernel: Kernel, places: Places): string[] {
  const [image, initrd] = [places.imageControl, places.control].map((path) => objectIn(readTextIfThere(kernel, path)));
  const keys = image && initrd ? systemDrift(image, initrd) : [];
  if (keys.length === 0) return [];
  return [
    `the image's control file says otherwise than the initrd's of ${keys.join(", ")}: the initrd's holds; build and install the initrd anew if the image's is meant`,
  ];
}

/** Null for anything but JSON of an object: PID 1 has told what is wrong with a control file. */
function objectIn(text: string | null): object | null {
  try {
    const value: unknown = JSON.parse(text ?? "null");
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/** Whether the record says that this very boot is good. */
function isGood({ attempt }: BootRecord, report: BootReport): boolean {
  return attempt !== null && attempt.number === report.attempt && attempt.stage === "good";
}

/** What there is to tell of this machine. Throws Refusal where it was not booted by slipway. */
export function readStatus(kernel: Kernel, places: Places): Status {
  const machine = readMachine(kernel, places);
  const { report, policy } = machine;
  const read = readStore(kernel, machine);
  const known = read.record.record ?? freshRecord(policy);
  // A slot that the control file has and the record has not comes last, as PID 1 would put it.
  const complete = { ...known, slots: { ...freshRecord(policy).slots, ...known.slots } };
  const record = withEmptySlots(kernel, machine, complete);
  const bootloader = loaderChoiceFacts(kernel, places, machine, record);
  const next = loaderNext(bootloader) ?? unlessNamed(bootloader, expected(record, policy, read));
  const warnings = [...report.warnings, ...driftOf(kernel, places)];
  const unheard = whyOtherStore(bootloader.nonce, bootloader.store?.place ?? "the boot record");
  if (unheard !== null) warnings.push(unheard);
  const slots = policy.slots.map((name) => {
    const version = name === report.slot ? versionOf(kernel, places) : null;
    return { ...slotFacts(kernel, machine, record, name, warnings), version, next: name === next.slot };
  });
  const facts = {
    schema: 1 as const,
    running: {
      slot: report.slot,
      device: report.slotDevice,
      imageId: report.imageId,
      attempt: report.attempt,
      why: report.why,
      // Another tool may have committed it: the mark goes with the next command that writes.
      uncommitted: isUncommitted(kernel, places) && !isGood(record, report),
    },
    slots,
    next,
    pendingTrial: Object.hasOwn(record.slots, report.slot) ? pendingTrial(record, report.slot) : null,
    rollback: rollbackFacts(read.journal, report),
    record: {
      condition: read.record.condition,
      writable: read.writable,
      device: report.record.device,
      reason: read.unwritableReason ?? read.record.reason,
      uncleanEnds: record.uncleanEnds,
    },
    recovery: recoveryFacts(machine, record),
    watchdog: watchdogFacts(kernel, places, machine),
    trust: trustFacts(kernel, places, machine, record),
    bootloader,
    generation: report.generation,
    stateNotes: report.stateNotes,
    ...statusState(kernel, machine, warnings),
    boots: lastBoots(read.journal, report),
    degraded: report.degraded,
    warnings,
    trialDeadline: machine.control.trialDeadline,
  };
  return { ...facts, nextStep: nextStep(facts) };
}
