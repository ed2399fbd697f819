/** Every way in which the links of a machine can be set up, the best first: from what was said of them and what they answer. */

import {
  type IpAddress,
  isWithin,
  type Prefixed,
  parseAddress,
  parsePrefixed,
  printAddress,
  printHardware,
  printPrefixed,
} from "../../state-ops/ip-address.ts";
import type { RecoveryNetwork, StaticLink } from "../../state-ops/recovery.ts";
import type { Lease } from "./dhcp-lease.ts";
import type { IpWord } from "./ip-word.ts";
import type { NetworkWords } from "./ip-words.ts";
import type { NetworkProfile } from "./profile.ts";

/** Who says how a link is set up. */
export type OfferBy = "ip=" | "control file" | "profile" | "DHCP" | "router advertisement";

export interface NetworkRequest {
  /** From the kernel's command line. */
  words: NetworkWords;
  /** From the control file. */
  settings: RecoveryNetwork;
  /** What the healthy system last used; null: unknown. */
  profile: NetworkProfile | null;
}

/** What a router of IPv6 gave a link. */
export interface RouterFacts {
  /** Those that can be used by now. */
  addresses: Prefixed[];
  /** Null: none wants to be the way out. */
  gateway: IpAddress | null;
  nameservers: IpAddress[];
  search: string[];
}

export interface OfferedLink {
  index: number;
  name: string;
  hardware: Uint8Array;
  carrier: boolean;
  lease: Lease | null;
  router: RouterFacts;
}

export interface OfferedRoute {
  destination: Prefixed;
  /** Null: it is on the link. */
  gateway: IpAddress | null;
}

export interface Offer {
  /** The same for as long as it is the same link and the same who says it. */
  id: string;
  by: OfferBy;
  /** Which word or entry says it, where several do; "" for servers and routers. One that is about every link makes several offers. */
  which: string;
  index: number;
  link: string;
  /** Whether anything can be sent on the link. */
  carrier: boolean;
  /** To be set up; {@link heard} are there already. */
  addresses: { own: Prefixed; peer: IpAddress | null }[];
  /** Addresses that the kernel made of a router's words. */
  heard: Prefixed[];
  routes: OfferedRoute[];
  /** For resolv.conf, with their zone where they are of the link. */
  nameservers: string[];
  search: string[];
  /** Bytes; null: as it is. */
  mtu: number | null;
  /** "http://HOST:PORT"; null: none. */
  proxy: string | null;
}

/** Whether the machine is to have a network at all. */
export function networkWanted({ words, settings }: NetworkRequest): boolean {
  return !words.off && (words.links.length > 0 || settings.mode !== "off");
}

export function linkMatches(wanted: string | null, link: { name: string; hardware: Uint8Array }): boolean {
  return wanted === null || wanted === link.name || wanted.toLowerCase() === printHardware(link.hardware);
}

/** Whether the word says that its link is left alone: `ip=eth1:off`. */
function leavesAlone(word: IpWord): boolean {
  return word.link !== null && word.addresses.length === 0 && !word.dhcp && !word.router;
}

/** Whether the link has a part in the network: with `network: off` only those that `ip=` names. */
export function linkTakesPart({ words, settings }: NetworkRequest, link: { name: string; hardware: Uint8Array }): boolean {
  const about = words.links.filter((word) => linkMatches(word.link, link));
  if (about.some(leavesAlone)) return false;
  return settings.mode !== "off" || about.length > 0;
}

/** What `ip=` says of a link's hardware address, size of packets and host name; of several words the first that says it. */
export function linkSettings(words: NetworkWords, link: { name: string; hardware: Uint8Array }) {
  const about = words.links.filter((word) => linkMatches(word.link, link));
  return {
    hardware: about.find((word) => word.hardware !== null)?.hardware ?? null,
    mtu: about.find((word) => word.mtu !== null)?.mtu ?? null,
    hostname: about.find((word) => word.hostname !== null)?.hostname ?? null,
  };
}

/** Whether DHCP is asked on the link: not where `network: off` leaves only words that say something else. */
export function wantsDhcp(request: NetworkRequest, link: { name: string; hardware: Uint8Array }): boolean {
  if (!linkTakesPart(request, link)) return false;
  const about = request.words.links.filter((word) => linkMatches(word.link, link));
  return request.settings.mode !== "off" || about.some((word) => word.dhcp);
}

/**
 * What can be set up by now, best first: `ip=` in the order of its words, the control file's links, what servers and routers
 * give on every link, the profile. Each link's server and routers are one offer.
 */
export function offersOf(request: NetworkRequest, links: readonly OfferedLink[]): Offer[] {
  const { words, settings, profile } = request;
  const taking = links.filter((link) => linkTakesPart(request, link));
  const sorted = [...taking].sort((one, other) => rank(words, one) - rank(words, other) || one.index - other.index);
  const offers: Offer[] = [];
  const put = (offer: Offer | null): void => {
    if (offer !== null && !offers.some(({ id }) => id === offer.id)) offers.push(offer);
  };
  const preferred = [...words.links].sort((one, other) => wordRank(words, one) - wordRank(words, other));
  for (const [at, word] of preferred.entries()) {
    for (const link of sorted.filter((one) => linkMatches(word.link, one))) {
      if (word.addresses.length > 0) put(fixedOffer("ip=", String(at), link, word, words, word.mtu, null));
      if (word.dhcp || word.router) put(heardOffer(link, words, { dhcp: word.dhcp, router: word.router }));
    }
  }
  if (settings.mode === "static") {
    for (const [at, fixed] of settings.links.entries()) {
      const matching = sorted.filter((link) => linkMatches(fixed.link, link));
      for (const link of matching) put(fixedOffer("control file", String(at), link, fixed, words, null, null));
    }
  }
  if (settings.mode !== "off") for (const link of sorted) put(heardOffer(link, words, { dhcp: true, router: true }));
  if (settings.mode !== "off" && profile !== null) {
    for (const known of profile.links.filter(({ addresses }) => addresses.length > 0)) {
      const link = sorted.find((one) => printHardware(one.hardware) === known.hardware) ?? byName(known, profile, sorted);
      const fixed = { addresses: known.addresses, gateways: known.gateways, nameservers: profile.nameservers };
      if (link) put(fixedOffer("profile", known.hardware, link, fixed, words, null, profile.proxy));
    }
  }
  return offers;
}

/** A link whose hardware was exchanged is known by its name, unless another of the profile has that one. */
function byName(known: { name: string }, profile: NetworkProfile, links: readonly OfferedLink[]): OfferedLink | undefined {
  const others = new Set(profile.links.map(({ hardware }) => hardware));
  return links.find((link) => link.name === known.name && !others.has(printHardware(link.hardware)));
}

function rank(words: NetworkWords, link: OfferedLink): number {
  return words.preferred !== null && linkMatches(words.preferred, link) ? 0 : 1;
}

function wordRank(words: NetworkWords, word: IpWord): number {
  return words.preferred !== null && word.link === words.preferred ? 0 : 1;
}

function fixedOffer(
  by: OfferBy,
  which: string,
  link: OfferedLink,
  fixed: Pick<StaticLink, "addresses" | "gateways" | "nameservers"> & { peer?: string | null },
  words: NetworkWords,
  mtu: number | null,
  proxy: string | null,
): Offer {
  const peer = fixed.peer ? parseAddress(fixed.peer) : null;
  const addresses = fixed.addresses.flatMap((text) => {
    const own = parsePrefixed(text);
    return own === null ? [] : [{ own, peer: peer?.length === own.address.length ? peer : null }];
  });
  const routes = fixed.gateways.flatMap((text): OfferedRoute[] => {
    const gateway = parseAddress(text);
    return gateway === null ? [] : [{ destination: { address: new Uint8Array(gateway.length), prefix: 0 }, gateway }];
  });
  const nameservers = fixed.nameservers.flatMap((text) => parseAddress(text) ?? []);
  const offer = { by, which, link, addresses, heard: [], routes, nameservers, search: [], mtu, proxy };
  return makeOffer(offer, words);
}

function heardOffer(link: OfferedLink, words: NetworkWords, wants: { dhcp: boolean; router: boolean }): Offer | null {
  const lease = wants.dhcp ? link.lease : null;
  const router = wants.router && link.router.addresses.length > 0 ? link.router : null;
  if (lease === null && router === null) return null;
  const gateway = router?.gateway ?? null;
  const routes: OfferedRoute[] = [...(lease?.routes ?? [])];
  if (gateway !== null) routes.push({ destination: { address: new Uint8Array(16), prefix: 0 }, gateway });
  const given = words.peerNameservers ? [...(lease?.nameservers ?? []), ...(router?.nameservers ?? [])] : [];
  return makeOffer(
    {
      ...{ by: lease ? "DHCP" : "router advertisement", which: "", link, heard: router?.addresses ?? [], routes, proxy: null },
      addresses: lease ? [{ own: lease.address, peer: null }] : [],
      nameservers: given,
      search: words.peerNameservers ? [...(lease?.search ?? []), ...(router?.search ?? [])] : [],
      mtu: linkSettings(words, link).mtu ?? lease?.mtu ?? null,
    },
    words,
  );
}

type Making = Pick<Offer, "by" | "which" | "addresses" | "heard" | "routes" | "search" | "mtu" | "proxy"> & {
  link: OfferedLink;
  nameservers: IpAddress[];
};

function makeOffer({ link, nameservers, ...rest }: Making, words: NetworkWords): Offer {
  const said = words.nameservers.flatMap((text) => parseAddress(text) ?? []);
  const zoned = (server: IpAddress): string => {
    const local = server.length === 16 && server[0] === 0xfe && ((server[1] ?? 0) & 0xc0) === 0x80;
    return local ? `${printAddress(server)}%${link.name}` : printAddress(server);
  };
  // A link whose server and routers come and go is the same offer in all of that.
  const who = rest.by === "DHCP" || rest.by === "router advertisement" ? "heard" : rest.by;
  return {
    ...rest,
    id: `${who} ${rest.which} ${link.index}`,
    ...{ index: link.index, link: link.name, carrier: link.carrier },
    routes: [...rest.routes, ...wordRoutes(words, link, rest.addresses)],
    nameservers: [...new Set([...said, ...nameservers].map(zoned))],
  };
}

/** `rd.route=` of this link: named there, or with a gateway in one of its networks. */
function wordRoutes(words: NetworkWords, link: OfferedLink, addresses: Offer["addresses"]): OfferedRoute[] {
  return words.routes.flatMap((word): OfferedRoute[] => {
    const destination = parsePrefixed(word.destination);
    const gateway = word.gateway === null ? null : parseAddress(word.gateway);
    const near = gateway !== null && addresses.some(({ own }) => own.address.length === gateway.length && isWithin(gateway, own));
    const ours = word.link === null ? near : linkMatches(word.link, link);
    return destination !== null && ours ? [{ destination, gateway }] : [];
  });
}

/** All its addresses as text, for people. */
export function offerAddresses(offer: Offer): string[] {
  return [...offer.addresses.map(({ own }) => own), ...offer.heard].map(printPrefixed);
}

/**
 * What is set up with an offer: where somebody declared it, everything that was declared with it, each word or entry on one link.
 * What servers and routers give is set up alone, so that nothing of a link that leads nowhere stands in the way.
 */
export function setUpWith(offer: Offer, offers: readonly Offer[]): Offer[] {
  if (offer.which === "") return [offer];
  const all = [offer];
  const others = offers.filter(({ by, which }) => by === offer.by && which !== offer.which);
  for (const which of new Set(others.map((other) => other.which))) {
    const same = others.filter((other) => other.which === which);
    const chosen = same.find(({ index }) => index === offer.index) ?? same[0];
    if (chosen) all.push(chosen);
  }
  return all;
}
