import { ROUTE_BY, type RouteRequest, readRequest } from "../../../boot/network/rtnetlink.ts";
import { encodeNews } from "../../../boot/network/rtnetlink-encode.ts";
import { printHardware, printPrefixed } from "../../../state-ops/ip-address.ts";
import { AF } from "../constants.ts";
import { errnoNumber } from "../errno.ts";
import type { LinksInMemory } from "./memory-links.ts";
import { Errno } from "./memory-nodes.ts";
import type { MemorySocket } from "./memory-sockets.ts";

/** A netlink socket of a machine in memory: rtnetlink(7). */
export class MemoryNetlink implements MemorySocket {
  readonly name = "rtnetlink";
  readonly waiting: Uint8Array[] = [];
  /** Bits of the groups whose news it gets. */
  groups = 0;
  readonly #network: LinksInMemory;

  constructor(network: LinksInMemory) {
    this.#network = network;
  }

  /** struct sockaddr_nl */
  bind(address: Uint8Array): void {
    const view = new DataView(address.buffer, address.byteOffset, address.length);
    if (address.length < 12 || view.getUint16(0, true) !== AF.NETLINK) throw new Errno("EINVAL");
    this.groups = view.getUint32(8, true);
  }

  send(bytes: Uint8Array): void {
    const { sequence, request } = readRequest(bytes);
    const answer = (errno: number): void => void this.waiting.push(encodeNews({ is: "answer", errno }, sequence));
    if (request === null) {
      answer(errnoNumber("EOPNOTSUPP"));
      return;
    }
    if (request.ask === "links" || request.ask === "addresses" || request.ask === "routes") {
      this.#list(request.ask, sequence);
      return;
    }
    try {
      this.#carryOut(request);
      answer(0);
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
      answer(errnoNumber(error.code));
    }
  }

  #list(what: "links" | "addresses" | "routes", sequence: number): void {
    const { links, addresses, routes } = this.#network;
    const all = {
      links: () => [...links.values()].map((link) => encodeNews({ is: "link", link }, sequence)),
      addresses: () => addresses.map((address) => encodeNews({ is: "address", address }, sequence)),
      routes: () => routes.map((route) => encodeNews({ is: "route", route }, sequence)),
    };
    this.waiting.push(...all[what](), encodeNews({ is: "done", errno: 0 }, sequence));
  }

  #carryOut(request: RouteRequest): void {
    const { ask } = request;
    if (ask === "change-link") this.#network.changeLink(request.link, request);
    else if (ask === "add-address") this.#network.addAddress({ flags: 0x80, scope: 0, ...request.address });
    else if (ask === "remove-address") this.#network.removeAddress({ flags: 0, scope: 0, ...request.address });
    else if (ask === "add-route") this.#network.addRoute({ by: ROUTE_BY.boot, table: 254, ...request.route });
    else if (ask === "remove-route") this.#network.removeRoute({ by: ROUTE_BY.boot, table: 254, ...request.route });
  }

  describe(bytes: Uint8Array): { text: string; effect: boolean } {
    const { request } = readRequest(bytes);
    if (request === null) return { text: `${bytes.length} bytes`, effect: true };
    switch (request.ask) {
      case "links":
      case "addresses":
      case "routes":
        return { text: request.ask, effect: false };
      case "change-link": {
        const { link, up, mtu, hardware } = request;
        const words = [request.ask, this.#network.nameOf(link), ...(up === null ? [] : [up ? "up" : "down"])];
        if (mtu !== null) words.push(`mtu ${mtu}`);
        if (hardware !== null) words.push(printHardware(hardware));
        return { text: words.join(" "), effect: true };
      }
      case "add-address":
      case "remove-address":
        return {
          text: `${request.ask} ${printPrefixed(request.address)} on ${this.#network.nameOf(request.address.link)}`,
          effect: true,
        };
      case "add-route":
      case "remove-route":
        return { text: `${request.ask} ${this.#network.routeText(request.route)}`, effect: true };
    }
  }
}
