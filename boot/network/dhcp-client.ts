/**
 * A client of DHCP for IPv4 on one link: the machine of states of RFC 2131 4.4, without a clock, a socket or chance of its own.
 * Times are milliseconds of one clock, which the caller passes in.
 */

import { type IpAddress, printAddress, printPrefixed, sameBytes } from "../../state-ops/ip-address.ts";
import type { DhcpFrame } from "./dhcp-frame.ts";
import { type Lease, readLease } from "./dhcp-lease.ts";
import { DHCP, type DhcpMessage, messageType, OPTION } from "./dhcp-message.ts";

export interface DhcpIdentity {
  /** Of the link. */
  hardware: Uint8Array;
  /** Told to the server; null: nothing is. */
  hostname: string | null;
}

/** What is to be done for the client, in this order. */
export type DhcpAction =
  /** `to` null: to everybody on the link. */
  | { do: "send"; message: DhcpMessage; to: { address: IpAddress; hardware: Uint8Array } | null }
  /** The address is ours from now on, or goes on being so; its other settings may have changed. */
  | { do: "use"; lease: Lease }
  /** It is no longer. */
  | { do: "drop"; why: string };

type State =
  | { is: "resting" | "waiting" | "bound" }
  | { is: "selecting"; transaction: number; tries: number }
  | { is: "requesting"; transaction: number; tries: number; offer: Lease; sentMs: number }
  /** After the link was away: whether the lease still holds there. */
  | { is: "rebooting"; transaction: number; tries: number; sentMs: number }
  | { is: "renewing" | "rebinding"; transaction: number; sentMs: number };

const FIRST_MS = 1000;
const LONGEST_MS = 32_000;
/** So often a request is sent before the server counts as one that does not stand by its offer. */
const REQUESTS = 4;
/** So often a machine that was away asks for its old lease. */
const REBOOTS = 3;
/** RFC 2131 4.4.5: no renewal is asked for more often, unless the lease is short. */
const LEAST_RENEWAL_MS = 60_000;
/** From the third try on, servers are asked to answer to everybody: some cannot reach one who has no address yet. */
const TRIES_BEFORE_BROADCAST = 2;
const NOTHING = new Uint8Array(4);
const PARAMETERS = Uint8Array.of(
  ...[OPTION.netmask, OPTION.routes, OPTION.routers, OPTION.nameservers, OPTION.domain, OPTION.search, OPTION.mtu],
  ...[OPTION.leaseTime, OPTION.server, OPTION.renewal, OPTION.rebinding, OPTION.microsoftRoutes],
);

export class DhcpClient {
  readonly #identity: DhcpIdentity;
  readonly #random: () => number;
  #state: State = { is: "resting" };
  #held: { lease: Lease; sinceMs: number; hardware: Uint8Array } | null = null;
  #dueMs = Number.POSITIVE_INFINITY;
  #beganMs = 0;
  /** Refusals and broken promises in a row. */
  #refused = 0;

  /** @param random from 0 to less than 1 */
  constructor(identity: DhcpIdentity, random: () => number) {
    this.#identity = identity;
    this.#random = random;
  }

  /** When {@link tick} has something to do; Infinity: never. */
  get dueMs(): number {
    return this.#dueMs;
  }

  get lease(): Lease | null {
    return this.#held?.lease ?? null;
  }

  /** For people: "is asking", "has 192.0.2.7/24". */
  get condition(): string {
    if (this.#held === null) return this.#state.is === "resting" ? "rests" : "is asking";
    return `has ${printPrefixed(this.#held.lease.address)}`;
  }

  /** The link can carry messages. A lease that still runs is asked for again, since this may be another network. */
  begin(nowMs: number): DhcpAction[] {
    if (this.#state.is !== "resting") return [];
    this.#beganMs = nowMs;
    this.#refused = 0;
    if (this.#held !== null) {
      this.#state = { is: "rebooting", transaction: this.#transaction(), tries: 0, sentMs: nowMs };
      return this.tick(this.#at(nowMs));
    }
    return this.#select(nowMs);
  }

  /** The link carries nothing: nothing is asked until it does again. The lease runs on. */
  rest(): void {
    this.#state = { is: "resting" };
    this.#dueMs = this.#held ? this.#held.sinceMs + this.#held.lease.lengthMs : Number.POSITIVE_INFINITY;
  }

  /** Does what is due. */
  tick(nowMs: number): DhcpAction[] {
    if (nowMs < this.#dueMs) return [];
    const expiredMs = this.#held ? this.#held.sinceMs + this.#held.lease.lengthMs : Number.POSITIVE_INFINITY;
    if (nowMs >= expiredMs) {
      const resting = this.#state.is === "resting";
      const dropped = this.#drop("its lease ran out, and no server prolonged it");
      if (!resting) return [...dropped, ...this.#select(nowMs)];
      this.#dueMs = Number.POSITIVE_INFINITY;
      return dropped;
    }
    const state = this.#state;
    switch (state.is) {
      case "resting":
        return [];
      case "waiting":
        return this.#select(nowMs);
      case "selecting":
        this.#dueMs = nowMs + this.#backoff(state.tries);
        return [this.#send(DHCP.discover, state, nowMs, NOTHING, state.tries++ >= TRIES_BEFORE_BROADCAST)];
      case "requesting":
        return state.tries < REQUESTS ? this.#request(state, state.offer.address.address, nowMs) : this.#again(nowMs);
      case "rebooting": {
        const asked = this.#held?.lease.address.address ?? NOTHING;
        if (state.tries < REBOOTS) return this.#request(state, asked, nowMs);
        return [...this.#drop("no server confirms it after the link was away"), ...this.#select(nowMs)];
      }
      default:
        return this.#prolong(nowMs);
    }
  }

  /** A message that came on the link. What is not for us, or makes no sense, changes nothing. */
  receive({ message, from }: DhcpFrame, nowMs: number): DhcpAction[] {
    const state = this.#state;
    if (!("transaction" in state) || message.operation !== 2 || message.transaction !== state.transaction) return [];
    if (!sameBytes(message.hardware, this.#identity.hardware)) return [];
    const type = messageType(message);
    if (type === DHCP.nak) return this.#refuse(state, message, nowMs);
    const lease = readLease(message);
    if (lease === null) return [];
    if (state.is === "selecting" && type === DHCP.offer) {
      this.#state = { is: "requesting", transaction: state.transaction, tries: 0, offer: lease, sentMs: nowMs };
      return this.tick(this.#at(nowMs));
    }
    if (state.is === "selecting" || type !== DHCP.ack) return [];
    if (state.is === "requesting" && !sameBytes(state.offer.server, lease.server)) return [];
    return this.#bind(lease, from, state.sentMs, nowMs);
  }

  #bind(lease: Lease, hardware: Uint8Array, sinceMs: number, nowMs: number): DhcpAction[] {
    const before = this.#held?.lease.address;
    const moved = before !== undefined && !sameBytes(before.address, lease.address.address);
    const dropped = moved ? this.#drop(`the server gives ${printPrefixed(lease.address)} instead`) : [];
    this.#held = { lease, sinceMs, hardware };
    this.#state = { is: "bound" };
    this.#refused = 0;
    // One that came so late that its renewal is due is prolonged with the next tick, not within this one.
    this.#dueMs = Math.max(nowMs, sinceMs + lease.renewalMs);
    return [...dropped, { do: "use", lease }];
  }

  #refuse(state: State, message: DhcpMessage, nowMs: number): DhcpAction[] {
    if (state.is === "selecting") return [];
    const server = message.options.get(OPTION.server) ?? NOTHING;
    const asked = state.is === "requesting" ? state.offer.server : state.is === "renewing" ? this.#held?.lease.server : server;
    // Only the server that was asked may refuse.
    if (asked === undefined || !sameBytes(server, asked)) return [];
    return [...this.#drop(`the DHCP server ${printAddress(server)} takes it back`), ...this.#again(nowMs)];
  }

  /** From the beginning, after a pause that grows: a server that offers and then refuses must not keep us busy. */
  #again(nowMs: number): DhcpAction[] {
    this.#dueMs = nowMs + this.#backoff(this.#refused++);
    this.#state = { is: "waiting" };
    return [];
  }

  #select(nowMs: number): DhcpAction[] {
    this.#state = { is: "selecting", transaction: this.#transaction(), tries: 0 };
    this.#beganMs = nowMs;
    return this.tick(this.#at(nowMs));
  }

  #request(state: Extract<State, { tries: number }>, address: IpAddress, nowMs: number): DhcpAction[] {
    this.#dueMs = nowMs + this.#backoff(state.tries);
    if ("sentMs" in state) state.sentMs = nowMs;
    const server = state.is === "requesting" ? [[OPTION.server, state.offer.server] as const] : [];
    const broadcast = state.tries++ >= TRIES_BEFORE_BROADCAST;
    return [this.#send(DHCP.request, state, nowMs, NOTHING, broadcast, [[OPTION.requestedAddress, address], ...server])];
  }

  /** RFC 2131 4.4.5: first the server that gave it, later every server, each time after half of what is left until then. */
  #prolong(nowMs: number): DhcpAction[] {
    if (this.#held === null) return this.#select(nowMs);
    const { lease, sinceMs, hardware } = this.#held;
    const rebindMs = sinceMs + lease.rebindingMs;
    const is = nowMs < rebindMs ? "renewing" : "rebinding";
    const untilMs = is === "renewing" ? rebindMs : sinceMs + lease.lengthMs;
    const transaction = this.#state.is === is ? this.#state.transaction : this.#transaction();
    this.#state = { is, transaction, sentMs: nowMs };
    const least = Math.min(LEAST_RENEWAL_MS, lease.lengthMs / 16);
    this.#dueMs = Math.min(untilMs, nowMs + Math.max(least, (untilMs - nowMs) / 2));
    const sent = this.#send(DHCP.request, { transaction }, nowMs, lease.address.address, false);
    return [is === "renewing" ? { ...sent, to: { address: lease.server, hardware } } : sent];
  }

  #drop(why: string): DhcpAction[] {
    if (this.#held === null) return [];
    this.#held = null;
    return [{ do: "drop", why }];
  }

  #at(nowMs: number): number {
    this.#dueMs = nowMs;
    return nowMs;
  }

  #transaction(): number {
    return Math.floor(this.#random() * 0x1_0000_0000);
  }

  /** Doubles with each try; a quarter more or less, so that machines that started together do not stay together. */
  #backoff(tries: number): number {
    return Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 10)) * (0.75 + this.#random() / 2);
  }

  #send(
    type: number,
    { transaction }: { transaction: number },
    nowMs: number,
    client: IpAddress,
    broadcast: boolean,
    more: readonly (readonly [number, Uint8Array])[] = [],
  ): Extract<DhcpAction, { do: "send" }> {
    const { hardware, hostname } = this.#identity;
    const options = new Map<number, Uint8Array>([
      [OPTION.messageType, Uint8Array.of(type)],
      ...more,
      [OPTION.parameters, PARAMETERS],
      [OPTION.longestMessage, Uint8Array.of(1472 >> 8, 1472 & 0xff)],
      [OPTION.clientId, Uint8Array.of(1, ...hardware)],
      [OPTION.vendorClass, new TextEncoder().encode("slipway")],
    ]);
    if (hostname !== null) options.set(OPTION.hostname, new TextEncoder().encode(hostname.slice(0, 63)));
    const seconds = Math.max(0, Math.floor((nowMs - this.#beganMs) / 1000));
    const message: DhcpMessage = { operation: 1, transaction, seconds, broadcast, client, yours: NOTHING, hardware, options };
    return { do: "send", message, to: null };
  }
}
