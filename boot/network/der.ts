/** DER (X.690), as far as certificates need it. */

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  sequence: 0x30,
} as const;

/** One element: where it, its content, and what follows it begin. */
export interface Element {
  tag: number;
  start: number;
  content: number;
  end: number;
}

/** The element at `start`, which ends at `limit` at the latest; null where there is none that is sound. */
export function elementAt(bytes: Uint8Array, start: number, limit: number): Element | null {
  const [tag, first] = [bytes[start], bytes[start + 1]];
  if (tag === undefined || first === undefined || start + 2 > limit) return null;
  const lengthBytes = first < 0x80 ? 0 : first - 0x80;
  if (first === 0x80 || lengthBytes > 3) return null;
  let length = first < 0x80 ? first : 0;
  for (let index = 0; index < lengthBytes; index++) length = length * 256 + (bytes[start + 2 + index] ?? 0);
  const content = start + 2 + lengthBytes;
  return content + length <= limit ? { tag, start, content, end: content + length } : null;
}

/** The elements from `start` to `end`; null where they do not fill it. */
export function elementsIn(bytes: Uint8Array, start: number, end: number): Element[] | null {
  const elements: Element[] = [];
  for (let at = start; at < end; ) {
    const element = elementAt(bytes, at, end);
    if (element === null) return null;
    elements.push(element);
    at = element.end;
  }
  return elements;
}

/** "2.5.29.19" of an object identifier's content (X.690 8.19). */
export function objectId(content: Uint8Array): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of content) {
    number = number * 128 + (byte & 0x7f);
    if (byte & 0x80) continue;
    if (numbers.length === 0) {
      const first = Math.min(2, Math.floor(number / 40));
      numbers.push(first, number - first * 40);
    } else {
      numbers.push(number);
    }
    number = 0;
  }
  return numbers.join(".");
}
