/**
 * Names on a disk are bytes and need not be UTF-8. As text (in baseline.json, plans and reports) they have one lossless
 * form that is also safe to print: UTF-8 as it is, "\\" for a backslash, and "\xNN" for every byte that belongs to no valid
 * UTF-8 or to a character that could disturb a terminal (controls, line separators, direction marks). Paths are relative
 * with "/" between the names; "." is the root itself.
 */

/** Escaped although they are valid. A fixed list, so that the form does not change with the runtime's Unicode. */
const unprintable = /[\\\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text form of a path. Any bytes have one. */
export function pathText(path: Uint8Array): string {
  const whole = decode(path);
  if (whole !== null && !unprintable.test(whole)) return whole;
  let text = "";
  for (let at = 0; at < path.length; ) {
    const length = sequenceLength(path[at] ?? 0);
    const bytes = path.subarray(at, at + length);
    const letter = bytes.length === length ? decode(bytes) : null;
    if (letter === null) {
      text += escaped(bytes.subarray(0, 1));
      at += 1;
      continue;
    }
    text += letter === "\\" ? "\\\\" : unprintable.test(letter) ? escaped(bytes) : letter;
    at += length;
  }
  return text;
}

/** The bytes of a text form; null where {@link pathText} does not write such a text. */
export function pathBytes(text: string): Uint8Array | null {
  const parts: Uint8Array[] = [];
  for (const [part] of text.matchAll(/\\x[0-9a-f]{2}|\\\\|[^\\]+|\\/g)) {
    if (part === "\\") return null;
    if (part === "\\\\") parts.push(Buffer.from("\\"));
    else parts.push(part.startsWith("\\") ? Buffer.from(part.slice(2), "hex") : Buffer.from(part));
  }
  const bytes = Buffer.concat(parts);
  return pathText(bytes) === text ? bytes : null;
}

/** Whether `text` is the text form of a path that stays beneath its root: "." or names without ".", ".." or NUL. */
export function isTreePath(text: string): boolean {
  if (text === ".") return true;
  const proper = text.split("/").every((name) => name !== "" && name !== "." && name !== "..");
  return proper && pathBytes(text)?.includes(0) === false;
}

/** The path of the directory that holds `path`; null for the root. */
export function parentPath(path: string): string | null {
  if (path === ".") return null;
  const end = path.lastIndexOf("/");
  return end < 0 ? "." : path.slice(0, end);
}

/** Whether `path` or a directory above it is in `paths`; each directory is looked at once. */
export function atOrBelow(paths: Iterable<string>): (path: string) => boolean {
  const inside = new Map<string, boolean>(Array.from(paths, (path) => [path, true]));
  const isInside = (path: string): boolean => {
    const known = inside.get(path);
    if (known !== undefined) return known;
    const parent = parentPath(path);
    const found = parent !== null && isInside(parent);
    inside.set(path, found);
    return found;
  };
  return isInside;
}

/** Text whose characters are bytes (latin1), as messages quote it. */
export function printable(latin1: string): string {
  return pathText(Buffer.from(latin1, "latin1"));
}

/** Parents before children, and the same everywhere: by UTF-16 code units. */
export function byPath(left: { path: string }, right: { path: string }): number {
  if (left.path === right.path) return 0;
  if (left.path === "." || right.path === ".") return left.path === "." ? -1 : 1;
  return left.path < right.path ? -1 : 1;
}

function decode(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

function escaped(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

function sequenceLength(lead: number): number {
  if (lead < 0xc0) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}
