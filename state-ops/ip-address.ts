/** Addresses of the Internet Protocol, as people write them. */

export interface IpAddress {
  family: 4 | 6;
  /** Its 32 or 128 bits as a number. */
  bits: bigint;
}

/** An address and the length of its network's prefix: "192.0.2.10/24". */
export interface PrefixedAddress extends IpAddress {
  prefix: number;
}

function parseIpv4(text: string): bigint | null {
  const parts = text.split(".");
  // A zero in front would be read as octal by some.
  const sound = parts.length === 4 && parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) <= 255);
  return sound ? parts.reduce((bits, part) => (bits << 8n) | BigInt(part), 0n) : null;
}

/** The 16-bit groups of one side of "::". Null for what is none. */
function groups(text: string): bigint[] | null {
  if (text === "") return [];
  const parts = text.split(":");
  const found: bigint[] = [];
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      found.push(BigInt(`0x${part}`));
      continue;
    }
    // The last 32 bits may be written as an IPv4 address.
    const tail = index === parts.length - 1 && part.includes(".") ? parseIpv4(part) : null;
    if (tail === null) return null;
    found.push(tail >> 16n, tail & 0xffffn);
  }
  return found;
}

/** RFC 4291 2.2, without a zone. */
function parseIpv6(text: string): bigint | null {
  const sides = text.split("::");
  if (sides.length > 2) return null;
  const [left, right] = [groups(sides[0] ?? ""), groups(sides[1] ?? "")];
  if (left === null || right === null) return null;
  const missing = 8 - left.length - right.length;
  if (sides.length === 1 ? missing !== 0 : missing < 1) return null;
  const all = [...left, ...Array.from({ length: missing }, () => 0n), ...right];
  return all.reduce((bits, group) => (bits << 16n) | group, 0n);
}

/** Null for what is no IPv4 or IPv6 address. */
export function parseAddress(text: string): IpAddress | null {
  const four = parseIpv4(text);
  if (four !== null) return { family: 4, bits: four };
  const six = text.includes(":") ? parseIpv6(text) : null;
  return six === null ? null : { family: 6, bits: six };
}

export function widthOf(family: 4 | 6): number {
  return family === 4 ? 32 : 128;
}

/** Null for what is no address with the length of a prefix. */
export function parsePrefixed(text: string): PrefixedAddress | null {
  const [, written = "", length = ""] = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text) ?? [];
  const address = parseAddress(written);
  const prefix = Number(length);
  return address === null || length === "" || prefix > widthOf(address.family) ? null : { ...address, prefix };
}

/** Whether an address lies in the network of another. */
export function inNetwork(address: IpAddress, network: PrefixedAddress): boolean {
  const rest = BigInt(widthOf(network.family) - network.prefix);
  return address.family === network.family && address.bits >> rest === network.bits >> rest;
}

/** fe80::/10: every link has that network. */
export function isLinkLocal({ family, bits }: IpAddress): boolean {
  return family === 6 && bits >> 118n === 0x3fan;
}

/** 0.0.0.0 or ::, a group of machines, or the machine itself: nothing that a machine is reached at. */
export function isNobodys({ family, bits }: IpAddress): boolean {
  if (bits === 0n) return true;
  if (family === 6) return bits >> 120n === 0xffn || bits === 1n;
  return bits >> 28n >= 0xen || bits >> 24n === 127n || bits >> 24n === 0n;
}
