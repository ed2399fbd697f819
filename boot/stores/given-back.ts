/**
 * Scripts that give all slots their boots back once none has any (RAUC's contrib/uboot.sh, U-Boot's bootmeth_rauc, HAOS's GRUB):
 * what they write looks as somebody's word that all are good.
 */
import type { SlotName } from "../record/names.ts";
import type { LoaderRules } from "./project.ts";
import { isBad, startable } from "./startable.ts";
import type { LoaderSlot, StoreView } from "./view.ts";

export const GIVEN_BACK =
  "the bootloader had no tries left for any slot, and gave all theirs back: nobody called one good by that";

/** More tries left, or called good, than before. */
export function isBetter(before: LoaderSlot, now: LoaderSlot): boolean {
  if (isBad(now)) return false;
  return (now.good === true && before.good !== true) || triesIn(now) > triesIn(before);
}

/** A slot that is not counted has no end of boots. */
function triesIn({ tries, good }: LoaderSlot): number {
  return tries ?? (good === false ? 0 : Number.POSITIVE_INFINITY);
}

/**
 * Whether the loader did that between `base` and `seen`: it now has all boots of each slot that comes after the one it started,
 * while those before were started until they had none; and more than one slot has more than before, or it had one boot left at
 * most. In the running system, `started` undefined, no loader does anything. A tool that called the only slot good, and the power going before slipway heard of it, looks the same there: then the
 * image is called good again at its next boot, while one that never came up would be committed, and tried for ever.
 */
export function isGivenBack(
  base: StoreView,
  seen: StoreView,
  { chooser, started, traits }: Pick<LoaderRules, "chooser" | "traits"> & { started?: SlotName | null },
): boolean {
  if (chooser !== "loader" || started === undefined || !traits.countsGood) return false;
  const left = startable(base).reduce((sum, [, slot]) => sum + triesIn(slot), 0);
  const now = startable(seen);
  const at = now.findIndex(([name]) => name === started);
  const isAsLeft = now.every(
    ([, slot], index) => index === at || (index < at ? triesIn(slot) === 0 : triesIn(slot) >= traits.mostTries),
  );
  const better = now.filter(([name, slot]) => isBetter(base.slots[name] ?? NOTHING, slot)).length;
  return isAsLeft && (better > 1 || (better === 1 && left <= 1));
}

/** What a store says of a slot that it does not know. */
const NOTHING: LoaderSlot = { priority: 0, tries: 0, good: false };
