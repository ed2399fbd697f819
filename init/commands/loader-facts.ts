/** The bootloader as a running system sees it: what it chose, what its store says now, and whether it reads that store at all. */
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { baseOf, storeId } from "../../boot/stores/base.ts";
import { decodeText, decodeVariable, EFI_VARIABLE } from "../../boot/stores/efi-variables.ts";
import { compareEntry, type NonceVerdict, whyOtherStore } from "../../boot/stores/nonce.ts";
import { projectRecord } from "../../boot/stores/project.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import type { LoaderSlot, StoreReading } from "../../boot/stores/view.ts";
import { viewDifferences, viewText } from "../../boot/stores/view-text.ts";
import type { ControlBootRecord } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { scanBlockDevices } from "../devices/scan.ts";
import { readBytes } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { LoaderStore } from "../store/loader-store/loader-store.ts";
import type { Machine, Places } from "./machine.ts";
import { reachStore } from "./open-record.ts";
import { deviceOnBootDisk } from "./slot-device.ts";

/** The store as it is now. */
export interface StoreFacts {
  /** The control file's word: "grubenv". */
  kind: string;
  /** Where it is, for people. */
  place: string;
  condition: StoreReading["condition"];
  /** What is wrong with it; null where nothing is. */
  reason: string | null;
  /** What the loader believes of the slots. Empty where it cannot be read. */
  slots: Record<SlotName, LoaderSlot>;
  /** The same in words; null where it cannot be read. */
  summary: string | null;
  /** What it says otherwise than the boot record would have it, one sentence each. */
  differences: string[];
}

export interface LoaderChoiceFacts {
  /** Who chooses the slot: the control file's word. */
  chooser: "slipway" | "loader";
  /** The slot that the loader named at this boot; null where it named none. */
  named: SlotName | null;
  /** Whether it reads the store that slipway writes. */
  nonce: NonceVerdict;
  /** Null where the boot record is the only store. */
  store: StoreFacts | null;
  /** What others changed in the store before this boot, one sentence each. */
  merged: string[];
}

/** A text that a loader left in UEFI's variables; null where there is none. */
export function loaderText(kernel: Kernel, places: Pick<Places, "efivars">, name: string): string | null {
  try {
    const read = decodeVariable(readBytes(kernel, `${places.efivars}/${name}`));
    return typeof read === "string" ? null : decodeText(read.value);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/** What there is to tell of the loader. `record` is as the next boot reads it, with what others changed in the store. */
export function loaderChoiceFacts(kernel: Kernel, places: Places, machine: Machine, record: BootRecord): LoaderChoiceFacts {
  const { loader } = machine.report;
  const { chooser, bootRecord } = machine.control;
  const reached = bootRecord === null || bootRecord.store === "record" ? null : reachStore(kernel, machine, bootRecord);
  return {
    chooser,
    named: loader?.named ?? null,
    nonce: verdictOf(kernel, places, machine, reached?.store ?? null),
    store: reached === null || bootRecord === null ? null : storeFacts(machine, bootRecord, reached, record),
    merged: loader?.merged ?? [],
  };
}

function storeFacts(
  machine: Machine,
  bootRecord: ControlBootRecord,
  { store, missing }: { store: LoaderStore | null; missing: string | null },
  record: BootRecord,
): StoreFacts {
  const kind = bootRecord.store;
  if (store === null) {
    const place = machine.report.loader?.store?.place ?? kind;
    return { kind, place, condition: "unreadable", reason: missing, slots: {}, summary: null, differences: [] };
  }
  const { condition, view, reason } = store.read();
  const told = { kind, place: store.place, condition, reason };
  if (view === null) return { ...told, slots: {}, summary: null, differences: [] };
  const { policy, control } = machine;
  const rules = { policy, chooser: control.chooser, traits: traitsOf(bootRecord) };
  const nonce = baseOf(record.base, storeId(bootRecord))?.nonce ?? view.nonce;
  const wanted = store.foresee(projectRecord(record, nonce, view, rules));
  return { ...told, slots: view.slots, summary: viewText(view), differences: viewDifferences(view, wanted) };
}

/** What the boot saw; where no nonce could tell, what the loader left in UEFI's variables. */
function verdictOf(kernel: Kernel, places: Places, machine: Machine, store: LoaderStore | null): NonceVerdict {
  const told = machine.report.loader?.nonce ?? "unknown";
  const { bootRecord } = machine.control;
  if (bootRecord?.store !== "bls" || told === "same" || told === "other" || store === null) return told;
  const selected = loaderText(kernel, places, EFI_VARIABLE.loaderEntrySelected);
  if (selected === null || store.read().view === null) return told;
  const device = loaderText(kernel, places, EFI_VARIABLE.loaderDevicePartUuid)?.toLowerCase() ?? null;
  const own = device === null ? null : partuuidOf(kernel, machine, bootRecord.bls.device);
  if (device !== null && own !== null && device !== own) return "other";
  return compareEntry(
    store.raw().map(([name]) => name),
    selected,
  );
}

function partuuidOf(kernel: Kernel, machine: Machine, reference: string): string | null {
  try {
    const path = deviceOnBootDisk(kernel, machine, "the bootloader's store", reference);
    return scanBlockDevices(kernel, { partuuids: true }).devices.find((device) => device.path === path)?.partuuid ?? null;
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** Why the loader would not boot what is asked for; null where nothing is known against it. */
export function whyUnheard(kernel: Kernel, places: Places, machine: Machine): string | null {
  const { bootRecord } = machine.control;
  if (bootRecord === null || bootRecord.store === "record") return null;
  const { store } = reachStore(kernel, machine, bootRecord);
  const place = store?.place ?? machine.report.loader?.store?.place ?? bootRecord.store;
  return whyOtherStore(verdictOf(kernel, places, machine, store), place);
}

/** Throws Refusal where the bootloader reads another store than the one that is written: what is asked for would not be done. */
export function refuseUnheard(kernel: Kernel, places: Places, machine: Machine): void {
  const why = whyUnheard(kernel, places, machine);
  if (why !== null) throw new Refusal(why);
}
