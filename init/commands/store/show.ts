import { baseOf, storeId } from "../../../boot/stores/base.ts";
import { mergeStore } from "../../../boot/stores/merge.ts";
import { traitsOf } from "../../../boot/stores/traits.ts";
import type { StoreView } from "../../../boot/stores/view.ts";
import type { ControlBootRecord } from "../../../state-ops/control.ts";
import { bootnameOf } from "../../../state-ops/slot-file.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { type Machine, PLACES, type Places, readMachine } from "../machine.ts";
import { openOwnRecord, reachStore } from "../open-record.ts";
import { table } from "../text.ts";
import { flag, type Verb } from "../verb.ts";

export interface ShownStore {
  /** Null where the control file is of a newer version. */
  kind: ControlBootRecord["store"] | null;
  dialect: string | null;
  chooser: "slipway" | "loader";
  /** Where slipway's own record is. */
  record: { place: string; condition: "valid" | "empty" | "unreadable"; reason: string | null };
  /** Null where the boot record is the only store. */
  store: {
    place: string;
    condition: "valid" | "empty" | "unreadable";
    reason: string | null;
    /** Everything that it holds. */
    raw: (readonly [name: string, value: string])[];
    view: StoreView | null;
    /** What it said when the record last knew; null where the record knows nothing of it. */
    base: StoreView | null;
    /** What was changed by others since, one sentence each. */
    changed: string[];
  } | null;
}

/** The bootloader's store and what the boot record knows of it. Changes nothing. Throws Refusal on a machine that slipway did not boot. */
export function showStore(kernel: Kernel, places: Places): ShownStore {
  const machine = readMachine(kernel, places);
  const { bootRecord, chooser } = machine.control;
  const own = openOwnRecord(kernel, machine);
  try {
    const { record, condition, reason } = own.readRecord();
    const place = recordPlace(machine);
    const shown = {
      kind: bootRecord?.store ?? null,
      dialect: dialectOf(bootRecord),
      chooser,
      record: { place, condition, reason },
    };
    if (bootRecord === null || bootRecord.store === "record") return { ...shown, store: null };
    const { store, missing } = reachStore(kernel, machine, bootRecord);
    if (store === null) {
      const nothing = { raw: [], view: null, base: null, changed: [] };
      return { ...shown, store: { place: "out of reach", condition: "unreadable", reason: missing, ...nothing } };
    }
    const reading = store.read();
    const base = baseOf(record?.base, storeId(bootRecord));
    const facts = { policy: machine.policy, chooser, traits: traitsOf(bootRecord), unixMs: kernel.now().unixMs };
    const changed = record && base && reading.view ? mergeStore(record, base, reading.view, facts).changes : [];
    const told = base && { slots: base.slots, nonce: base.nonce };
    const { view } = reading;
    const raw = [...store.raw()];
    return {
      ...shown,
      store: { place: store.place, condition: reading.condition, reason: reading.reason, raw, view, base: told, changed },
    };
  } finally {
    own.close();
  }
}

function recordPlace({ report, control }: Machine): string {
  const device = report.record.device ?? "nowhere";
  return control.bootRecord?.device === null ? `record/boot-record on ${device}` : device;
}

function dialectOf(bootRecord: ControlBootRecord | null): string | null {
  if (bootRecord === null) return null;
  if (bootRecord.store === "grubenv") return bootRecord.grubenv.dialect;
  if (bootRecord.store === "uboot-env") return bootRecord.environment.dialect;
  return bootRecord.store === "gpt" ? bootRecord.dialect : null;
}

function storeText(shown: ShownStore, machine: Machine): string[] {
  const { kind, dialect, chooser, record, store } = shown;
  const what = `${record.place}: ${record.condition}${record.reason === null ? "" : ` (${record.reason})`}`;
  const head = [`Boot record:  ${what}`, `Chooser:      ${chooser}`];
  if (store === null)
    return [...head, kind === null ? "Store:        of a newer version" : "Store:        none beside the boot record"];
  const condition = `${store.condition}${store.reason === null ? "" : ` (${store.reason})`}`;
  const named = dialect === null ? kind : `${kind}, dialect ${dialect}`;
  const lines = [...head, `Store:        ${named}: ${store.place}: ${condition}`];
  if (store.raw.length > 0)
    lines.push(
      "",
      ...table(
        store.raw.map(([name, value]) => [name, value]),
        (text) => text,
      ),
    );
  const { view, base } = store;
  if (view !== null)
    lines.push("", ...table([["SLOT", "BOOTNAME", "ORDER", "TRIES LEFT", "GOOD"], ...rowsOf(view, machine)], (text) => text));
  if (view?.nonce) lines.push("", `Nonce: ${view.nonce}`);
  if (base === null) lines.push("", "The boot record knows nothing of it yet: it is written at the next change, or boot.");
  for (const change of store.changed)
    lines.push("", `Changed by others, and taken up by the next command that changes something: ${change}.`);
  return lines;
}

function rowsOf(view: StoreView, { control }: Machine): string[][] {
  const slots = control.slots.flatMap((slot) => {
    const said = view.slots[slot.name];
    return said === undefined ? [] : [{ slot, said }];
  });
  slots.sort((one, other) => other.said.priority - one.said.priority);
  return slots.map(({ slot, said: { priority, tries, good } }, index) => [
    slot.name,
    bootnameOf(slot),
    priority === 0 ? "never" : String(index + 1),
    tries === null ? "not counted" : String(tries),
    good === null ? "not known" : good ? "good" : "bad",
  ]);
}

export const verb: Verb = {
  help: `
Usage: slipway store show [--json]

Shows where the boot record is kept and, where a bootloader has a store of its own (GRUB's environment block, U-Boot's
environment, systemd-boot's entries, attributes in the partition table), what that holds, what it means for each slot, and what
others changed there since slipway last looked. Changes nothing.

Options:
  --json   print one JSON object: kind, dialect, chooser, record, store`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const kernel = linuxKernel();
    const shown = showStore(kernel, PLACES);
    if (flag(values, "json")) console.log(JSON.stringify({ schema: 1, ...shown }));
    else for (const line of storeText(shown, readMachine(kernel, PLACES))) console.log(line);
    return 0;
  },
};
