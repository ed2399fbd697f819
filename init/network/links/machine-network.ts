/** The network of PID 1: links, addresses and routes without helper programs. */

import {
  type NetworkRequest,
  networkWanted,
  type Offer,
  type OfferBy,
  offerAddresses,
  offersOf,
  setUpWith,
} from "../../../boot/network/offers.ts";
import { printPrefixed } from "../../../state-ops/ip-address.ts";
import { type Kernel, KernelError } from "../../kernel/kernel.ts";
import { MachineLinks } from "./machine-links.ts";
import { NameServers } from "./name-servers.ts";
import { awaited, canCome } from "./patience.ts";
import { RouteSocket } from "./route-socket.ts";
import { Setup } from "./setup.ts";

/** A way to the network: one link, and who said how it is set up. */
export interface Way {
  /** The kernel's name: "eth0". */
  link: string;
  by: OfferBy;
  /** With the length of the prefix. */
  addresses: string[];
  nameservers: string[];
  /** "http://HOST:PORT" that belongs to the way, of the profile only; null: none. */
  proxy: string | null;
}

export type { NetworkRequest } from "../../../boot/network/offers.ts";

/** Longest time that a wait blocks everything else, milliseconds. */
const SLICE_MS = 20;
/** So often the same way is given, changed each time: a cable that comes and goes all the time shall not keep whoever asks for ever. */
const MOST_TIMES = 4;
/** How often leases and links are looked after while nobody waits for them. */
const UPKEEP_MS = 200;

/** What whoever asks was given already: versions by the offer's id. */
type Given = Map<string, string[]>;

/** What there is once the kernel answered. */
interface Open {
  links: MachineLinks;
  socket: RouteSocket;
  setup: Setup;
}

export class MachineNetwork {
  readonly #kernel: Kernel;
  readonly #request: NetworkRequest;
  readonly #told: (line: string) => void;
  readonly #names: NameServers;
  #open: Open | null = null;
  #upkeep: ReturnType<typeof setInterval> | null = null;
  #offers: Offer[] = [];
  /** Id of the offer that is set up; null: none is. */
  #current: string | null = null;
  /** The same where it is not known to lead nowhere. */
  #content: string | null = null;
  #lastFailure = "";

  private constructor(kernel: Kernel, request: NetworkRequest, told: (line: string) => void) {
    this.#kernel = kernel;
    this.#request = request;
    this.#told = told;
    this.#names = new NameServers(kernel, told);
  }

  /**
   * Takes the machine's links over, and begins to ask on them. Never throws: what does not work is told, and gives no way.
   *
   * @param told gets a line for whatever somebody may want to know of
   * @param random from 0 to less than 1
   */
  static open(
    kernel: Kernel,
    request: NetworkRequest,
    told: (line: string) => void,
    random: () => number = Math.random,
  ): MachineNetwork {
    const network = new MachineNetwork(kernel, request, told);
    if (MachineNetwork.wanted(request)) network.#begin(random);
    return network;
  }

  /** Whether the machine is to have a network at all. */
  static wanted(request: NetworkRequest): boolean {
    return networkWanted(request);
  }

  #begin(random: () => number): void {
    try {
      const socket = new RouteSocket(this.#kernel);
      try {
        const desk = { kernel: this.#kernel, socket, request: this.#request, told: this.#told, random };
        const links = new MachineLinks(desk);
        const setup = new Setup(socket, this.#told);
        links.onLoss = (index, gone) => setup.forget(index, gone);
        this.#open = { links, socket, setup };
      } catch (error) {
        socket.close();
        throw error;
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#told(`network: the kernel has no links to set up: ${error.message}`);
      return;
    }
    this.turn();
    this.#startUpkeep();
  }

  #startUpkeep(): void {
    if (this.#open !== null) this.#upkeep ??= setInterval(() => this.#keepUp(), UPKEEP_MS);
  }

  /** Nothing that goes wrong here may end PID 1. */
  #keepUp(): void {
    try {
      this.turn();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (text !== this.#lastFailure) this.#told(`network: ${text}`);
    this.#lastFailure = text;
  }

  #stopUpkeep(): void {
    if (this.#upkeep !== null) clearInterval(this.#upkeep);
    this.#upkeep = null;
  }

  /** Takes what came on the links, and does what is due: leases are renewed, links that appear are asked. Timers call it. */
  turn(): void {
    if (this.#open === null) return;
    const nowMs = this.#kernel.now().bootMs;
    const { links } = this.#open;
    try {
      links.turn(nowMs);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#fail(error);
    }
    const known = links.all.map((link) => link.offered(nowMs));
    this.#offers = offersOf(this.#request, known);
    this.#apply();
  }

  /** Sets up what the current way is now, with those that were declared together with it. */
  #apply(): void {
    if (this.#open === null) return;
    const { links, setup } = this.#open;
    const current = this.#offers.find(({ id }) => id === this.#current);
    const offers = current === undefined ? [] : setUpWith(current, this.#offers);
    links.own = new Set(offers.flatMap(({ addresses }) => addresses.map(({ own }) => printPrefixed(own))));
    const mtus = new Map(links.all.map(({ facts }) => [facts.index, facts.mtu]));
    setup.become(offers, (index) => mtus.get(index) ?? 0);
    if (current === undefined) return;
    const servers = offers.flatMap(({ nameservers }) => nameservers);
    this.#names.become(
      servers,
      offers.flatMap(({ search }) => search),
    );
  }

  /**
   * Every way to the network that comes up, one after the other, each made the one that is used (addresses, routes,
   * /etc/resolv.conf) before it is given. A link is given again when it has become another way meanwhile: plugged in again,
   * another address, routers of IPv6 that were not there before, but no more than four times. Ends when nothing more can come up within `waitMs`. May be asked
   * again: the way that the last asker was content with is given first. Waits by timers, and never blocks for longer than 250 ms.
   */
  async *ways(waitMs: number, signal: AbortSignal): AsyncGenerator<Way> {
    const given: Given = new Map();
    try {
      for (;;) {
        this.#stopUpkeep();
        const offer = await this.#next(given, waitMs, signal);
        if (offer === null) {
          // Nobody was content with any: whoever asks next gets them all, best first.
          if (!signal.aborted) this.#content = null;
          return;
        }
        const way = this.#use(offer, given);
        this.#startUpkeep();
        yield way;
      }
    } finally {
      this.#startUpkeep();
    }
  }

  /** The best offer that was not given yet, after waiting for it; null: there will be none. */
  async #next(given: Given, waitMs: number, signal: AbortSignal): Promise<Offer | null> {
    const beganMs = this.#kernel.now().bootMs;
    while (this.#open !== null && !signal.aborted) {
      this.turn();
      const nowMs = this.#kernel.now().bootMs;
      const { links } = this.#open;
      const ready = this.#offers.filter((offer) => offer.carrier && this.#isNews(offer, given));
      const proven = given.size === 0 ? ready.find(({ id }) => id === this.#content) : undefined;
      const [first] = ready;
      const waiting = { links: links.all, request: this.#request, offers: this.#offers, nowMs, waitMs };
      if (proven !== undefined) return proven;
      const leftMs = beganMs + waitMs - nowMs;
      if (first !== undefined && (leftMs <= 0 || !awaited(waiting, first))) return first;
      if (leftMs <= 0 || (first === undefined && given.size > 0 && !canCome(waiting))) return null;
      this.#kernel.poll(links.descriptors, Math.min(SLICE_MS, leftMs));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return null;
  }

  #isNews(offer: Offer, given: Given): boolean {
    const before = given.get(offer.id) ?? [];
    return before.length < MOST_TIMES && !before.includes(this.#versionOf(offer));
  }

  /** The same for as long as nothing about the way has changed that could make it lead somewhere else. */
  #versionOf(offer: Offer): string {
    const plugs = this.#open?.links.all.find(({ index }) => index === offer.index)?.plugs ?? 0;
    const own = offer.addresses.map((address) => printPrefixed(address.own));
    return [offer.id, plugs, ...own, offer.heard.length > 0 ? "heard" : ""].join(" ");
  }

  #use(offer: Offer, given: Given): Way {
    this.#current = offer.id;
    this.#content = offer.id;
    this.#apply();
    const { link, by, proxy } = offer;
    // What was declared for the same link is the same way.
    const same = setUpWith(offer, this.#offers).filter(({ index }) => index === offer.index);
    for (const one of same) given.set(one.id, [...(given.get(one.id) ?? []), this.#versionOf(one)]);
    const addresses = same.flatMap(offerAddresses);
    const nameservers = [...new Set(same.flatMap((one) => one.nameservers))];
    this.#told(`network: ${link} by ${by}, ${addresses.join(", ")}`);
    return { link, by, addresses, nameservers, proxy };
  }

  /** Of the links, for people: "192.0.2.10/24 on eth0". Those of the way that is used first. */
  addresses(): string[] {
    const sorted = [...this.#offers].sort((one, other) => Number(other.id === this.#current) - Number(one.id === this.#current));
    const used = sorted.filter(({ id, heard }) => id === this.#current || heard.length > 0);
    const shown = used.flatMap((offer) => {
      const prefixed = offer.id === this.#current ? offerAddresses(offer) : offer.heard.map(printPrefixed);
      return prefixed.map((address) => `${address} on ${offer.link}`);
    });
    return [...new Set(shown)];
  }

  /** Ends what is under way, and takes down what was set up, so that the system's own network manager finds links untouched. */
  close(): void {
    this.#stopUpkeep();
    if (this.#open === null) return;
    const { links, socket, setup } = this.#open;
    this.#open = null;
    this.#offers = [];
    this.#current = null;
    this.#content = null;
    setup.close();
    links.close();
    socket.close();
    this.#names.close();
  }
}
