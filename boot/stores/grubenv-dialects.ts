/** What the variables of GRUB's environment block say of the slots: ORDER, and NAME_OK and NAME_TRY for each bootname. */
import { isNonce } from "./nonce.ts";
import { isBad } from "./startable.ts";
import type { LoaderSlot, StoreSlot, VariableDialect } from "./view.ts";

/** What a loader's script makes of the variables. */
interface GrubScript {
  /** Boots of a slot that it starts before it leaves it: it counts NAME_TRY up to this, and takes the slot no more. */
  tries: number;
  /** What it takes a missing NAME_OK for. A missing NAME_TRY is 0 for all, a missing ORDER all slots as they are configured. */
  missingOk: number;
}

/** Where the nonce stands, in both dialects. */
const NONCE_VARIABLE = "slipway_nonce";

/** A number as RAUC (strtoull) and GRUB's `test` read it: decimal, 0x… hexadecimal, 0… octal, as far as there are digits, else 0. */
export function variableNumber(text: string): number {
  const [, sign, digits = ""] = /^\s*([-+]?)([0-9].*)/s.exec(text) ?? [];
  const base = /^0x[0-9a-f]/i.test(digits) ? 16 : digits.startsWith("0") ? 8 : 10;
  const value = digits === "" ? 0 : Number.parseInt(digits, base);
  // strtoull wraps round.
  return sign === "-" && value !== 0 ? Number.MAX_SAFE_INTEGER : Math.min(value, Number.MAX_SAFE_INTEGER);
}

const okOf = ({ bootname }: StoreSlot) => `${bootname}_OK`;
const tryOf = ({ bootname }: StoreSlot) => `${bootname}_TRY`;

function dialect(script: GrubScript): VariableDialect {
  return {
    view(variables, slots) {
      const ordered = variables.get("ORDER")?.split(/\s+/) ?? slots.map(({ bootname }) => bootname);
      const place = ({ bootname }: StoreSlot) => ordered.indexOf(bootname);
      const isOk = (slot: StoreSlot) => {
        const text = variables.get(okOf(slot));
        return (text === undefined ? script.missingOk : variableNumber(text)) === 1;
      };
      const chosen = slots.filter((slot) => place(slot) >= 0 && isOk(slot)).sort((one, other) => place(other) - place(one));
      const view: Record<string, LoaderSlot> = {};
      for (const slot of slots) {
        const ok = variables.get(okOf(slot));
        const tried = variableNumber(variables.get(tryOf(slot)) ?? "0");
        const known = ok !== undefined || variables.has(tryOf(slot));
        if (!known && !(variables.has("ORDER") && place(slot) >= 0 && isOk(slot))) continue;
        view[slot.name] = {
          priority: chosen.indexOf(slot) + 1,
          tries: Math.max(0, script.tries - tried),
          // That nobody wrote NAME_OK yet is nobody's verdict.
          good: isOk(slot) ? (tried === 0 ? true : null) : ok === undefined ? null : false,
        };
      }
      const nonce = variables.get(NONCE_VARIABLE);
      return { slots: view, nonce: nonce !== undefined && isNonce(nonce) ? nonce : null };
    },

    changes(view, slots) {
      const ranked = slots
        .flatMap((slot) => {
          const said = view.slots[slot.name];
          return said === undefined ? [] : [{ slot, said }];
        })
        .sort((one, other) => other.said.priority - one.said.priority);
      const changes = new Map<string, string | null>();
      changes.set("ORDER", ranked.length === 0 ? null : ranked.map(({ slot }) => slot.bootname).join(" "));
      for (const slot of slots) {
        const said = view.slots[slot.name];
        const tries = said?.tries ?? script.tries;
        changes.set(okOf(slot), said === undefined ? null : isBad(said) ? "0" : "1");
        changes.set(tryOf(slot), said === undefined ? null : String(Math.max(0, script.tries - tries)));
      }
      changes.set(NONCE_VARIABLE, view.nonce);
      return changes;
    },
  };
}

/**
 * `rauc`: RAUC's variables and its contrib/grub.conf, which starts a slot once until it is marked good, and believes in none of
 * which NAME_OK is missing. `slipway`: the same variables and boot/loaders/grub.cfg, which starts a slot three times until it is
 * marked good. A slot that stays good counts as well: each boot of it is to be marked good. What is good and has not been
 * started since, RAUC and both scripts cannot tell from what was just activated: both have NAME_OK=1 and NAME_TRY=0.
 */
export const GRUBENV_DIALECTS: Record<"rauc" | "slipway", VariableDialect> = {
  rauc: dialect({ tries: 1, missingOk: 0 }),
  slipway: dialect({ tries: 3, missingOk: 1 }),
};
