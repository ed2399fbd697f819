/** Addresses of IPv4 and IPv6 as bytes in network order, and as text. */

/** 4 bytes of IPv4 or 16 of IPv6. */
export type IpAddress = Uint8Array;

/** An address with the length of its network's prefix, bits: "192.0.2.10/24". */
export interface Prefixed {
  address: IpAddress;
  prefix: number;
}

/** "192.0.2.1": four decimal numbers without leading zeros, as inet_pton(3) wants them. */
function parseIpv4(text: string): IpAddress | null {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255)) return null;
  return Uint8Array.from(parts, Number);
}

/** RFC 4291 2.2, with the last 32 bits in IPv4's form where they are so. No zone. */
function parseIpv6(text: string): IpAddress | null {
  if (text.length > 45) return null;
  const tail = /^(.*:)([0-9.]*\.[0-9.]*)$/.exec(text);
  if (tail) {
    const four = parseIpv4(tail[2] ?? "");
    if (four === null) return null;
    const [a = 0, b = 0, c = 0, d = 0] = four;
    return parseIpv6(`${tail[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`);
  }
  const halves = text.split("::");
  const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
  const [before = [], after = []] = groups;
  const given = before.length + after.length;
  if (halves.length > 2 || (halves.length === 1 ? given !== 8 : given > 7)) return null;
  if (![...before, ...after].every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return null;
  const all = [...before, ...Array.from({ length: 8 - given }, () => "0"), ...after];
  return Uint8Array.from(all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]));
}

/** An address of either kind; null for anything else. Brackets around IPv6, as URLs and `ip=` have them, are taken off. */
export function parseAddress(text: string): IpAddress | null {
  const bare = /^\[(.*:.*)\]$/.exec(text)?.[1] ?? text;
  return bare.includes(":") ? parseIpv6(bare) : bare === text ? parseIpv4(text) : null;
}

/** "192.0.2.1", "2001:db8::1" as RFC 5952 writes it. */
export function printAddress(address: IpAddress): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((address[2 * at] ?? 0) << 8) | (address[2 * at + 1] ?? 0));
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.at < 0) return hex(groups);
  return `${hex(groups.slice(0, best.at))}::${hex(groups.slice(best.at + best.length))}`;
}

/** How many bits an address of its kind has: 32 or 128. */
export function bitsOf(address: IpAddress): number {
  return address.length * 8;
}

/** "192.0.2.10/24", "[2001:db8::1]/64"; without a length, that of the address alone. Null for anything else. */
export function parsePrefixed(text: string): Prefixed | null {
  const slash = text.lastIndexOf("/");
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  const length = slash < 0 ? String(bitsOf(address)) : text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(length) || Number(length) > bitsOf(address)) return null;
  return { address, prefix: Number(length) };
}

export function printPrefixed({ address, prefix }: Prefixed): string {
  return `${printAddress(address)}/${prefix}`;
}

/** The length of the prefix that a netmask stands for; null where its ones are not all in front. */
export function prefixOfMask(mask: IpAddress): number | null {
  const bits = [...mask].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return /^1*0*$/.test(bits) ? bits.lastIndexOf("1") + 1 : null;
}

/** The network that an address lies in: its bits behind the prefix are zero. */
export function networkOf({ address, prefix }: Prefixed): Prefixed {
  const bytes = address.map((byte, at) => {
    const kept = Math.min(8, Math.max(0, prefix - 8 * at));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return { address: bytes, prefix };
}

export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

/** Whether `address` lies in the network of `prefixed`. */
export function isWithin(address: IpAddress, prefixed: Prefixed): boolean {
  return sameBytes(networkOf({ address, prefix: prefixed.prefix }).address, networkOf(prefixed).address);
}

/** An IPv4 address that one host can have: neither 0.0.0.0/8, loopback, multicast nor broadcast (RFC 1122 3.2.1.3, RFC 6890). */
export function isHostIpv4(address: IpAddress): boolean {
  const first = address[0] ?? 0;
  return address.length === 4 && first !== 0 && first !== 127 && first < 224;
}

/** Nothing that a machine is reached at: the unspecified address, the machine itself, or a group of machines. */
export function isNobodys(address: IpAddress): boolean {
  if (address.length === 4) return !isHostIpv4(address);
  const first = address[0] ?? 0;
  return first === 0xff || (address.subarray(0, 15).every((byte) => byte === 0) && (address[15] ?? 0) <= 1);
}

/** fe80::/10. */
export function isLinkLocal(address: IpAddress): boolean {
  return address.length === 16 && address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80;
}

/** "52:54:00:12:34:56", or with dashes; null for anything else, for multicast and for zeros. */
export function parseHardware(text: string): Uint8Array | null {
  if (!/^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$/.test(text)) return null;
  const bytes = Uint8Array.from(text.split(/[:-]/), (byte) => Number.parseInt(byte, 16));
  return ((bytes[0] ?? 1) & 1) === 1 || bytes.every((byte) => byte === 0) ? null : bytes;
}

/** "52:54:00:12:34:56". */
export function printHardware(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
