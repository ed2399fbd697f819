/** One link of the machine: brought up, watched, asked for an address. */

import { linkSettings, type NetworkRequest, type OfferedLink, wantsDhcp } from "../../../boot/network/offers.ts";
import type { LinkFacts } from "../../../boot/network/rtnetlink.ts";
import { parseHardware } from "../../../state-ops/ip-address.ts";
import { readTextIfThere, writeSetting } from "../../kernel/files.ts";
import { type Kernel, KernelError } from "../../kernel/kernel.ts";
import { DhcpLink } from "./dhcp-link.ts";
import type { RouteSocket } from "./route-socket.ts";
import { RouterNames } from "./router-names.ts";

/** What every link needs. */
export interface LinkDesk {
  kernel: Kernel;
  socket: RouteSocket;
  request: NetworkRequest;
  told: (line: string) => void;
  /** From 0 to less than 1. */
  random: () => number;
}

/** Listens to routers of IPv6 and makes addresses of what they say: Documentation/networking/ip-sysctl.rst. */
const LISTENING = ["accept_ra", "autoconf"] as const;

export class MachineLink {
  readonly #desk: LinkDesk;
  readonly names = new RouterNames();
  facts: LinkFacts;
  /** Of IPv6, as the kernel knows it. */
  router: Pick<OfferedLink["router"], "addresses" | "gateway"> = { addresses: [], gateway: null };
  /** When it was taken over, and when it last got or lost its carrier. */
  readonly sinceMs: number;
  carrierSinceMs: number;
  /** How often it got one. */
  plugs = 0;
  /** Null: nobody is asked on it. */
  dhcp: DhcpLink | null = null;
  /** What is to be put back at the end. */
  readonly #was: { up: boolean; hardware: Uint8Array | null; settings: [path: string, value: string][] };

  constructor(desk: LinkDesk, facts: LinkFacts, nowMs: number) {
    this.#desk = desk;
    this.facts = facts;
    this.sinceMs = nowMs;
    this.carrierSinceMs = nowMs;
    this.plugs = facts.carrier ? 1 : 0;
    this.#was = { up: facts.up, hardware: null, settings: [] };
    this.#start();
  }

  get name(): string {
    return this.facts.name;
  }
  get index(): number {
    return this.facts.index;
  }

  #start(): void {
    const { request, kernel, random, told } = this.#desk;
    const settings = linkSettings(request.words, this.facts);
    const hardware = settings.hardware === null ? null : parseHardware(settings.hardware);
    if (hardware !== null && this.#change({ up: null, hardware })) {
      this.#was.hardware = this.facts.hardware;
      this.facts = { ...this.facts, hardware };
    }
    for (const name of LISTENING) this.#listen(name);
    if (!this.facts.up) this.#change({ up: true, hardware: null });
    if (!wantsDhcp(request, this.facts)) return;
    const identity = { hardware: this.facts.hardware, hostname: settings.hostname };
    try {
      this.dhcp = new DhcpLink(kernel, this.facts, identity, random, told);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      told(`${this.name}: DHCP cannot be asked: ${error.message}; is the module af_packet in the initrd?`);
    }
  }

  /** A kernel without IPv6 has no such setting, and what cannot be set is left as it is. */
  #listen(setting: string): void {
    const { kernel } = this.#desk;
    const path = `/proc/sys/net/ipv6/conf/${this.name}/${setting}`;
    const value = readTextIfThere(kernel, path)?.trim();
    if (value !== "0") return;
    try {
      writeSetting(kernel, path, "1");
      this.#was.settings.push([path, value]);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  #change({ up, hardware }: { up: boolean | null; hardware: Uint8Array | null }): boolean {
    const { socket, told } = this.#desk;
    try {
      socket.change({ ask: "change-link", link: this.index, up, mtu: null, hardware }, this.name);
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      told(`network: ${error.message}`);
      return false;
    }
  }

  /** What the kernel says of it now. */
  update(facts: LinkFacts, nowMs: number): void {
    if (facts.carrier !== this.facts.carrier) {
      this.carrierSinceMs = nowMs;
      this.#desk.told(`${facts.name}: ${facts.carrier ? "carrier" : "carrier lost"}`);
      if (facts.carrier) {
        this.plugs++;
        this.names.clear();
      }
    }
    const fell = this.facts.up && !facts.up;
    this.facts = facts;
    // Somebody else took it down, or its driver did: it is needed up.
    if (fell) this.#change({ up: true, hardware: null });
  }

  /** What it is for {@link offersOf}. */
  offered(nowMs: number): OfferedLink {
    const { index, name, hardware, carrier } = this.facts;
    const { addresses, gateway } = this.router;
    const router = { addresses, gateway, nameservers: this.names.nameservers(nowMs), search: this.names.search(nowMs) };
    return { index, name, hardware, carrier, lease: this.dhcp?.lease ?? null, router };
  }

  /** The link is gone: there is nothing to put back. */
  vanish(): void {
    this.dhcp?.close();
    this.dhcp = null;
  }

  /** Puts everything back. Taking it down takes what routers gave with it. */
  close(): void {
    this.vanish();
    if (!this.#was.up) this.#change({ up: false, hardware: null });
    if (this.#was.hardware !== null) this.#change({ up: null, hardware: this.#was.hardware });
    for (const [path, value] of this.#was.settings) {
      try {
        writeSetting(this.#desk.kernel, path, value);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
      }
    }
  }
}
