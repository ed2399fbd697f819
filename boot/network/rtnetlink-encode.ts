/** Messages of rtnetlink(7) as bytes: what is asked of the kernel, and, for a machine in memory, what it says. */
import type { IpAddress } from "../../state-ops/ip-address.ts";
import { ADDRESS_FLAG, type AddressFacts, type LinkFacts, ROUTE_BY, type RouteFacts, type RouteRequest } from "./rtnetlink.ts";
import { attribute, message, number8, number32 } from "./rtnetlink-layout.ts";
import { FAMILY, FLAG, IFA, IFF, IFLA, MAIN_TABLE, RTA, RTNH_F_ONLINK, SCOPE, TYPE, UNICAST } from "./rtnetlink-numbers.ts";

const familyOf = (address: IpAddress): number => (address.length === 4 ? FAMILY.ipv4 : FAMILY.ipv6);

/** A request as bytes. */
export function encodeRequest(request: RouteRequest, sequence: number): Uint8Array {
  const { REQUEST, ACK, DUMP, REPLACE, CREATE, EXCLUSIVE } = FLAG;
  switch (request.ask) {
    case "links":
      return message(TYPE.GETLINK, REQUEST | DUMP, sequence, [new Uint8Array(16)]);
    case "addresses":
      return message(TYPE.GETADDR, REQUEST | DUMP, sequence, [new Uint8Array(8)]);
    case "routes":
      return message(TYPE.GETROUTE, REQUEST | DUMP, sequence, [new Uint8Array(12)]);
    case "change-link":
      return message(TYPE.NEWLINK, REQUEST | ACK, sequence, linkParts(request));
    case "add-address":
      return message(TYPE.NEWADDR, REQUEST | ACK | CREATE | EXCLUSIVE, sequence, addressParts(request.address));
    case "remove-address":
      return message(TYPE.DELADDR, REQUEST | ACK, sequence, addressParts(request.address));
    case "add-route":
      return message(TYPE.NEWROUTE, REQUEST | ACK | CREATE | REPLACE, sequence, routeParts(request.route, false));
    case "remove-route":
      return message(TYPE.DELROUTE, REQUEST | ACK, sequence, routeParts(request.route, true));
  }
}

/** struct ifinfomsg: family, padding, type, index, flags, change. */
function linkParts({ link, up, mtu, hardware }: Extract<RouteRequest, { ask: "change-link" }>): Uint8Array[] {
  const head = new Uint8Array(16);
  const view = new DataView(head.buffer);
  view.setInt32(4, link, true);
  if (up !== null) {
    view.setUint32(8, up ? IFF.UP : 0, true);
    view.setUint32(12, IFF.UP, true);
  }
  const parts: Uint8Array[] = [head];
  if (mtu !== null) parts.push(attribute(IFLA.MTU, number32(mtu)));
  if (hardware !== null) parts.push(attribute(IFLA.ADDRESS, hardware));
  return parts;
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index. */
function addressParts({ link, address, prefix, peer }: Omit<AddressFacts, "flags" | "scope">): Uint8Array[] {
  const head = Uint8Array.of(familyOf(address), prefix, 0, SCOPE.UNIVERSE, ...number32(link));
  const parts = [head, attribute(IFA.LOCAL, address), attribute(IFA.ADDRESS, peer ?? address)];
  if (address.length === 4 && peer === null && prefix < 31) {
    const broadcast = address.map((byte, at) => byte | (0xff >> Math.min(8, Math.max(0, prefix - 8 * at))));
    parts.push(attribute(IFA.BROADCAST, broadcast));
  }
  // Without looking for somebody else who has it, which takes seconds in which nothing can go out with it.
  if (address.length === 16) parts.push(attribute(IFA.FLAGS, number32(ADDRESS_FLAG.withoutDetection)));
  return parts;
}

/** struct rtmsg: family, lengths of destination and source, service, table, protocol, scope, type, flags. */
function routeParts(route: Omit<RouteFacts, "by" | "table">, removed: boolean): Uint8Array[] {
  const { destination, gateway, link, metric, source } = route;
  const onLink = gateway === null ? 0 : RTNH_F_ONLINK;
  const scope = removed ? SCOPE.NOWHERE : gateway === null && destination.address.length === 4 ? SCOPE.LINK : SCOPE.UNIVERSE;
  const head = Uint8Array.of(
    ...[familyOf(destination.address), destination.prefix, 0, 0, MAIN_TABLE, ROUTE_BY.boot, scope, UNICAST],
    ...number32(removed ? 0 : onLink),
  );
  const parts = [head, attribute(RTA.OIF, number32(link)), attribute(RTA.PRIORITY, number32(metric))];
  if (destination.prefix > 0) parts.push(attribute(RTA.DST, destination.address));
  if (gateway !== null) parts.push(attribute(RTA.GATEWAY, gateway));
  if (source !== null) parts.push(attribute(RTA.PREFSRC, source));
  return parts;
}

/** The news that the kernel sends when a link, an address or a route came or went. For a machine in memory. */
export function encodeNews(
  news:
    | { is: "link"; link: LinkFacts }
    | { is: "address"; address: AddressFacts }
    | { is: "route"; route: RouteFacts }
    | { is: "router-options"; link: number; options: Uint8Array }
    | { is: "answer" | "done"; errno: number },
  sequence: number,
  gone = false,
): Uint8Array {
  switch (news.is) {
    case "answer":
    case "done":
      return message(news.is === "done" ? TYPE.DONE : TYPE.ERROR, 0, sequence, [number32(-news.errno), new Uint8Array(16)]);
    case "link": {
      const { index, name, type, hardware, up, carrier, mtu, master } = news.link;
      const flags = (up ? IFF.UP : 0) | (up && carrier ? IFF.LOWER_UP : 0);
      const head = Uint8Array.of(0, 0, type & 0xff, type >> 8, ...number32(index), ...number32(flags), ...number32(0));
      const parts = [head, attribute(IFLA.IFNAME, new TextEncoder().encode(`${name}\0`)), attribute(IFLA.ADDRESS, hardware)];
      parts.push(attribute(IFLA.MTU, number32(mtu)), attribute(IFLA.CARRIER, number8(up && carrier ? 1 : 0)));
      if (master !== 0) parts.push(attribute(IFLA.MASTER, number32(master)));
      return message(gone ? TYPE.DELLINK : TYPE.NEWLINK, 0, sequence, parts);
    }
    case "address": {
      const own = addressParts(news.address).slice(0, 3);
      const parts = [...own, attribute(IFA.FLAGS, number32(news.address.flags))];
      const [head] = parts;
      if (head) head[3] = news.address.scope;
      return message(gone ? TYPE.DELADDR : TYPE.NEWADDR, 0, sequence, parts);
    }
    case "route": {
      const parts = routeParts(news.route, false);
      const [head] = parts;
      if (head) head[5] = news.route.by;
      return message(gone ? TYPE.DELROUTE : TYPE.NEWROUTE, 0, sequence, [
        ...parts,
        attribute(RTA.TABLE, number32(news.route.table)),
      ]);
    }
    case "router-options": {
      const { options, link } = news;
      const head = Uint8Array.of(
        FAMILY.ipv6,
        0,
        options.length & 0xff,
        options.length >> 8,
        ...number32(link),
        134,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
      );
      return message(TYPE.NEWNDUSEROPT, 0, sequence, [head, options]);
    }
  }
}
