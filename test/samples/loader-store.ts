/** A bootloader's store in memory, and RAUC's ways with its variables as `rauc status mark-…` of RAUC 1.8 has them. */
import { GRUBENV_DIALECTS } from "../../boot/stores/grubenv-dialects.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { UBOOT_DIALECTS } from "../../boot/stores/uboot-dialects.ts";
import type { StoreSlot, StoreView, VariableDialect } from "../../boot/stores/view.ts";
import type { ControlBootRecord } from "../../state-ops/control.ts";

export type Variables = ReadonlyMap<string, string>;

export interface StoreKind {
  name: string;
  bootRecord: ControlBootRecord;
  dialect: VariableDialect;
  /** What RAUC's tool does. Slots by their bootnames. */
  rauc: Record<"markGood" | "markBad" | "markActive", (variables: Variables, bootname: string) => Variables>;
  /** What the loader's script does before it starts the slot. Null: it starts none. */
  start(variables: Variables): { variables: Variables; bootname: string } | null;
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
  return {
    name: `grubenv ${dialect}`,
    bootRecord: { store: "grubenv", device, grubenv: { ...grub, dialect } },
    dialect: GRUBENV_DIALECTS[dialect],
    rauc: {
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
}

function ubootKind(dialect: "rauc" | "rauc-decimal"): StoreKind {
  const without = (variables: Variables, name: string) => words(variables.get("BOOT_ORDER")).filter((other) => other !== name);
  return {
    name: `uboot-env ${dialect}`,
    bootRecord: { store: "uboot-env", device, environment: { copies: [copy], dialect } },
    dialect: UBOOT_DIALECTS[dialect],
    rauc: {
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
}

export const STORE_KINDS: readonly StoreKind[] = [
  grubKind("rauc"),
  grubKind("slipway"),
  ubootKind("rauc"),
  ubootKind("rauc-decimal"),
];

export const traitsOfKind = ({ bootRecord }: StoreKind) => traitsOf(bootRecord);

/** The variables once `view` was written, and what they say then. */
export function written(
  { dialect }: StoreKind,
  variables: Variables,
  view: StoreView,
  slots: readonly StoreSlot[],
): { variables: Variables; view: StoreView } {
  const changed = set(variables, Object.fromEntries(dialect.changes(view, slots, variables)));
  return { variables: changed, view: dialect.view(changed, slots) };
}
