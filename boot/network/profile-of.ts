/** What of a running system's network is worth to be remembered. */
import {
  bitsOf,
  isHostIpv4,
  isLinkLocal,
  parseAddress,
  printAddress,
  printHardware,
  printPrefixed,
} from "../../state-ops/ip-address.ts";
import { proxyFault } from "../../state-ops/proxy-url.ts";
import { isLinkName, MOST_IN_PROFILE, type NetworkProfile, type ProfileLink } from "./profile.ts";
import { ADDRESS_FLAG, type AddressFacts, HARDWARE, type LinkFacts, type RouteFacts } from "./rtnetlink.ts";
import { MAIN_TABLE, SCOPE } from "./rtnetlink-numbers.ts";

export interface NetworkFacts {
  links: readonly LinkFacts[];
  addresses: readonly AddressFacts[];
  routes: readonly RouteFacts[];
  /** As resolv.conf names them. */
  nameservers: readonly string[];
  proxy: string | null;
}

/** IFA_F_TEMPORARY of IPv6 (RFC 8981): another one tomorrow. Of IPv4 the bit means a further address, which stays. */
const TEMPORARY = 0x01;

function isLasting({ address, flags, scope }: AddressFacts): boolean {
  if (scope !== SCOPE.UNIVERSE) return false;
  if (address.length === 4) return isHostIpv4(address);
  const passing = ADDRESS_FLAG.dadFailed | ADDRESS_FLAG.deprecated | ADDRESS_FLAG.tentative | TEMPORARY;
  return (flags & passing) === 0 && !isLinkLocal(address) && address.some((byte) => byte !== 0);
}

/** IPv4 first, then by their text: the kernel lists them in an order of its own. */
function byKind(left: AddressFacts, right: AddressFacts): number {
  return bitsOf(left.address) - bitsOf(right.address) || (printPrefixed(left) < printPrefixed(right) ? -1 : 1);
}

function profileLink(link: LinkFacts, { addresses, routes }: NetworkFacts): ProfileLink[] {
  const isCard = link.type === HARDWARE.ethernet && link.hardware.length === 6 && link.up && isLinkName(link.name);
  const own = addresses.filter((address) => address.link === link.index && isLasting(address)).sort(byKind);
  if (!isCard || own.length === 0) return [];
  const leaving = routes.filter(({ link: index, table, destination }) => {
    return index === link.index && table === MAIN_TABLE && destination.prefix === 0;
  });
  const gateways = leaving
    .sort((left, right) => left.metric - right.metric)
    .flatMap(({ gateway }) => (gateway === null ? [] : [printAddress(gateway)]));
  return [
    {
      hardware: printHardware(link.hardware),
      name: link.name,
      addresses: own.map(printPrefixed).slice(0, MOST_IN_PROFILE.addresses),
      gateways: [...new Set(gateways)].slice(0, MOST_IN_PROFILE.gateways),
    },
  ];
}

function byUse(left: ProfileLink, right: ProfileLink): number {
  const ways = Math.sign(right.gateways.length) - Math.sign(left.gateways.length);
  return ways || (left.hardware < right.hardware ? -1 : left.hardware > right.hardware ? 1 : 0);
}

/** The profile of a network; null where no link has an address that lasts: what is remembered then is better than nothing. */
export function profileOf(facts: NetworkFacts): NetworkProfile | null {
  const links = facts.links.flatMap((link) => profileLink(link, facts)).sort(byUse);
  if (links.length === 0) return null;
  const { proxy } = facts;
  const nameservers = facts.nameservers.filter((text) => parseAddress(text) !== null && !isOwn(text));
  return {
    links: links.slice(0, MOST_IN_PROFILE.links),
    nameservers: [...new Set(nameservers)].slice(0, MOST_IN_PROFILE.nameservers),
    proxy: proxy !== null && proxyFault(proxy) === null ? proxy : null,
  };
}

/** A resolver on the machine itself, which a recovery has not. */
function isOwn(text: string): boolean {
  return text.startsWith("127.") || text === "::1";
}

/** The name servers in the text of a resolv.conf (resolv.conf(5)). One with a zone belongs to a link, and is left out. */
export function nameserversIn(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [word, address = ""] = line.trim().split(/\s+/);
    return word === "nameserver" && parseAddress(address) !== null ? [address] : [];
  });
}

/** Whether a stub stands for the real name servers, which are then told elsewhere. */
export function isStub(nameservers: readonly string[]): boolean {
  return nameservers.some(isOwn);
}
