/** What a DHCP server gives: RFC 2131, options of RFC 2132, search lists of RFC 3397, routes of RFC 3442. */

import { type IpAddress, isHostIpv4, networkOf, type Prefixed, prefixOfMask } from "../../state-ops/ip-address.ts";
import { type DhcpMessage, OPTION } from "./dhcp-message.ts";
import { readDomainList, soundDomain } from "./search-list.ts";

export interface LeasedRoute {
  destination: Prefixed;
  /** Null: it is on the link. */
  gateway: IpAddress | null;
}

export interface Lease {
  address: Prefixed;
  /** Its identifier, which is its address. */
  server: IpAddress;
  /** Default route included. */
  routes: LeasedRoute[];
  nameservers: IpAddress[];
  search: string[];
  /** Bytes; null: nothing was said of it. */
  mtu: number | null;
  /** How long it holds, milliseconds, Infinity for ever; and when to ask the server, then every server, to prolong it. */
  lengthMs: number;
  renewalMs: number;
  rebindingMs: number;
}

/** A server that gives less would have us ask all the time. */
const SHORTEST_MS = 2000;
/** Where nothing is said of it, which RFC 2131 forbids. */
const USUAL_MS = 3600_000;
const FOR_EVER = 0xffffffff;
const MOST_SERVERS = 3;
const MOST_ROUTES = 64;
const DEFAULT: Prefixed = { address: new Uint8Array(4), prefix: 0 };
/** With less the kernel ends IPv6 on the link (RFC 8200 5), and servers that say so are set up wrongly. */
const MTU = { least: 1280, most: 65_535 } as const;

function number32(value: Uint8Array | undefined): number | null {
  return value?.length === 4 ? new DataView(value.buffer, value.byteOffset, 4).getUint32(0) : null;
}

/** All addresses of hosts in a list; none where its length is wrong. */
function addresses(value: Uint8Array | undefined): IpAddress[] {
  if (value === undefined || value.length % 4 !== 0) return [];
  const list = Array.from({ length: value.length / 4 }, (_, at) => value.slice(4 * at, 4 * at + 4));
  return list.filter(isHostIpv4);
}

/** What an offer or an acknowledgement gives; null where that is nothing that can be used. */
export function readLease(message: DhcpMessage): Lease | null {
  const { options, yours } = message;
  const [server] = addresses(options.get(OPTION.server));
  if (!isHostIpv4(yours) || server === undefined) return null;
  const seconds = number32(options.get(OPTION.leaseTime));
  const lengthMs = seconds === FOR_EVER ? Number.POSITIVE_INFINITY : Math.max(SHORTEST_MS, (seconds ?? USUAL_MS / 1000) * 1000);
  const mtu = options.get(OPTION.mtu);
  const bytes = mtu?.length === 2 ? new DataView(mtu.buffer, mtu.byteOffset, 2).getUint16(0) : 0;
  return {
    address: { address: yours, prefix: prefixFor(yours, options.get(OPTION.netmask)) },
    server,
    routes: routesOf(options),
    nameservers: addresses(options.get(OPTION.nameservers)).slice(0, MOST_SERVERS),
    search: searchOf(options),
    mtu: bytes >= MTU.least && bytes <= MTU.most ? bytes : null,
    lengthMs,
    ...renewals(lengthMs, options),
  };
}

/** Without a netmask, or with a wrong one, that of the address's class. */
function prefixFor(address: IpAddress, mask: Uint8Array | undefined): number {
  const given = mask?.length === 4 ? prefixOfMask(mask) : null;
  if (given !== null && given > 0) return given;
  const first = address[0] ?? 0;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

/** RFC 2131 4.4.5: half, and seven eighths, where the server says nothing or nonsense. */
function renewals(lengthMs: number, options: Map<number, Uint8Array>): { renewalMs: number; rebindingMs: number } {
  if (lengthMs === Number.POSITIVE_INFINITY) return { renewalMs: lengthMs, rebindingMs: lengthMs };
  const [first, second] = [number32(options.get(OPTION.renewal)), number32(options.get(OPTION.rebinding))];
  const rebindingMs = second !== null && second > 0 && second * 1000 < lengthMs ? second * 1000 : lengthMs * 0.875;
  const renewalMs =
    first !== null && first > 0 && first * 1000 < rebindingMs ? first * 1000 : Math.min(lengthMs / 2, rebindingMs);
  return { renewalMs, rebindingMs };
}

/** RFC 3442: where there are classless routes, the routers of option 3 count for nothing. */
function routesOf(options: Map<number, Uint8Array>): LeasedRoute[] {
  for (const code of [OPTION.routes, OPTION.microsoftRoutes]) {
    const value = options.get(code);
    const routes = value === undefined ? null : readRoutes(value);
    if (routes !== null && routes.length > 0) return routes;
  }
  const [router] = addresses(options.get(OPTION.routers));
  return router === undefined ? [] : [{ destination: DEFAULT, gateway: router }];
}

/** Prefix length, the bytes of the network that count, router; over and over. Null where that does not come out even. */
export function readRoutes(value: Uint8Array): LeasedRoute[] | null {
  const routes: LeasedRoute[] = [];
  for (let at = 0; at < value.length; ) {
    const prefix = value[at] ?? 33;
    const count = Math.ceil(prefix / 8);
    if (prefix > 32 || at + 1 + count + 4 > value.length || routes.length === MOST_ROUTES) return null;
    const address = new Uint8Array(4);
    address.set(value.subarray(at + 1, at + 1 + count));
    const router = value.slice(at + 1 + count, at + 5 + count);
    const gateway = router.every((byte) => byte === 0) ? null : router;
    if (gateway === null || isHostIpv4(gateway)) routes.push({ destination: networkOf({ address, prefix }), gateway });
    at += 5 + count;
  }
  return routes;
}

function searchOf(options: Map<number, Uint8Array>): string[] {
  const list = options.get(OPTION.search);
  const domains = list === undefined ? [] : readDomainList(list);
  if (domains.length > 0) return domains;
  const text = new TextDecoder().decode(options.get(OPTION.domain) ?? new Uint8Array(0)).replace(/\0+$/, "");
  return soundDomain(text) ? [text] : [];
}
