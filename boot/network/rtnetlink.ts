/**
 * Messages of rtnetlink(7), by which links, addresses and routes are set up and listed. Numbers are little endian, as all machines
 * have them that slipway runs on. Sources: include/uapi/linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h.
 */
import { bitsOf, type IpAddress, type Prefixed } from "../../state-ops/ip-address.ts";
import { Attributes, HEADER } from "./rtnetlink-layout.ts";
import { FAMILY, FLAG, IFA, IFF, IFLA, RTA, TYPE, UNICAST } from "./rtnetlink-numbers.ts";

/** Who made a route: RTPROT_*. `boot` is what slipway makes. */
export const ROUTE_BY = { kernel: 2, boot: 3, router: 9 } as const;

/** linux/if_arp.h */
export const HARDWARE = { ethernet: 1, loopback: 772 } as const;

/** IFA_F_*: an IPv6 address that is still being tried, one that somebody else has, one that shall not be used any more. */
export const ADDRESS_FLAG = {
  withoutDetection: 0x02,
  dadFailed: 0x08,
  deprecated: 0x20,
  tentative: 0x40,
  permanent: 0x80,
} as const;

/** Bits of the groups that a socket is bound to for news: RTMGRP_LINK, _IPV6_IFADDR, _IPV6_ROUTE, and RTNLGRP_ND_USEROPT. */
export const NEWS_GROUPS = (1 << 0) | (1 << 8) | (1 << 10) | (1 << 19);

export interface LinkFacts {
  index: number;
  name: string;
  /** One of {@link HARDWARE}, or another of linux/if_arp.h. */
  type: number;
  hardware: Uint8Array;
  up: boolean;
  carrier: boolean;
  /** Bytes. */
  mtu: number;
  /** Index of the bridge or bond that it is part of; 0: none. */
  master: number;
}

export interface AddressFacts {
  /** Index. */
  link: number;
  address: IpAddress;
  /** Bits. */
  prefix: number;
  /** The other end of a link between two; null on every other. */
  peer: IpAddress | null;
  /** Bits of {@link ADDRESS_FLAG}. */
  flags: number;
  /** RT_SCOPE_*: 0 is everywhere, 253 this link. */
  scope: number;
}

export interface RouteFacts {
  /** Of length 0 for a default route. */
  destination: Prefixed;
  /** Null: what is on the link itself. */
  gateway: IpAddress | null;
  /** Index. */
  link: number;
  /** Less is preferred. */
  metric: number;
  /** The address that goes out with it; null: the kernel's choice. */
  source: IpAddress | null;
  /** RTPROT_*: see {@link ROUTE_BY}. */
  by: number;
  table: number;
}

/** What is asked of the kernel. */
export type RouteRequest =
  | { ask: "links" | "addresses" | "routes" }
  | { ask: "change-link"; link: number; up: boolean | null; mtu: number | null; hardware: Uint8Array | null }
  | { ask: "add-address" | "remove-address"; address: Omit<AddressFacts, "flags" | "scope"> }
  /** Adding replaces one to the same destination with the same metric. `gateway` is taken to be on the link. */
  | { ask: "add-route" | "remove-route"; route: Omit<RouteFacts, "by" | "table"> };

/** What the kernel says. `sequence` is that of the request, 0 for news. */
export type RouteMessage = { sequence: number } & (
  | { is: "link"; gone: boolean; link: LinkFacts }
  | { is: "address"; gone: boolean; address: AddressFacts }
  | { is: "route"; gone: boolean; route: RouteFacts }
  /** Options of a router advertisement, as the kernel hands them on: RFC 4861 4.6. */
  | { is: "router-options"; link: number; options: Uint8Array }
  /** The end of a list. `interrupted`: something changed meanwhile, and it may be wrong. */
  | { is: "done"; errno: number; interrupted: boolean }
  /** 0: it was done. */
  | { is: "answer"; errno: number }
  | { is: "unknown" }
);

/** All messages in what a socket gave. What is cut or wrong is "unknown", and ends it; nothing throws. */
export function readMessages(bytes: Uint8Array): RouteMessage[] {
  const messages: RouteMessage[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + HEADER <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < HEADER || at + length > bytes.length) return [...messages, { sequence: 0, is: "unknown" }];
    const sequence = view.getUint32(at + 8, true);
    const body = bytes.subarray(at + HEADER, at + length);
    const said = readBody(view.getUint16(at + 4, true), view.getUint16(at + 6, true), body);
    messages.push({ sequence, ...(said ?? { is: "unknown" }) });
    at += (length + 3) & ~3;
  }
  return messages;
}

type Said = RouteMessage extends infer One ? (One extends { sequence: number } ? Omit<One, "sequence"> : never) : never;

function readBody(type: number, flags: number, body: Uint8Array): Said | null {
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const errno = (): number => (body.length >= 4 ? Math.abs(view.getInt32(0, true)) : 0);
  switch (type) {
    case TYPE.ERROR:
      return { is: "answer", errno: errno() };
    case TYPE.DONE:
      return { is: "done", errno: errno(), interrupted: (flags & FLAG.INTERRUPTED) !== 0 };
    case TYPE.NEWLINK:
    case TYPE.DELLINK: {
      const link = readLink(body, view);
      return link && { is: "link", gone: type === TYPE.DELLINK, link };
    }
    case TYPE.NEWADDR:
    case TYPE.DELADDR: {
      const address = readAddress(body, view);
      return address && { is: "address", gone: type === TYPE.DELADDR, address };
    }
    case TYPE.NEWROUTE:
    case TYPE.DELROUTE: {
      const route = readRoute(body, view);
      return route && { is: "route", gone: type === TYPE.DELROUTE, route };
    }
    case TYPE.NEWNDUSEROPT: {
      // struct nduseroptmsg: family, padding, length of the options, index, ICMP type and code, padding.
      if (body.length < 16 || body[0] !== FAMILY.ipv6) return null;
      const length = Math.min(view.getUint16(2, true), body.length - 16);
      return { is: "router-options", link: view.getInt32(4, true), options: body.slice(16, 16 + length) };
    }
    default:
      return null;
  }
}

function readLink(body: Uint8Array, view: DataView): LinkFacts | null {
  if (body.length < 16) return null;
  const attributes = new Attributes(body.subarray(16));
  const flags = view.getUint32(8, true);
  const name = attributes.text(IFLA.IFNAME);
  if (name === null) return null;
  return {
    ...{ index: view.getInt32(4, true), name, type: view.getUint16(2, true) },
    hardware: attributes.bytes(IFLA.ADDRESS) ?? new Uint8Array(0),
    up: (flags & IFF.UP) !== 0,
    carrier: (flags & IFF.UP) !== 0 && (attributes.number8(IFLA.CARRIER) ?? (flags & IFF.LOWER_UP ? 1 : 0)) === 1,
    mtu: attributes.number32(IFLA.MTU) ?? 0,
    master: attributes.number32(IFLA.MASTER) ?? 0,
  };
}

/** Bytes of an address of the family; null for others. */
function addressLength(family: number | undefined): number | null {
  return family === FAMILY.ipv4 ? 4 : family === FAMILY.ipv6 ? 16 : null;
}

function readAddress(body: Uint8Array, view: DataView): AddressFacts | null {
  const length = addressLength(body[0]);
  if (body.length < 8 || length === null) return null;
  const attributes = new Attributes(body.subarray(8));
  const of = attributes.bytes(IFA.ADDRESS, length);
  const address = attributes.bytes(IFA.LOCAL, length) ?? of;
  if (address === null || of === null) return null;
  const peer = of.every((byte, at) => byte === address[at]) ? null : of;
  const flags = attributes.number32(IFA.FLAGS) ?? body[2] ?? 0;
  return { link: view.getInt32(4, true), address, prefix: body[1] ?? 0, peer, flags, scope: body[3] ?? 0 };
}

function readRoute(body: Uint8Array, view: DataView): RouteFacts | null {
  const length = addressLength(body[0]);
  if (body.length < 12 || length === null || body[7] !== UNICAST) return null;
  const attributes = new Attributes(body.subarray(12));
  const destination = { address: attributes.bytes(RTA.DST, length) ?? new Uint8Array(length), prefix: body[1] ?? 0 };
  if (destination.prefix > bitsOf(destination.address)) return null;
  return {
    destination,
    gateway: attributes.bytes(RTA.GATEWAY, length),
    link: attributes.number32(RTA.OIF) ?? 0,
    metric: attributes.number32(RTA.PRIORITY) ?? 0,
    source: attributes.bytes(RTA.PREFSRC, length),
    by: view.getUint8(5),
    table: attributes.number32(RTA.TABLE) ?? view.getUint8(4),
  };
}

/** What a message asks for, as the kernel reads it; null for what {@link RouteRequest} has no word for. For a machine in memory. */
export function readRequest(bytes: Uint8Array): { sequence: number; request: RouteRequest | null } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < HEADER) return { sequence: 0, request: null };
  const sequence = view.getUint32(8, true);
  const body = bytes.subarray(HEADER);
  return { sequence, request: requestOf(view.getUint16(4, true), body, new DataView(body.buffer, body.byteOffset, body.length)) };
}

function requestOf(type: number, body: Uint8Array, view: DataView): RouteRequest | null {
  if (type === TYPE.GETLINK) return { ask: "links" };
  if (type === TYPE.GETADDR) return { ask: "addresses" };
  if (type === TYPE.GETROUTE) return { ask: "routes" };
  if (type === TYPE.NEWLINK && body.length >= 16) {
    const attributes = new Attributes(body.subarray(16));
    const up = (view.getUint32(12, true) & IFF.UP) === 0 ? null : (view.getUint32(8, true) & IFF.UP) !== 0;
    const [mtu, hardware] = [attributes.number32(IFLA.MTU), attributes.bytes(IFLA.ADDRESS)];
    return { ask: "change-link", link: view.getInt32(4, true), up, mtu, hardware };
  }
  if (type === TYPE.NEWADDR || type === TYPE.DELADDR) {
    const address = readAddress(body, view);
    return address && { ask: type === TYPE.NEWADDR ? "add-address" : "remove-address", address };
  }
  if (type === TYPE.NEWROUTE || type === TYPE.DELROUTE) {
    const route = readRoute(body, view);
    return route && { ask: type === TYPE.NEWROUTE ? "add-route" : "remove-route", route };
  }
  return null;
}
