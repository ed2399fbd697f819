/** Words of the design that this version does not carry out. They are refused by name, never ignored. */

const keys = new Map([["delegate", "handing over to a slot's own initrd"]]);

/** Says so if `key` is one of them, else null. */
export function keyNotYet(key: string): string | null {
  const what = keys.get(key);
  return what === undefined ? null : `"${key}" is not built into this version of slipway (${what}); leave it away`;
}
