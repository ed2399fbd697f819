/** Content-Range (RFC 9110 14.4), bytes only. */

export interface ContentRange {
  /** Offsets of the first and last byte of the body; null in an answer that says that the range cannot be had (416). */
  range: { first: number; last: number } | null;
  /** Bytes of the whole file; null where the server does not say. */
  size: number | null;
}

/** What a field's value says; null where it is not sound. */
export function parseContentRange(value: string): ContentRange | null {
  const match = /^bytes (?:([0-9]{1,16})-([0-9]{1,16})|\*)\/(?:([0-9]{1,16})|\*)$/i.exec(value);
  if (!match) return null;
  const size = match[3] === undefined ? null : Number(match[3]);
  if (size !== null && !Number.isSafeInteger(size)) return null;
  if (match[1] === undefined) return size === null ? null : { range: null, size };
  const [first, last] = [Number(match[1]), Number(match[2])];
  if (!Number.isSafeInteger(last) || first > last || (size !== null && last >= size)) return null;
  return { range: { first, last }, size };
}
