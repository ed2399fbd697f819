import { sha256Hex } from "./sha256.ts";

/**
 * `value` in the form of RFC 8785 (keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them)
 * and a newline. Two equal values give equal bytes. Throws TypeError on what JSON has no word for: undefined, NaN,
 * infinities, bigint, functions, lone surrogates.
 */
export function canonicalJson(value: unknown): string {
  return `${canonical(value)}\n`;
}

/**
 * Whether `text` is sure to be the canonical JSON of `twin`, without a line of it being sorted or written anew: `value` is what
 * JSON.parse made of the text, with the keys in their order there. False says nothing: {@link canonicalJson} knows.
 */
export function isCanonicalText(text: string, value: unknown, twin: unknown): boolean {
  // JSON.stringify puts keys that are numbers first, and writes lone surrogates as escapes.
  return `${JSON.stringify(value)}\n` === text && !text.includes("\\ud") && isSortedTwin(value, twin);
}

/** Whether both hold the same, with the keys of `value` in canonical order. */
function isSortedTwin(value: unknown, twin: unknown): boolean {
  if (typeof value !== "object" || value === null || typeof twin !== "object" || twin === null) return value === twin;
  if (Array.isArray(value) !== Array.isArray(twin)) return false;
  const keys = Object.keys(value);
  if (Object.keys(twin).length !== keys.length) return false;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] ?? "";
    const before = keys[index - 1];
    if (before !== undefined && !Array.isArray(value) && before >= key) return false;
    if (!isSortedTwin(Reflect.get(value, key), Reflect.get(twin, key))) return false;
  }
  return true;
}

/** "sha256:" and 64 hex digits over the canonical JSON (newline included) of `object` without its key `digest`. */
export function digestOf(object: object): string {
  const { digest: _, ...rest } = { digest: undefined, ...object };
  return sha256(canonicalJson(rest));
}

/** "sha256:" and 64 hex digits over the UTF-8 bytes of `text`. */
export function sha256(text: string): string {
  return `sha256:${sha256Hex(text)}`;
}

/** The text of a file that carries its own digest: canonical JSON of `object` with `digest` set. */
export function canonicalJsonWithDigest(object: object): string {
  return canonicalJson({ ...object, digest: digestOf(object) });
}

function canonical(value: unknown): string {
  if (typeof value === "string") {
    return quoted(value);
  }
  if (value === null || typeof value === "boolean" || (typeof value === "number" && Number.isFinite(value))) {
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) {
    return `[${Array.from(value, canonical).join(",")}]`;
  }
  if (typeof value === "object") {
    const members = Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1));
    return `{${members.map(([key, entry]) => `${quoted(key)}:${canonical(entry)}`).join(",")}}`;
  }
  throw new TypeError(`JSON cannot hold ${String(value)} (${typeof value})`);
}

function quoted(text: string): string {
  if (!text.isWellFormed()) {
    throw new TypeError(`JSON cannot hold a lone surrogate in ${JSON.stringify(text)}`);
  }
  return JSON.stringify(text);
}
