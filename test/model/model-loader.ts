/** A bootloader that chooses and counts, as far as PID 1 can tell the kinds apart. */
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { byPriority, notBootable, slotOf } from "../../boot/selection/slots.ts";

/**
 * `counts`: each boot takes one from the first slot of its order that has any, as U-Boot's script of RAUC; with none left all get
 * theirs back, as that script does. `trusts-good`: as that, but a slot that was committed it boots uncounted, as systemd-boot.
 * `stuck`: names its first slot for ever. `silent`: names none.
 */
export type LoaderKind = "counts" | "trusts-good" | "stuck" | "silent";

export interface ModelLoader {
  kind: LoaderKind;
  /** Whether slipway writes its store: what the record says of a slot reaches the loader. */
  mirrored: boolean;
  order: readonly SlotName[];
  left: ReadonlyMap<SlotName, number>;
  good: ReadonlySet<SlotName>;
}

export function newLoader(kind: LoaderKind, mirrored: boolean, policy: Policy): ModelLoader {
  const left = new Map(policy.slots.map((name) => [name, policy.tries.trial] as const));
  return { kind, mirrored, order: policy.slots, left, good: new Set() };
}

/** What the loader names at the next boot, and the loader after that. */
export function loaderBoots(loader: ModelLoader, policy: Policy): { named: SlotName | null; after: ModelLoader } {
  if (loader.kind === "silent") return { named: null, after: loader };
  const [first = null] = loader.order;
  if (loader.kind === "stuck") return { named: first, after: loader };
  const isGood = (name: SlotName) => loader.kind === "trusts-good" && loader.good.has(name);
  const best = loader.order.find((name) => isGood(name) || (loader.left.get(name) ?? 0) > 0);
  if (best === undefined) {
    const left = new Map(policy.slots.map((name) => [name, policy.tries.trial - (name === first ? 1 : 0)] as const));
    return { named: first, after: { ...loader, left } };
  }
  if (isGood(best)) return { named: best, after: loader };
  const left = new Map([...loader.left, [best, (loader.left.get(best) ?? 0) - 1]] as const);
  return { named: best, after: { ...loader, left } };
}

/** The loader once the record changed from `before` to `after`, where slipway writes the loader's store. */
export function mirror(loader: ModelLoader, before: BootRecord, after: BootRecord, policy: Policy): ModelLoader {
  if (!loader.mirrored) return loader;
  const left = new Map(loader.left);
  const good = new Set(loader.good);
  for (const name of policy.slots) {
    const isSpent = notBootable(after, name, policy.trust) !== null;
    const [was, is] = [slotOf(before, name), slotOf(after, name)];
    if (is.state === "committed" && !isSpent) good.add(name);
    else good.delete(name);
    if (isSpent) left.set(name, 0);
    else if (is.tries > was.tries || is.imageId !== was.imageId || is.state !== was.state) left.set(name, policy.tries.trial);
  }
  const changed = JSON.stringify(byPriority(before)) !== JSON.stringify(byPriority(after));
  return { ...loader, order: changed ? byPriority(after) : loader.order, left, good };
}

/** As selection-world's keyOf: slots by their rank in the record. */
export function loaderKey(loader: ModelLoader, order: readonly SlotName[]): string {
  const slots = loader.order.map((name) => {
    return `${order.indexOf(name)}:${loader.left.get(name)}${loader.good.has(name) ? "g" : ""}`;
  });
  return `${loader.kind}${loader.mirrored ? "m" : ""} ${slots.join(" ")}`;
}
