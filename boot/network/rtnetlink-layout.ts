/** How netlink lays messages and attributes out: struct nlmsghdr and struct nlattr of linux/netlink.h, little endian. */

/** Bytes of struct nlmsghdr: length, type, flags, sequence, port. */
export const HEADER = 16;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER stand above the type. */
const TYPE_MASK = 0x3fff;

export function number8(value: number): Uint8Array {
  return Uint8Array.of(value);
}

export function number32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value | 0, true);
  return bytes;
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

export function attribute(type: number, value: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(padded(4 + value.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, 4 + value.length, true);
  view.setUint16(2, type, true);
  bytes.set(value, 4);
  return bytes;
}

/** A message with a body of `parts`, each of which has a multiple of four bytes, the last one excepted. */
export function message(type: number, flags: number, sequence: number, parts: Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, HEADER);
  const bytes = new Uint8Array(padded(length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags, true);
  view.setUint32(8, sequence, true);
  let at = HEADER;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Attributes one after the other. What is cut or wrong ends them. */
export class Attributes {
  readonly #values = new Map<number, Uint8Array>();

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at + 4 <= bytes.length; ) {
      const length = view.getUint16(at, true);
      if (length < 4 || at + length > bytes.length) return;
      this.#values.set(view.getUint16(at + 2, true) & TYPE_MASK, bytes.slice(at + 4, at + length));
      at += padded(length);
    }
  }

  /** Null where it is missing, or has not `length` bytes. */
  bytes(type: number, length?: number): Uint8Array | null {
    const value = this.#values.get(type);
    return value === undefined || (length !== undefined && value.length !== length) ? null : value;
  }
  number8(type: number): number | null {
    return this.bytes(type, 1)?.[0] ?? null;
  }
  number32(type: number): number | null {
    const value = this.bytes(type, 4);
    return value === null ? null : new DataView(value.buffer, value.byteOffset, 4).getUint32(0, true);
  }
  /** Up to its zero byte; null where it is missing or empty. */
  text(type: number): string | null {
    const value = this.bytes(type);
    if (value === null) return null;
    const text = new TextDecoder().decode(value).split("\0")[0] ?? "";
    return text === "" ? null : text;
  }
}
