import type { AddressFacts, LinkFacts, RouteFacts } from "../../../boot/network/rtnetlink.ts";

/** What sockets in memory have to do with the links of their machine. */
export interface LinksInMemory {
  readonly links: ReadonlyMap<number, LinkFacts>;
  readonly addresses: readonly AddressFacts[];
  readonly routes: readonly RouteFacts[];
  nameOf(index: number): string;
  routeText(route: Omit<RouteFacts, "by" | "table">): string;
  changeLink(index: number, change: { up: boolean | null; mtu: number | null; hardware: Uint8Array | null }): void;
  addAddress(address: AddressFacts): void;
  removeAddress(address: AddressFacts): void;
  addRoute(route: RouteFacts): void;
  removeRoute(route: RouteFacts): void;
  transmit(index: number, frame: Uint8Array): void;
}
