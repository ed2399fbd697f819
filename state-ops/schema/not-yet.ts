/** Words of the design that this version does not carry out. They are refused by name, never ignored. */

const keys = new Map([
  ["merge", "merging image and state"],
  ["cache", "state that is not cloned"],
  ["exclude", "leaving files out of a clone"],
  ["context", "SELinux contexts"],
  ["flags", "mount flags of one's own"],
  ["inodes", "a limit of inodes"],
  ["renamed-from", "moving a store to another id"],
  ["override", "replacing another fragment's operator"],
  ["recovery", "recovery from a network or media"],
  ["delegate", "handing over to a slot's own initrd"],
  ["install", "partitioning a blank disk"],
]);

const values = new Map<string, string[]>([
  ["via", ["symlink", "mask", "readonly"]],
  ["generate", ["uuid", "random"]],
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
  if (key === "trust" && typeof value === "object" && value !== null) {
    return 'image proof is not built into this version of slipway, so keys would prove nothing; say "trust: unsigned"';
  }
  if (key === "seed" && typeof value === "object" && value !== null) {
    return '"seed" with a literal is not built into this version of slipway; ship the content in the image';
  }
  if (typeof value === "string" && values.get(key)?.includes(value) === true) {
    return `"${key}: ${value}" is not built into this version of slipway; leave it away or choose another`;
  }
  return null;
}
