/**
 * RAUC's variables in U-Boot's environment: BOOT_ORDER="A B", BOOT_A_LEFT=3. Sources: RAUC's src/bootloaders/uboot.c and
 * contrib/uboot.sh, U-Boot's boot/bootmeth_rauc.c.
 *
 * A slot may be booted that BOOT_ORDER names and that has boots left. Every boot counts down, of a good slot too; nothing
 * tells a good slot from one on trial but the count. RAUC's mark-good sets the count to 3, mark-active also puts the slot
 * first, mark-bad takes it out of BOOT_ORDER and sets the count to 0; where none is left in it, BOOT_ORDER is gone, since
 * fw_setenv keeps no empty variable.
 */
import { isNonce } from "./nonce.ts";
import type { LoaderSlot, StoreSlot, StoreView, VariableDialect } from "./view.ts";

export type UBootDialectName = "rauc" | "rauc-decimal";

const ORDER = "BOOT_ORDER";
const NONCE = "slipway_nonce";
/** RAUC's, and contrib/uboot.sh's where the variable is missing. */
const DEFAULT_TRIES = 3;
/** RAUC and its script read counts as hex, U-Boot's bootmeth_rauc and Rugix as decimal: up to here they agree. */
const MOST_TRIES = 9;

const leftOf = ({ bootname }: StoreSlot): string => `BOOT_${bootname}_LEFT`;

/** As strtoul(3) reads it: digits as far as they go, 0 where there are none. */
function count(text: string | undefined, base: 10 | 16): number {
  if (text === undefined || text === "") return DEFAULT_TRIES;
  const digits = base === 16 ? /^\s*(?:0x)?([0-9a-f]+)/i.exec(text) : /^\s*([0-9]+)/.exec(text);
  return Math.min(Number.parseInt(digits?.[1] ?? "0", base), Number.MAX_SAFE_INTEGER);
}

const wordsOf = (text: string | undefined): string[] => (text ?? "").split(" ").filter((word) => word !== "");

function dialect(base: 10 | 16): VariableDialect {
  return {
    view(variables, slots): StoreView {
      const said = wordsOf(variables.get(ORDER));
      const order = said.length > 0 ? said : slots.map(({ bootname }) => bootname);
      const ranked = slots
        .filter(({ bootname }) => order.includes(bootname))
        .sort((one, two) => order.indexOf(one.bootname) - order.indexOf(two.bootname));
      const ofSlot = (slot: StoreSlot): LoaderSlot => {
        const place = ranked.indexOf(slot);
        const tries = count(variables.get(leftOf(slot)), base);
        const bad = place < 0 || (said.length === 0 && tries === 0);
        return { priority: bad ? 0 : slots.length - place, tries, good: bad ? false : null };
      };
      const nonce = variables.get(NONCE);
      return {
        slots: Object.fromEntries(slots.map((slot) => [slot.name, ofSlot(slot)])),
        nonce: nonce !== undefined && isNonce(nonce) ? nonce : null,
      };
    },
    changes(view, slots, before): ReadonlyMap<string, string | null> {
      const priorityOf = ({ name }: StoreSlot): number => {
        const slot = view.slots[name];
        return slot === undefined || slot.good === false ? 0 : slot.priority;
      };
      const ours = slots.filter((slot) => priorityOf(slot) > 0).sort((one, two) => priorityOf(two) - priorityOf(one));
      const names = slots.map(({ bootname }) => bootname);
      const foreign = wordsOf(before?.get(ORDER)).filter((word) => !names.includes(word));
      const order = [...ours.map(({ bootname }) => bootname), ...foreign];
      const triesOf = (slot: StoreSlot): number => {
        if (priorityOf(slot) === 0) return 0;
        return Math.max(0, Math.min(view.slots[slot.name]?.tries ?? DEFAULT_TRIES, MOST_TRIES));
      };
      return new Map<string, string | null>([
        [ORDER, order.length > 0 ? order.join(" ") : null],
        ...slots.map((slot): [string, string] => [leftOf(slot), String(triesOf(slot))]),
        [NONCE, view.nonce],
      ]);
    },
  };
}

/** `rauc`: counts are hex without 0x, as RAUC and its script have them. `rauc-decimal`: as U-Boot's bootmeth_rauc and Rugix do. */
export const UBOOT_DIALECTS: Record<UBootDialectName, VariableDialect> = { rauc: dialect(16), "rauc-decimal": dialect(10) };
