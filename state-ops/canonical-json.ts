import { sha256Hex } from "./sha256.ts";

/**
 * `value` in the form of RFC 8785 (keys sorted by UTF-16 code units, no white space, numbers as ECMAScript prints them)
 * and a newline. Two equal values give equal bytes. Throws TypeError on what JSON has no word for: undefined, NaN,
 * infinities, bigint, functions, lone surrogates.
 */
export function canonicalJson(value: unknown): string {
  return `${canonical(value)}\n`;
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
