/** What `recovery` may say: the rules that its compiler and its reader share. Each gives null, or what is wrong and the remedy. */

import {
  type IpAddress,
  isLinkLocal,
  isNobodys,
  isWithin,
  type Prefixed,
  parseAddress,
  parseHardware,
  parsePrefixed,
  sameBytes,
} from "./ip-address.ts";
import { proxyFault as proxyUrlFault } from "./proxy-url.ts";
import type { StaticLink } from "./recovery.ts";

/** Longest time that a control file may ask for, in seconds. */
export const LONGEST_WAIT = 86_400;
export const MOST_SOURCES = 16;
export const MOST_LINKS = 16;
/** Of each kind, on one link. */
export const MOST_ADDRESSES = 8;
/** Characters of the authorities in PEM: about 30 of them. */
export const LONGEST_AUTHORITIES = 65_536;
const LONGEST_URL = 2048;

/** What a message shows of a URL: nothing before an @, which may be a password. */
function shown(text: string): string {
  const open = text.replace(/^.*@/s, "…@");
  return JSON.stringify(open.length > 80 ? `${open.slice(0, 79)}…` : open);
}

/** URL of a channel, an image, or somebody to report to. */
export function urlFault(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:\/\/[^/]/i.test(text) || /[\s\\]|[^\x21-\x7e]/.test(text)) {
    return `${shown(text)} is no URL; write https://HOST/PATH or http://HOST/PATH`;
  }
  if (url.username !== "" || url.password !== "" || /^[^/]*\/\/[^/]*@/.test(text)) {
    return `${shown(text)} holds a user or a password; every image's reader would know it, and no credentials are sent in a recovery: leave it out`;
  }
  if (url.hash !== "" || text.includes("#")) return `${shown(text)} has a part behind #, which no server sees; leave it out`;
  if (text.length > LONGEST_URL) return `${shown(text)} has ${text.length} characters, more than ${LONGEST_URL}; shorten it`;
  return null;
}

/** Whether two URLs are the same place. */
export function sameUrl(left: string, right: string): boolean {
  const plain = (text: string) => (URL.canParse(text) ? new URL(text).href.replace(/\/$/, "") : text);
  return plain(left) === plain(right);
}

/** "http://HOST:PORT" of a proxy. */
export function proxyFault(text: string): string | null {
  const wrong = urlFault(text);
  if (wrong !== null) return wrong;
  return proxyUrlFault(text) === null ? null : `${shown(text)} is no proxy; write http://HOST:PORT`;
}

/** An interface's name, or the hardware's address. */
export function linkFault(text: string): string | null {
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(text)) {
    return parseHardware(text) === null ? `"${text}" is the address of no single link` : null;
  }
  // dev_valid_name of the kernel, net/core/dev.c: up to 15 bytes, no slash, colon or white space.
  if (/^[\x21-\x7e]{1,15}$/.test(text) && !/[/:%]/.test(text) && text !== "." && text !== ".." && text !== "lo") return null;
  return `${JSON.stringify(text)} is no link; write the kernel's name ("eth0"), or the address of its hardware ("52:54:00:12:34:56", lower case)`;
}

/** A file of a filesystem, relative to its root. */
export function requestPathFault(path: string): string | null {
  const parts = path.split("/");
  const canonical = parts.every((part) => part !== "" && part !== "." && part !== ".." && part.length <= 255);
  if (canonical && path.length <= 1024 && path.isWellFormed() && !/\p{Cc}/u.test(path)) return null;
  return `${JSON.stringify(path)} is no path below a filesystem's root; write it without a slash in front, "." and "..": "recover"`;
}

/** Something wrong in a link, and where. */
export interface LinkFault {
  key: keyof StaticLink;
  /** In a list; null where the value as a whole is wrong. */
  index: number | null;
  text: string;
}

/** Without the brackets that URLs have. */
function declaredAddress(text: string): IpAddress | null {
  return text.startsWith("[") ? null : parseAddress(text);
}

/** The length of the prefix has to be said. */
function declaredPrefixed(text: string): Prefixed | null {
  return text.startsWith("[") || !text.includes("/") ? null : parsePrefixed(text);
}

function addressFault(text: string): string | null {
  const declared = declaredPrefixed(text);
  if (declared === null) {
    return `${JSON.stringify(text)} is no address with a prefix; write 192.0.2.10/24 or 2001:db8::10/64`;
  }
  const { address, prefix } = declared;
  if (isNobodys(address)) return `${text} is no address that a machine can have`;
  if (prefix === 0) return `${text}: every address would be in its network; write the network's own prefix`;
  if (address.length !== 4 || prefix > 30) return null;
  const hosts = 2 ** (32 - prefix);
  const host = new DataView(address.buffer, address.byteOffset).getUint32(0, false) % hosts;
  if (host !== 0 && host !== hosts - 1) return null;
  return `${text} is the ${host === 0 ? "network itself" : "address of all in the network"}, not a machine in it`;
}

/** What is wrong in a link that is set up as declared. */
export function staticLinkFaults(link: StaticLink): LinkFault[] {
  const faults: LinkFault[] = [];
  const say = (key: keyof StaticLink, index: number | null, text: string | null) => {
    if (text !== null) faults.push({ key, index, text });
  };
  if (link.link !== null) say("link", null, linkFault(link.link));
  if (link.addresses.length === 0) say("addresses", null, "a link without an address reaches nobody; give it one");
  for (const key of ["addresses", "gateways", "nameservers"] as const) {
    if (link[key].length > MOST_ADDRESSES) say(key, null, `${link[key].length} ${key} are more than ${MOST_ADDRESSES}`);
    for (const [index, text] of link[key].entries()) {
      if (link[key].indexOf(text) < index) say(key, index, `${text} is there twice`);
    }
  }
  for (const [index, text] of link.addresses.entries()) say("addresses", index, addressFault(text));
  const networks = link.addresses.flatMap((text) => declaredPrefixed(text) ?? []);
  const families: number[] = [];
  for (const [index, text] of link.gateways.entries()) {
    const gateway = declaredAddress(text);
    if (gateway === null) {
      say("gateways", index, `${JSON.stringify(text)} is no address; write 192.0.2.1 or fe80::1`);
      continue;
    }
    const near = isLinkLocal(gateway) || networks.some((network) => isWithin(gateway, network));
    const own = networks.some(({ address }) => sameBytes(address, gateway));
    if (own) say("gateways", index, `${text} is the machine itself; write the router's address`);
    else if (!near)
      say("gateways", index, `${text} is in none of the link's networks (${link.addresses.join(", ")}), so nothing reaches it`);
    const family = gateway.length === 4 ? 4 : 6;
    if (families.includes(family)) say("gateways", index, `${text} is a second router for IPv${family}; keep one`);
    families.push(family);
  }
  for (const [index, text] of link.nameservers.entries()) {
    const server = declaredAddress(text);
    // A server on this very machine does not run in an initrd.
    const sound = server !== null && !isNobodys(server);
    if (!sound)
      say("nameservers", index, `${JSON.stringify(text)} is no address of a nameserver; write 192.0.2.53 or 2001:db8::53`);
  }
  return faults;
}

/** What is wrong with links as a whole: the index of the link, and what. */
export function linksTogetherFault(links: readonly StaticLink[]): { index: number; text: string } | null {
  for (const [index, { link }] of links.entries()) {
    if (link === null && links.length > 1)
      return { index, text: `each of ${links.length} links needs a "link": its name or its hardware's address` };
    if (links.findIndex((other) => other.link === link) < index)
      return { index, text: `the link ${link} is there twice; give it all its addresses once` };
  }
  return null;
}

/** Authorities in PEM. Whether each is a certificate the builder looks at, who has the means. */
export function authoritiesFault(pem: string): string | null {
  if (pem.length > LONGEST_AUTHORITIES)
    return `${pem.length} characters of authorities are more than ${LONGEST_AUTHORITIES}; name those that your servers need`;
  const blocks = pem.match(/-----BEGIN [A-Z ]+-----/g) ?? [];
  const foreign = blocks.find((block) => block !== "-----BEGIN CERTIFICATE-----");
  if (foreign !== undefined) return `holds ${foreign.slice(5, -5)}, and only certificates belong there`;
  return blocks.length === 0 ? "holds no certificate in PEM" : null;
}
