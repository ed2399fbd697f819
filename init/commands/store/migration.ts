/** A machine's boot record moved to another place, or to another bootloader's store. */
import type { BootRecord } from "../../../boot/record/record.ts";
import { slotOf } from "../../../boot/selection/slots.ts";
import { type StoreBase, storeId } from "../../../boot/stores/base.ts";
import { newNonce } from "../../../boot/stores/new-nonce.ts";
import { projectRecord } from "../../../boot/stores/project.ts";
import { traitsOf } from "../../../boot/stores/traits.ts";
import { sameView } from "../../../boot/stores/write-order.ts";
import type { ControlBootRecord, ControlFile } from "../../../state-ops/control.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { BootRecordStore, openBootRecord, type RecordAndJournal } from "../../store/boot-record.ts";
import { readNetworkProfile, writeNetworkProfile } from "../../store/network-profile.ts";
import { openRecordFile } from "../../store/record-file.ts";
import { changeRecord } from "../change-record.ts";
import { withSlotData } from "../data-access.ts";
import type { Machine, Places } from "../machine.ts";
import { reachStore } from "../open-record.ts";
import { deviceOnBootDisk } from "../slot-device.ts";

export interface Migration {
  /** Whether anything was written. */
  changed: boolean;
  did: string[];
  next: string;
}

const WHO = "slipway store migrate";

/**
 * Writes what the control file `to` wants: first the bootloader's store there, read back, then the record's own new place. What the
 * running initrd uses stays as it is, and in use, until an initrd with `to` boots: a power cut leaves the machine as it was, and
 * doing it once more ends it.
 *
 * @throws BadInput for a control file of another machine; Refusal while an image is on trial, or where a place is not there or
 * holds something else; Error where something cannot be written
 */
export function migrateStore(kernel: Kernel, places: Places, to: ControlFile): Migration {
  return changeRecord(kernel, places, WHO, ({ machine, record, journal, store }) => {
    const from = checkTarget(machine, to);
    const { slot } = machine.report;
    if (slotOf(record, slot).state !== "committed") {
      throw new Refusal(`slot ${slot} is on trial, and a new initrd would be one change too many; run "slipway commit" first`);
    }
    const isSameRecord = from.device === to.bootRecord.device;
    if (isSameRecord && storeId(from) === storeId(to.bootRecord)) {
      return { changed: false, did: ["The running initrd has that store already: nothing to do."], next: "nothing to do." };
    }
    const did: string[] = [];
    const base = isSameFile(from, to.bootRecord) ? sayShared(did) : writeNewStore(kernel, machine, to, record, did);
    if (!isSameRecord) copyRecord(kernel, machine, to, { record: withBase(record, base), journal, from: store.path }, did);
    return { changed: did.length > 0, did, next: nextText(to) };
  });
}

function checkTarget(machine: Machine, to: ControlFile): ControlBootRecord {
  const { control } = machine;
  if (to.system !== control.system) throw new BadInput(`the control file is for ${to.system}, this machine is ${control.system}`);
  const names = (slots: ControlFile["slots"]) => slots.map(({ name }) => name).join(", ");
  if (names(to.slots) !== names(control.slots)) {
    throw new BadInput(
      `the control file has the slots ${names(to.slots)}, this machine has ${names(control.slots)}; change one at a time`,
    );
  }
  if (control.bootRecord === null) throw new Refusal("the running initrd's store is of a newer version; run a newer slipway");
  return control.bootRecord;
}

/** Two dialects in one file cannot stand beside each other: the first boot writes the new one. */
function isSameFile(from: ControlBootRecord, to: ControlBootRecord): boolean {
  const places = [from, to].map((bootRecord) => {
    if (bootRecord.store === "grubenv") return JSON.stringify([bootRecord.grubenv.device, bootRecord.grubenv.file]);
    if (bootRecord.store === "uboot-env") return JSON.stringify(bootRecord.environment.copies);
    return bootRecord.store;
  });
  return from.store === to.store && places[0] === places[1];
}

function sayShared(did: string[]): null {
  did.push("The bootloader's store stays where it is: the first boot of the new initrd writes its dialect there.");
  return null;
}

/** Returns what the new record is to know of it; null where the target has none. */
function writeNewStore(kernel: Kernel, machine: Machine, to: ControlFile, record: BootRecord, did: string[]): StoreBase | null {
  if (to.bootRecord.store === "record") return null;
  const { store, missing } = reachStore(kernel, machine, to.bootRecord, to.slots);
  if (store === null) throw new Refusal(missing);
  const rules = {
    policy: { ...machine.policy, tries: to.tries },
    chooser: to.chooser,
    traits: traitsOf(to.bootRecord),
  };
  const seen = store.read().view;
  const view = projectRecord(record, newNonce(), seen, rules);
  const wanted = store.foresee(view);
  const outcome = store.write(view);
  if (!outcome.written) throw new Error(`nothing is migrated: ${outcome.reason}`);
  const back = store.read().view;
  if (back === null || !sameView(back, wanted)) {
    throw new Error(`nothing is migrated: ${store.place} says something else than was written there; see slipway store show`);
  }
  did.push(`${store.place} says what the boot record says of the slots.`);
  return { ...back, store: storeId(to.bootRecord) };
}

/** Of how this boot ends the new record hears nothing: nothing is held against it. */
function withBase(record: BootRecord, base: StoreBase | null): BootRecord {
  const { base: _, ...rest } = record;
  const copied = { ...rest, attempt: rest.attempt && { ...rest.attempt, cleanEnd: true } };
  return base === null ? copied : { ...copied, base };
}

interface Copied {
  record: BootRecord;
  journal: RecordAndJournal["journal"];
  /** Where the network's profile is. */
  from: string | null;
}

/** The record is written last: until then the new place has none. */
function copyRecord(kernel: Kernel, machine: Machine, to: ControlFile, { record, journal, from }: Copied, did: string[]): void {
  const target = openTarget(kernel, machine, to);
  try {
    const { condition, reason } = target.read().record;
    if (condition === "unreadable") {
      throw new Refusal(
        `the new place of the boot record, ${shownTarget(to)}, holds something else (${reason}); name another partition, or write zeros there`,
      );
    }
    for (const entry of [...journal].reverse()) {
      const written = target.appendJournal(entry);
      if (!written.written) throw new Error(`the boot journal cannot be written to ${shownTarget(to)}: ${written.reason}`);
    }
    const { profile } = from === null ? { profile: null } : readNetworkProfile(kernel, from);
    if (profile !== null) writeNetworkProfile(kernel, target.path, profile);
    const written = target.write(record);
    if (!written.written) throw new Error(`the boot record cannot be written to ${shownTarget(to)}: ${written.reason}`);
    did.push(`The boot record and its journal are also at ${shownTarget(to)}.`);
  } finally {
    target.close();
  }
}

function openTarget(kernel: Kernel, machine: Machine, to: ControlFile): BootRecordStore {
  const { device } = to.bootRecord;
  const shown = shownTarget(to);
  try {
    if (device !== null)
      return openBootRecord(kernel, deviceOnBootDisk(kernel, machine, "the new place of the boot record", device));
    const open = (data: Descriptor) => openRecordFile(kernel, data, "write");
    return new BootRecordStore(kernel, withSlotData(kernel, machine, "the new place of the boot record", open));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(
      `the new place of the boot record, ${shown}, cannot be opened (${error.code}); is it there, with 4 MiB of room?`,
    );
  }
}

function shownTarget({ bootRecord }: ControlFile): string {
  return bootRecord.device ?? "a file on the data filesystem";
}

function nextText({ chooser, bootRecord }: ControlFile): string {
  const loader = bootRecord.store === "record" ? "" : `, have the bootloader read ${bootRecord.store} (with chooser: ${chooser})`;
  return `install the initrd of that control file (slipway initrd build)${loader}, and reboot before anything else is installed; what the present initrd uses is as it was, so that booting it goes back.`;
}
