/** The head of an HTTP/1 answer (RFC 9112): status line and fields, read strictly, since it comes from anybody. */

export interface AnswerHead {
  status: number;
  /** 1 for HTTP/1.1, 0 for HTTP/1.0. */
  minor: 0 | 1;
  /** Fields by name in lower case, in the order in which they came; each value trimmed. */
  fields: ReadonlyMap<string, readonly string[]>;
}

/** Longest head that is read, in bytes, its empty line included. */
export const LONGEST_HEAD = 32 * 1024;
const MOST_FIELDS = 200;

/** RFC 9110 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** RFC 9110 5.5: tabs, visible characters and bytes above ASCII. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** The head in `bytes`, which end with its empty line; or why it is none. Never throws. */
export function parseHead(bytes: Uint8Array): AnswerHead | { fault: string } {
  const lines = new TextDecoder("latin1").decode(bytes).split(/\r?\n/).slice(0, -2);
  const [first = "", ...rest] = lines;
  const match = /^HTTP\/1\.([01]) ([1-5][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(first);
  if (!match) return { fault: `begins with ${quoted(first)}, which is no HTTP/1 answer` };
  if (rest.length > MOST_FIELDS) return { fault: `has ${rest.length} header fields, the most are ${MOST_FIELDS}` };
  const fields = new Map<string, string[]>();
  for (const line of rest) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, "");
    if (!TOKEN.test(name) || !VALUE.test(value)) return { fault: `has the header line ${quoted(line)}, which is no field` };
    const key = name.toLowerCase();
    const values = fields.get(key);
    if (values) values.push(value);
    else fields.set(key, [value]);
  }
  return { status: Number(match[2]), minor: match[1] === "1" ? 1 : 0, fields };
}

/** The value of a field that is given once; null where it is absent or given twice with different values. */
export function fieldOf(head: AnswerHead, name: string): string | null {
  const values = new Set(head.fields.get(name));
  const [value] = values;
  return values.size === 1 && value !== undefined ? value : null;
}

/** How the body of an answer to a GET ends (RFC 9112 6.3); `length` counts bytes. */
export type Framing = { by: "length"; length: number } | { by: "chunks" } | { by: "close" };

/** The framing that a head says; or why there is none that two readers would agree on. */
export function framingOf(head: AnswerHead): Framing | { fault: string } {
  if (head.status === 204 || head.status === 304) return { by: "length", length: 0 };
  const coding = head.fields.get("transfer-encoding");
  const lengths = head.fields.get("content-length");
  if (coding) {
    if (lengths) return { fault: "has both Content-Length and Transfer-Encoding" };
    const chunked = head.minor === 1 && coding.length === 1 && coding[0]?.toLowerCase() === "chunked";
    return chunked ? { by: "chunks" } : { fault: `has Transfer-Encoding ${quoted(coding.join(", "))}` };
  }
  if (!lengths) return { by: "close" };
  const [length = ""] = lengths;
  const sound = lengths.every((other) => other === length) && /^[0-9]{1,16}$/.test(length);
  const bytes = Number(length);
  if (!sound || !Number.isSafeInteger(bytes)) return { fault: `has Content-Length ${quoted(lengths.join(", "))}` };
  return { by: "length", length: bytes };
}

/** Whether the connection serves another request after this answer. */
export function keepsAlive(head: AnswerHead, framing: Framing): boolean {
  const words = (head.fields.get("connection") ?? [])
    .join(",")
    .toLowerCase()
    .split(/[\s,]+/);
  if (framing.by === "close" || words.includes("close")) return false;
  return head.minor === 1 || words.includes("keep-alive");
}

/** What a server said, as a message quotes it: one line, short. */
export function quoted(text: string): string {
  return `"${printable(text)}"`;
}

/** `text` with a ? for each character that is not visible ASCII, cut at 80. */
export function printable(text: string): string {
  const letters = [...text.slice(0, 80)].map((letter) => (letter >= " " && letter <= "~" ? letter : "?"));
  return letters.join("") + (text.length > 80 ? "…" : "");
}
