/** Addresses and routes that were set up, so that they can be taken down again. */

import type { Offer } from "../../../boot/network/offers.ts";
import type { RouteFacts, RouteRequest } from "../../../boot/network/rtnetlink.ts";
import { type IpAddress, printAddress, printPrefixed } from "../../../state-ops/ip-address.ts";
import { KernelError } from "../../kernel/kernel.ts";
import type { RouteSocket } from "./route-socket.ts";

/** Less than what the kernel gives routes that a router of IPv6 advertised (IP6_RT_PRIO_USER, 1024). */
const METRIC = { preferred: 100, other: 600 } as const;

/** One thing that is set up: how to, how to undo it, and what it is for people. */
interface Piece {
  add: RouteRequest;
  remove: RouteRequest;
  subject: string;
}

function addressPiece({ index, link }: Offer, { own, peer }: Offer["addresses"][number]): Piece {
  const address = { link: index, ...own, peer };
  const subject = `${printPrefixed(own)} on ${link}`;
  return { add: { ask: "add-address", address }, remove: { ask: "remove-address", address }, subject };
}

function routePiece(offer: Offer, at: number, metric: number): Piece {
  const { destination, gateway } = offer.routes[at] ?? { destination: { address: new Uint8Array(4), prefix: 0 }, gateway: null };
  const source: IpAddress | null =
    offer.addresses.find(({ own }) => own.address.length === destination.address.length)?.own.address ?? null;
  const route: Omit<RouteFacts, "by" | "table"> = { destination, gateway, link: offer.index, metric, source };
  const via = gateway === null ? "" : ` via ${printAddress(gateway)}`;
  const subject = `${printPrefixed(destination)}${via} on ${offer.link}`;
  return { add: { ask: "add-route", route }, remove: { ask: "remove-route", route }, subject };
}

/** In the order in which they can be added: addresses before the routes that go out with them. */
function piecesOf(offer: Offer, preferred: boolean): Piece[] {
  const metric = preferred ? METRIC.preferred : METRIC.other + offer.index;
  const addresses = offer.addresses.map((address) => addressPiece(offer, address));
  // Routes on the link before those through a router that is only reached by them.
  const order = [...offer.routes.keys()].sort((one, other) => onLink(offer, other) - onLink(offer, one));
  return [...addresses, ...order.map((at) => routePiece(offer, at, metric))];
}

function onLink(offer: Offer, at: number): number {
  return offer.routes[at]?.gateway === null ? 1 : 0;
}

function keyOf({ add }: Piece): string {
  return JSON.stringify(add, (_, value) => (value instanceof Uint8Array ? [...value] : value));
}

export class Setup {
  readonly #sockets: RouteSocket;
  readonly #told: (line: string) => void;
  #pieces = new Map<string, Piece>();
  /** Sizes of packets as they were, by index. */
  readonly #mtus = new Map<number, number>();
  readonly #failed = new Set<string>();

  constructor(socket: RouteSocket, told: (line: string) => void) {
    this.#sockets = socket;
    this.#told = told;
  }

  /**
   * Makes what is set up be these offers and no others; those on the link of the first one are preferred. What is there already stays untouched.
   * What fails is told once and tried again the next time.
   *
   * @param mtuOf how large packets of a link are now
   */
  become(offers: readonly Offer[], mtuOf: (index: number) => number): void {
    const wanted = new Map<string, Piece>();
    const [first] = offers;
    for (const offer of offers) {
      for (const piece of piecesOf(offer, offer.index === first?.index)) wanted.set(keyOf(piece), piece);
    }
    const gone = [...this.#pieces].filter(([key]) => !wanted.has(key));
    for (const [key, piece] of gone.reverse()) this.#remove(key, piece);
    for (const offer of offers) this.#setMtu(offer, mtuOf(offer.index));
    for (const [key, piece] of wanted) if (!this.#pieces.has(key)) this.#add(key, piece);
  }

  /** The kernel has taken away what was on a link that fell, addresses of IPv4 excepted, or on one that is gone. */
  forget(index: number, gone: boolean): void {
    for (const [key, { add }] of this.#pieces) {
      if (add.ask === "add-address" && add.address.link === index && (gone || add.address.address.length === 16))
        this.#pieces.delete(key);
      if (add.ask === "add-route" && add.route.link === index) this.#pieces.delete(key);
    }
    if (gone) this.#mtus.delete(index);
  }

  #add(key: string, piece: Piece): void {
    try {
      this.#sockets.change(piece.add, piece.subject);
      this.#pieces.set(key, piece);
      this.#failed.delete(key);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // Somebody else's, which is not ours to take down.
      if (error.code === "EEXIST" || this.#failed.has(key)) return;
      this.#failed.add(key);
      this.#told(`network: ${error.message}`);
    }
  }

  #remove(key: string, piece: Piece): void {
    this.#pieces.delete(key);
    try {
      this.#sockets.change(piece.remove, piece.subject);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // Gone with its link or its address already.
      if (!["ESRCH", "EADDRNOTAVAIL", "ENODEV", "ENETDOWN"].includes(error.code)) this.#told(`network: ${error.message}`);
    }
  }

  #setMtu({ index, link, mtu }: Offer, now: number): void {
    if (mtu === null || mtu === now) return;
    if (!this.#mtus.has(index)) this.#mtus.set(index, now);
    this.#changeMtu(index, link, mtu);
  }

  #changeMtu(index: number, subject: string, mtu: number): void {
    const key = `mtu ${index} ${mtu}`;
    if (this.#failed.has(key)) return;
    try {
      this.#sockets.change({ ask: "change-link", link: index, up: null, mtu, hardware: null }, `${subject} mtu ${mtu}`);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#failed.add(key);
      this.#told(`network: ${error.message}`);
    }
  }

  /** Takes everything down. */
  close(): void {
    this.become([], () => 0);
    for (const [index, mtu] of this.#mtus) this.#changeMtu(index, `link ${index}`, mtu);
    this.#mtus.clear();
  }
}
