/** All links of the machine that take part in its network, kept up to date by the kernel's news. */

import { linkTakesPart } from "../../../boot/network/offers.ts";
import {
  ADDRESS_FLAG,
  type AddressFacts,
  HARDWARE,
  NEWS_GROUPS,
  ROUTE_BY,
  type RouteFacts,
  readMessages,
} from "../../../boot/network/rtnetlink.ts";
import { SCOPE } from "../../../boot/network/rtnetlink-numbers.ts";
import { printPrefixed } from "../../../state-ops/ip-address.ts";
import { type Descriptor, KernelError } from "../../kernel/kernel.ts";
import { type LinkDesk, MachineLink } from "./machine-link.ts";
import { openRouteSocket } from "./route-socket.ts";

const PIECE = 65_536;
/** Pieces of news that are taken at once: a link that comes and goes all the time shall not keep us here. */
const MOST_PIECES = 256;
const UNUSABLE = ADDRESS_FLAG.tentative | ADDRESS_FLAG.dadFailed | ADDRESS_FLAG.deprecated;
/** Even where no news comes, the kernel is asked so often: news may be lost without a word. */
const LOOK_AGAIN_MS = 10_000;

export class MachineLinks {
  readonly #desk: LinkDesk;
  readonly #news: Descriptor;
  readonly #links = new Map<number, MachineLink>();
  /** Index of the loopback, where it was down before. */
  #loopback: number | null = null;
  #lookedMs = Number.NEGATIVE_INFINITY;
  /** Addresses of IPv6 that are ours, as text: what is set up is nothing that a router gave. */
  own: ReadonlySet<string> = new Set();
  /** Called with the index of a link that is gone, or that fell and lost its routes. */
  onLoss: (index: number, gone: boolean) => void = () => {};

  /** Throws KernelError. Listens before it looks, so that nothing that appears in between is missed. */
  constructor(desk: LinkDesk) {
    this.#desk = desk;
    this.#news = openRouteSocket(desk.kernel, NEWS_GROUPS);
  }

  get all(): MachineLink[] {
    return [...this.#links.values()];
  }

  /** Descriptors on which something may come. */
  get descriptors(): Descriptor[] {
    return [this.#news, ...this.all.flatMap(({ dhcp }) => (dhcp ? [dhcp.fd] : []))];
  }

  /** Takes what came, and does what is due. Throws KernelError where the kernel does not answer at all. */
  turn(nowMs: number): void {
    try {
      if (this.#takeNews(nowMs) || nowMs - this.#lookedMs >= LOOK_AGAIN_MS) this.#look(nowMs);
    } finally {
      for (const link of this.all) link.dhcp?.turn(link.facts.carrier, nowMs);
    }
  }

  /** True where something changed, or news was lost. */
  #takeNews(nowMs: number): boolean {
    let changed = false;
    for (let pieces = 0; pieces < MOST_PIECES; pieces++) {
      try {
        const bytes = this.#desk.kernel.receive(this.#news, PIECE);
        if (bytes === null) break;
        for (const message of readMessages(bytes)) {
          if (message.is === "router-options") this.#links.get(message.link)?.names.take(message.options, nowMs);
          else changed = true;
        }
      } catch (error) {
        // ENOBUFS: the kernel had to drop some.
        if (!(error instanceof KernelError)) throw error;
        changed = true;
      }
    }
    return changed;
  }

  #look(nowMs: number): void {
    const { socket, request } = this.#desk;
    this.#lookedMs = nowMs;
    const facts = new Map(socket.links().map((link) => [link.index, link]));
    for (const [index, link] of this.#links) {
      const now = facts.get(index);
      if (now === undefined) {
        this.#desk.told(`${link.name}: the link is gone`);
        link.vanish();
        this.#links.delete(index);
        this.onLoss(index, true);
      } else {
        if (link.facts.up && !now.up) this.onLoss(index, false);
        link.update(now, nowMs);
      }
    }
    for (const link of facts.values()) {
      if (link.type === HARDWARE.loopback) this.#raiseLoopback(link.index, link.up);
      else if (link.type === HARDWARE.ethernet && link.master === 0 && !this.#links.has(link.index)) {
        if (linkTakesPart(request, link)) this.#links.set(link.index, new MachineLink(this.#desk, link, nowMs));
      }
    }
    this.#hearRouters(socket.addresses(), socket.routes());
  }

  #raiseLoopback(index: number, up: boolean): void {
    if (up || this.#loopback !== null) return;
    this.#loopback = index;
    this.#changeLoopback(index, true);
  }

  #changeLoopback(index: number, up: boolean): void {
    try {
      this.#desk.socket.change({ ask: "change-link", link: index, up, mtu: null, hardware: null }, "lo");
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#desk.told(`network: ${error.message}`);
    }
  }

  #hearRouters(addresses: AddressFacts[], routes: RouteFacts[]): void {
    for (const link of this.#links.values()) {
      const usable = addresses.filter((one) => one.link === link.index && this.#isHeard(one));
      const way = routes.find(
        ({ link: on, by, destination, gateway }) =>
          on === link.index && by === ROUTE_BY.router && destination.prefix === 0 && gateway !== null,
      );
      link.router = { addresses: usable, gateway: way?.gateway ?? null };
    }
  }

  /** An address of IPv6 for more than its link that the kernel made of a router's words and that can be used. */
  #isHeard(facts: AddressFacts): boolean {
    // fec0::/10, which QEMU's network has, is of its site: RT_SCOPE_SITE.
    const wide = facts.scope < SCOPE.LINK;
    return facts.address.length === 16 && wide && (facts.flags & UNUSABLE) === 0 && !this.own.has(printPrefixed(facts));
  }

  /** Puts everything back. */
  close(): void {
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
    if (this.#loopback !== null) this.#changeLoopback(this.#loopback, false);
    this.#desk.kernel.close(this.#news);
  }
}
