/** How long it is worth to wait for links and servers: times are milliseconds. */
import { linkMatches, type NetworkRequest, type Offer, wantsDhcp } from "../../../boot/network/offers.ts";
import type { MachineLink } from "./machine-link.ts";

/** A link that is up finds its other side, and a server answers, within this; better ones are waited for no longer. */
const BETTER_MS = 4000;
/** What the healthy system had is no better than what a server gives, which is waited for so long. */
const SERVER_MS = 8000;
/** Routers of IPv6 that were asked three times, four seconds apart, have answered by then (RFC 4861 10). */
const ROUTER_MS = 10_000;
/** A switch that looks for loops first opens its port after half a minute (IEEE 802.1D), most within this. */
const CARRIER_MS = 15_000;

export interface Waiting {
  links: readonly MachineLink[];
  request: NetworkRequest;
  offers: readonly Offer[];
  nowMs: number;
  waitMs: number;
}

/** Whether something better than `offer` may come so soon that it is waited for. */
export function awaited(waiting: Waiting, offer: Offer): boolean {
  const { links, request, nowMs } = waiting;
  const link = links.find(({ index }) => index === offer.index);
  if (offer.by === "profile") return links.some((one) => one.facts.carrier && unanswered(one, nowMs, SERVER_MS));
  // Two seconds more may bring the address of a server to what only a router has spoken for.
  if (offer.by === "router advertisement" && link !== undefined && unanswered(link, nowMs, BETTER_MS)) return true;
  const rank = waiting.offers.indexOf(offer);
  return links.some((one) => isDeclaredBetter(request, one, offer, link) && !isHere(one, waiting, rank) && isYoung(one, nowMs));
}

/** Whether the command line, or the control file, names the link and not that of `offer`. */
function isDeclaredBetter({ words, settings }: NetworkRequest, one: MachineLink, offer: Offer, link: MachineLink | undefined) {
  if (one.index === offer.index) return false;
  const named = (names: readonly { link: string | null }[], { facts }: MachineLink): boolean =>
    names.some(({ link: name }) => name !== null && linkMatches(name, facts));
  const preferred = words.preferred === null ? [] : [{ link: words.preferred }];
  const fixed = settings.mode === "static" ? settings.links : [];
  for (const names of [preferred, words.links, fixed]) {
    if (link !== undefined && named(names, link)) return false;
    if (named(names, one)) return true;
  }
  return false;
}

/** Whether it already gives something that can be used, or only something that is worse. */
function isHere(link: MachineLink, { offers }: Waiting, rank: number): boolean {
  const at = offers.findIndex(({ index }) => index === link.index);
  return at >= 0 && (offers[at]?.carrier === true || at > rank);
}

function isYoung(link: MachineLink, nowMs: number): boolean {
  return nowMs - (link.facts.carrier ? link.carrierSinceMs : link.sinceMs) < BETTER_MS;
}

/** Whether DHCP is asked there and has had less time than `ms`. */
function unanswered({ dhcp, carrierSinceMs }: MachineLink, nowMs: number, ms: number): boolean {
  return dhcp !== null && dhcp.lease === null && nowMs - carrierSinceMs < ms;
}

/** Whether another way may come up, after at least one has. */
export function canCome({ links, request, nowMs, waitMs }: Waiting): boolean {
  return links.some((link) => {
    const forMs = nowMs - link.carrierSinceMs;
    if (!link.facts.carrier) return nowMs - link.sinceMs < Math.min(waitMs, CARRIER_MS);
    if (wantsDhcp(request, link.facts) && link.dhcp !== null && link.dhcp.lease === null) return forMs < waitMs;
    return forMs < Math.min(waitMs, ROUTER_MS);
  });
}
