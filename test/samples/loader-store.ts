/** Bootloaders' stores in memory, and what their loaders and other tools do in them. */
import { readEntries } from "../../boot/stores/bls.ts";
import { blessed, countedDown, type EntryName, printEntryName, readEntryName } from "../../boot/stores/bls-names.ts";
import { type EntryFile, loaderOrder } from "../../boot/stores/bls-order.ts";
import { type EntryStep, planEntries } from "../../boot/stores/bls-plan.ts";
import { entryWord } from "../../boot/stores/bls-text.ts";
import { type BootBits, bitsOf } from "../../boot/stores/gpt-attributes.ts";
import { GRUBENV_DIALECTS } from "../../boot/stores/grubenv-dialects.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { UBOOT_DIALECTS } from "../../boot/stores/uboot-dialects.ts";
import type { LoaderSlot, StoreSlot, StoreView, VariableDialect } from "../../boot/stores/view.ts";
import type { ControlBootRecord } from "../../state-ops/control.ts";
import { chosenEntry, countedEntry } from "./gpt-loaders.ts";

type Variables = ReadonlyMap<string, string>;

/** What RAUC's tool does, or the one that is a store's own: systemd-bless-boot, cgpt. */
export type Tool = "markGood" | "markBad" | "markActive";

/** A store on a machine. Slots by their bootnames where a loader or a tool names them. */
export interface MemoryStore {
  /** Null: it says nothing of the slots. */
  view(): StoreView | null;
  foresee(view: StoreView): StoreView;
  write(view: StoreView): void;
  /** The slot that the loader would start; null where it starts none. */
  first(): string | null;
  /** As {@link first}, and counts it as the loader does. */
  start(): string | null;
  tool(what: Tool, bootname: string): void;
  /** For messages. */
  text(): string;
}

export interface StoreKind {
  name: string;
  bootRecord: ControlBootRecord;
  make(slots: readonly StoreSlot[]): MemoryStore;
}

export const traitsOfKind = ({ bootRecord }: StoreKind) => traitsOf(bootRecord);

/** Variables, in a dialect that a script and RAUC know. */
interface Script {
  dialect: VariableDialect;
  tools: Record<Tool, (variables: Variables, bootname: string) => Variables>;
  start(variables: Variables): { variables: Variables; bootname: string } | null;
}

class VariableStore implements MemoryStore {
  readonly #script: Script;
  readonly #slots: readonly StoreSlot[];
  #variables: Variables = new Map();

  constructor(script: Script, slots: readonly StoreSlot[]) {
    this.#script = script;
    this.#slots = slots;
  }

  view(): StoreView {
    return this.#script.dialect.view(this.#variables, this.#slots);
  }
  #changed(view: StoreView): Variables {
    const { dialect } = this.#script;
    return set(this.#variables, Object.fromEntries(dialect.changes(view, this.#slots, this.#variables)));
  }
  foresee(view: StoreView): StoreView {
    return this.#script.dialect.view(this.#changed(view), this.#slots);
  }
  write(view: StoreView): void {
    this.#variables = this.#changed(view);
  }
  first(): string | null {
    return this.#script.start(this.#variables)?.bootname ?? null;
  }
  start(): string | null {
    const started = this.#script.start(this.#variables);
    if (started !== null) this.#variables = started.variables;
    return started?.bootname ?? null;
  }
  tool(what: Tool, bootname: string): void {
    this.#variables = this.#script.tools[what](this.#variables, bootname);
  }
  text(): string {
    return [...this.#variables].map(([name, value]) => `${name}=${value}`).join(" ");
  }
}

const grub = { device: "PARTLABEL=esp", file: "grub/grubenv" };
const device = "PARTLABEL=boot-record";
const copy = { device: "/dev/vda", offset: 0, size: 4096, sectorSize: 0, sectors: 0 };

const words = (text: string | undefined) => (text ?? "").split(" ").filter((word) => word !== "");

function set(variables: Variables, changes: Record<string, string | null>): Variables {
  const changed = new Map(variables);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) changed.delete(name);
    else changed.set(name, value);
  }
  return changed;
}

function grubKind(dialect: "rauc" | "slipway"): StoreKind {
  const most = dialect === "rauc" ? 1 : 3;
  const script: Script = {
    dialect: GRUBENV_DIALECTS[dialect],
    tools: {
      markGood: (variables, name) => set(variables, { [`${name}_OK`]: "1", [`${name}_TRY`]: "0" }),
      markBad: (variables, name) => set(variables, { [`${name}_OK`]: "0", [`${name}_TRY`]: "0" }),
      markActive: (variables, name) => {
        const order = [name, ...words(variables.get("ORDER")).filter((other) => other !== name)].join(" ");
        return set(variables, { [`${name}_OK`]: "1", [`${name}_TRY`]: "0", ORDER: order });
      },
    },
    start: (variables) => {
      const tried = (name: string) => Number(variables.get(`${name}_TRY`) ?? "0");
      const name = words(variables.get("ORDER")).find((slot) => variables.get(`${slot}_OK`) === "1" && tried(slot) < most);
      if (name === undefined) return null;
      return { variables: set(variables, { [`${name}_TRY`]: String(tried(name) + 1) }), bootname: name };
    },
  };
  return {
    name: `grubenv ${dialect}`,
    bootRecord: { store: "grubenv", device, grubenv: { ...grub, dialect } },
    make: (slots) => new VariableStore(script, slots),
  };
}

function ubootKind(dialect: "rauc" | "rauc-decimal"): StoreKind {
  const without = (variables: Variables, name: string) => words(variables.get("BOOT_ORDER")).filter((other) => other !== name);
  const script: Script = {
    dialect: UBOOT_DIALECTS[dialect],
    tools: {
      markGood: (variables, name) => set(variables, { [`BOOT_${name}_LEFT`]: "3" }),
      markBad: (variables, name) => {
        const order = without(variables, name).join(" ");
        return set(variables, { [`BOOT_${name}_LEFT`]: "0", BOOT_ORDER: order === "" ? null : order });
      },
      markActive: (variables, name) =>
        set(variables, { [`BOOT_${name}_LEFT`]: "3", BOOT_ORDER: [name, ...without(variables, name)].join(" ") }),
    },
    start: (variables) => {
      const left = (name: string) => Number(variables.get(`BOOT_${name}_LEFT`) ?? "3");
      const name = words(variables.get("BOOT_ORDER")).find((slot) => left(slot) > 0);
      if (name === undefined) return null;
      return { variables: set(variables, { [`BOOT_${name}_LEFT`]: String(left(name) - 1) }), bootname: name };
    },
  };
  return {
    name: `uboot-env ${dialect}`,
    bootRecord: { store: "uboot-env", device, environment: { copies: [copy], dialect } },
    make: (slots) => new VariableStore(script, slots),
  };
}

/** Attributes of partitions, in the order of the slots. */
class AttributeStore implements MemoryStore {
  readonly #dialect: "chromeos" | "gptprio";
  readonly #slots: readonly StoreSlot[];
  #bits: BootBits[];

  constructor(dialect: "chromeos" | "gptprio", slots: readonly StoreSlot[]) {
    this.#dialect = dialect;
    this.#slots = slots;
    this.#bits = slots.map(() => ({ priority: 0, tries: 0, successful: false }));
  }

  view(): StoreView | null {
    return viewOfBits(this.#bits, this.#slots);
  }
  #changed(view: StoreView): BootBits[] {
    return this.#bits.map((bits, index) => {
      const said = view.slots[this.#slots[index]?.name ?? ""];
      return said === undefined ? bits : bitsOf(said);
    });
  }
  foresee(view: StoreView): StoreView {
    return viewOfBits(this.#changed(view), this.#slots) ?? { slots: {}, nonce: null };
  }
  write(view: StoreView): void {
    this.#bits = this.#changed(view);
  }
  first(): string | null {
    return this.#slots[chosenEntry(this.#bits) ?? -1]?.bootname ?? null;
  }
  start(): string | null {
    const chosen = chosenEntry(this.#bits);
    this.#bits = this.#bits.map((bits, index) => (index === chosen ? countedEntry(bits, this.#dialect) : bits));
    return this.#slots[chosen ?? -1]?.bootname ?? null;
  }
  /** cgpt add -S1 -T0; -P0 -T0 -S0; -T3 -S0 and prioritize. */
  tool(what: Tool, bootname: string): void {
    const most = Math.max(...this.#bits.map(({ priority }) => priority));
    this.#bits = this.#bits.map((bits, index) => {
      if (this.#slots[index]?.bootname !== bootname) return bits;
      if (what === "markGood") return { ...bits, priority: Math.max(1, bits.priority), tries: 0, successful: true };
      if (what === "markBad") return { priority: 0, tries: 0, successful: false };
      return { priority: Math.min(15, most + 1), tries: 3, successful: false };
    });
  }
  text(): string {
    return JSON.stringify(this.#bits);
  }
}

/** As gptReading of gpt-attributes.ts has it of a whole table. */
function viewOfBits(bits: readonly BootBits[], slots: readonly StoreSlot[]): StoreView | null {
  const named = slots.flatMap((slot, index) => {
    const own = bits[index];
    return own === undefined ? [] : [{ name: slot.name, index, ...own }];
  });
  if (named.every(({ priority, tries, successful }) => priority === 0 && tries === 0 && !successful)) return null;
  const ranks = named
    .filter(({ priority }) => priority > 0)
    .sort((one, other) => one.priority - other.priority || other.index - one.index)
    .map(({ name }) => name);
  const slotOf = ({ name, priority, tries, successful }: (typeof named)[number]): LoaderSlot => {
    if (priority === 0) return { priority: 0, tries, good: false };
    const rank = ranks.indexOf(name) + 1;
    return successful ? { priority: rank, tries: null, good: true } : { priority: rank, tries, good: null };
  };
  return { slots: Object.fromEntries(named.map((entry) => [entry.name, slotOf(entry)])), nonce: null };
}

/** Entries of systemd-boot. */
class EntryStore implements MemoryStore {
  readonly #slots: readonly StoreSlot[];
  #files: EntryFile[];

  constructor(slots: readonly StoreSlot[]) {
    this.#slots = slots;
    this.#files = slots.map(({ bootname }, index) => ({
      name: `${9 - index}-${bootname}.conf`,
      text: `linux /vmlinuz\noptions slipway.slot=${bootname}\n`,
    }));
  }

  view(): StoreView | null {
    return readEntries(this.#files, this.#slots, "conf").view;
  }
  #changed(view: StoreView): EntryFile[] {
    return planEntries(this.#files, this.#slots, "conf", view).steps.reduce(stepped, this.#files);
  }
  foresee(view: StoreView): StoreView {
    return readEntries(this.#changed(view), this.#slots, "conf").view ?? { slots: {}, nonce: null };
  }
  write(view: StoreView): void {
    this.#files = this.#changed(view);
  }
  #best(): EntryFile | null {
    return loaderOrder(this.#files)[0] ?? null;
  }
  first(): string | null {
    const best = this.#best();
    return best === null ? null : entryWord(best.text, "slipway.slot");
  }
  start(): string | null {
    const best = this.#best();
    if (best !== null) this.#rename(best, countedDown);
    return best === null ? null : entryWord(best.text, "slipway.slot");
  }
  #rename(file: EntryFile, change: (name: EntryName) => EntryName): void {
    const name = readEntryName(file.name);
    if (name === null) return;
    const to = printEntryName(change(name));
    this.#files = this.#files.map((other) => (other === file ? { ...file, name: to } : other));
  }
  /** systemd-bless-boot good and bad. It has none that puts an entry first. */
  tool(what: Tool, bootname: string): void {
    const file = this.#files.find(({ text }) => entryWord(text, "slipway.slot") === bootname);
    if (file === undefined || what === "markActive") return;
    const bad = (name: EntryName): EntryName => ({ ...name, counter: { left: 0, done: name.counter?.done ?? 1 } });
    this.#rename(file, what === "markGood" ? blessed : bad);
  }
  text(): string {
    return this.#files.map(({ name }) => name).join(" ");
  }
}

function stepped(files: EntryFile[], step: EntryStep): EntryFile[] {
  if (step.do === "write") return [...files, { name: step.name, text: step.text }];
  if (step.do === "remove") return files.filter(({ name }) => name !== step.name);
  return files.map((file) => (file.name === step.from ? { ...file, name: step.to } : file));
}

const attributeKind = (dialect: "chromeos" | "gptprio"): StoreKind => ({
  name: `gpt ${dialect}`,
  bootRecord: { store: "gpt", device, dialect },
  make: (slots) => new AttributeStore(dialect, slots),
});

const entryKind: StoreKind = {
  name: "bls",
  bootRecord: { store: "bls", device, bls: { device: "PARTLABEL=esp", directory: "loader/entries" } },
  make: (slots) => new EntryStore(slots),
};

export const STORE_KINDS: readonly StoreKind[] = [
  grubKind("rauc"),
  grubKind("slipway"),
  ubootKind("rauc"),
  ubootKind("rauc-decimal"),
  attributeKind("chromeos"),
  attributeKind("gptprio"),
  entryKind,
];
