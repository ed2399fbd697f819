/** Words of the design that this version does not carry out. They are refused by name, never ignored. */

const keys = new Map([["delegate", "handing over to a slot's own initrd"]]);

const values = new Map<string, string[]>([
  ["chooser", ["loader"]],
  ["store", ["grubenv", "uboot-env", "gpt", "bls"]],
]);

/** Says so if `key` is one of them, else null. */
export function keyNotYet(key: string): string | null {
  const what = keys.get(key);
  return what === undefined ? null : `"${key}" is not built into this version of slipway (${what}); leave it away`;
}

/** Says so if `value` under `key` is one of them, else null. */
export function valueNotYet(key: string, value: unknown): string | null {
  if (typeof value === "string" && values.get(key)?.includes(value) === true) {
    return `"${key}: ${value}" is not built into this version of slipway; leave it away or choose another`;
  }
  return null;
}
