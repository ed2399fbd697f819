import { type AddressFacts, HARDWARE, type LinkFacts, ROUTE_BY, type RouteFacts } from "../../../boot/network/rtnetlink.ts";
import { encodeNews } from "../../../boot/network/rtnetlink-encode.ts";
import { isWithin, parsePrefixed, printAddress, printHardware, printPrefixed, sameBytes } from "../../../state-ops/ip-address.ts";
import { AF } from "../constants.ts";
import { MemoryNetlink } from "./memory-netlink.ts";
import { Errno } from "./memory-nodes.ts";
import { MemoryPackets } from "./memory-packets.ts";
import type { MemorySocket } from "./memory-sockets.ts";

export interface LinkDescription {
  name: string;
  /** "52:54:00:12:34:56" */
  hardware: string;
  /** Whether a cable is in it; true if absent. */
  carrier?: boolean;
  /** What comes back for a frame that went out, at once; nothing if absent. */
  answer?: (frame: Uint8Array) => Uint8Array[];
}

/** What a router of IPv6 says: the kernel makes of it an address, a default route, and options for programs. */
export interface Advertisement {
  /** Address that the link gets: "2001:db8::5054:ff:fe12:3456/64". */
  address: string;
  /** "fe80::1" */
  router: string;
  /** RFC 4861 4.6: lists of name servers and others. */
  options?: Uint8Array;
}

/** How long a frame is under way, milliseconds. */
const TRAVEL_MS = 2;

/** The links of a machine in memory, their addresses and routes. */
export class MemoryNetwork {
  readonly links = new Map<number, LinkFacts>();
  readonly addresses: AddressFacts[] = [];
  readonly routes: RouteFacts[] = [];
  readonly #answers = new Map<number, (frame: Uint8Array) => Uint8Array[]>();
  readonly #plugged = new Set<number>();
  readonly #sockets = new Set<MemoryNetlink | MemoryPackets>();
  readonly #after: (ms: number, event: () => void) => void;

  constructor(after: (ms: number, event: () => void) => void) {
    this.#after = after;
    this.#insert("lo", new Uint8Array(6), HARDWARE.loopback, true);
  }

  // What tests say and ask.

  /** A link appears, down. Returns its index. */
  addLink({ name, hardware, carrier = true, answer }: LinkDescription): number {
    const bytes = Uint8Array.from(hardware.split(":"), (byte) => Number.parseInt(byte, 16));
    const index = this.#insert(name, bytes, HARDWARE.ethernet, carrier);
    if (answer) this.#answers.set(index, answer);
    this.#tellLink(index);
    return index;
  }

  /** A cable is put in, or pulled. */
  plug(index: number, carrier: boolean): void {
    if (carrier) this.#plugged.add(index);
    else this.#plugged.delete(index);
    this.#settle(index);
  }

  removeLink(index: number): void {
    const link = this.links.get(index);
    if (!link) return;
    this.links.delete(index);
    this.#forget(index, () => true);
    this.tell(0, encodeNews({ is: "link", link }, 0, true));
  }

  answerWith(index: number, answer: (frame: Uint8Array) => Uint8Array[]): void {
    this.#answers.set(index, answer);
  }

  /** A router speaks: what the kernel makes of it, where the link is up. */
  advertise(index: number, { address, router, options }: Advertisement): void {
    const prefixed = parsePrefixed(address);
    const gateway = parsePrefixed(router)?.address;
    const link = this.links.get(index);
    if (!prefixed || !gateway || !link?.up || !link.carrier) return;
    const facts: AddressFacts = { link: index, ...prefixed, peer: null, flags: 0, scope: 0 };
    if (!this.addresses.some((known) => sameBytes(known.address, facts.address))) this.addresses.push(facts);
    this.tell(8, encodeNews({ is: "address", address: facts }, 0));
    const destination = { address: new Uint8Array(16), prefix: 0 };
    const route: RouteFacts = { destination, gateway, link: index, metric: 1024, source: null, by: ROUTE_BY.router, table: 254 };
    if (!this.routes.some((known) => known.by === ROUTE_BY.router && known.link === index)) this.routes.push(route);
    this.tell(10, encodeNews({ is: "route", route }, 0));
    if (options) this.tell(19, encodeNews({ is: "router-options", link: index, options }, 0));
  }

  /** A frame comes in on a link. */
  deliver(index: number, frame: Uint8Array): void {
    for (const socket of this.#sockets) if (socket instanceof MemoryPackets && socket.link === index) socket.waiting.push(frame);
  }

  /** "eth0 up 52:54:00:12:34:56 mtu 1500 192.0.2.5/24", then its routes: what there is to see of the links. */
  print(): string[] {
    const links = [...this.links.values()].map(({ index, name, up, hardware, mtu }) => {
      const own = this.addresses.filter((address) => address.link === index).map((address) => printPrefixed(address));
      return [name, up ? "up" : "down", printHardware(hardware), `mtu ${mtu}`, ...own].join(" ");
    });
    return [...links, ...this.routes.map((route) => this.routeText(route))];
  }

  // The kernel's side.

  nameOf(index: number): string {
    return this.links.get(index)?.name ?? `link ${index}`;
  }

  routeText({ destination, gateway, link, metric, source }: Omit<RouteFacts, "by" | "table">): string {
    const words = [printPrefixed(destination), ...(gateway ? ["via", printAddress(gateway)] : []), "on", this.nameOf(link)];
    return [...words, "metric", String(metric), ...(source ? ["from", printAddress(source)] : [])].join(" ");
  }

  openSocket(family: number): MemorySocket {
    if (family !== AF.NETLINK && family !== AF.PACKET) throw new Errno("EAFNOSUPPORT");
    const socket = family === AF.NETLINK ? new MemoryNetlink(this) : new MemoryPackets(this);
    this.#sockets.add(socket);
    return socket;
  }

  closeSocket(socket: MemorySocket): void {
    for (const known of this.#sockets) if (known === socket) this.#sockets.delete(known);
  }

  /** News for all who listen to the group, counted from bit 0. */
  tell(group: number, news: Uint8Array): void {
    for (const socket of this.#sockets) {
      if (socket instanceof MemoryNetlink && ((socket.groups >>> group) & 1) === 1) socket.waiting.push(news);
    }
  }

  changeLink(index: number, change: { up: boolean | null; mtu: number | null; hardware: Uint8Array | null }): void {
    const link = this.links.get(index);
    if (!link) throw new Errno("ENODEV");
    if (change.mtu !== null) link.mtu = change.mtu;
    if (change.hardware !== null) link.hardware = change.hardware;
    if (change.up !== null && change.up !== link.up) {
      link.up = change.up;
      if (!link.up) this.#forget(index, (address) => address?.length !== 4);
    }
    this.#settle(index);
  }

  addAddress(address: AddressFacts): void {
    if (!this.links.has(address.link)) throw new Errno("ENODEV");
    const same = (known: AddressFacts) => known.link === address.link && sameBytes(known.address, address.address);
    if (this.addresses.some(same)) throw new Errno("EEXIST");
    this.addresses.push(address);
    this.tell(8, encodeNews({ is: "address", address }, 0));
  }

  removeAddress({ link, address }: AddressFacts): void {
    const at = this.addresses.findIndex((known) => known.link === link && sameBytes(known.address, address));
    if (at < 0) throw new Errno("EADDRNOTAVAIL");
    this.addresses.splice(at, 1);
    // The kernel takes routes that go out with the address away with it.
    this.#keepRoutes((route) => route.source === null || !sameBytes(route.source, address));
  }

  addRoute(route: RouteFacts): void {
    const link = this.links.get(route.link);
    if (!link) throw new Errno("ENODEV");
    if (!link.up) throw new Errno("ENETDOWN");
    const { source } = route;
    if (source && !this.addresses.some((known) => sameBytes(known.address, source))) throw new Errno("EINVAL");
    this.#keepRoutes((known) => !sameRoute(known, route));
    this.routes.push(route);
  }

  removeRoute(route: RouteFacts): void {
    if (!this.routes.some((known) => sameRoute(known, route) && known.link === route.link)) throw new Errno("ESRCH");
    this.#keepRoutes((known) => !(sameRoute(known, route) && known.link === route.link));
  }

  transmit(index: number, frame: Uint8Array): void {
    const link = this.links.get(index);
    if (!link?.up) throw new Errno("ENETDOWN");
    if (!link.carrier) return;
    for (const answer of this.#answers.get(index)?.(frame) ?? []) this.#after(TRAVEL_MS, () => this.deliver(index, answer));
  }

  #insert(name: string, hardware: Uint8Array, type: number, carrier: boolean): number {
    const index = Math.max(0, ...this.links.keys()) + 1;
    this.links.set(index, { index, name, type, hardware, up: false, carrier: false, mtu: 1500, master: 0 });
    if (carrier) this.#plugged.add(index);
    return index;
  }

  /** Carrier is seen on a link that is up only. */
  #settle(index: number): void {
    const link = this.links.get(index);
    if (!link) return;
    link.carrier = link.up && this.#plugged.has(index);
    this.#tellLink(index);
  }

  #tellLink(index: number): void {
    const link = this.links.get(index);
    if (link) this.tell(0, encodeNews({ is: "link", link }, 0));
  }

  /** What the kernel drops with a link: its routes, and addresses that `drops` says. */
  #forget(index: number, drops: (address: Uint8Array | null) => boolean): void {
    const kept = this.addresses.filter(({ link, address }) => link !== index || !drops(address));
    this.addresses.splice(0, this.addresses.length, ...kept);
    this.#keepRoutes((route) => route.link !== index);
  }

  #keepRoutes(keep: (route: RouteFacts) => boolean): void {
    this.routes.splice(0, this.routes.length, ...this.routes.filter(keep));
  }
}

function sameRoute(one: RouteFacts, other: RouteFacts): boolean {
  const { destination, metric } = one;
  const same =
    destination.address.length === other.destination.address.length && isWithin(destination.address, other.destination);
  return same && destination.prefix === other.destination.prefix && metric === other.metric;
}
