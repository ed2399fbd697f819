/** One `ip=` of the kernel's command line, in the forms of dracut.cmdline(7). */
import {
  bitsOf,
  type IpAddress,
  isHostIpv4,
  type Prefixed,
  parseAddress,
  parseHardware,
  parsePrefixed,
  prefixOfMask,
  printAddress,
  printHardware,
  printPrefixed,
} from "../../state-ops/ip-address.ts";

/** How a link gets more than what the word says itself: asks for DHCPv4, listens to routers of IPv6. */
export interface LinkMethods {
  dhcp: boolean;
  router: boolean;
}

/** One `ip=`. */
export interface IpWord extends LinkMethods {
  /** The kernel's name of the link, or its hardware's address where `ifname=` gave that name; null: every link. */
  link: string | null;
  /** With the length of the prefix: "192.0.2.10/24"; none where a server or a router gives them. */
  addresses: string[];
  /** The other end of a link between two: "192.0.2.1"; null on every other. */
  peer: string | null;
  gateways: string[];
  nameservers: string[];
  /** Told to the DHCP server; null: nothing is. */
  hostname: string | null;
  /** Bytes; null: as it is. */
  mtu: number | null;
  /** What the link's hardware address is set to: "52:54:00:12:34:56"; null: as it is. */
  hardware: string | null;
}

/** By the method that the word names. dhcp6 becomes what routers advertise: there is no DHCPv6 here. */
const methods: Record<string, LinkMethods> = {
  dhcp: { dhcp: true, router: true },
  on: { dhcp: true, router: true },
  any: { dhcp: true, router: true },
  both: { dhcp: true, router: true },
  "single-dhcp": { dhcp: true, router: true },
  dhcp4: { dhcp: true, router: false },
  dhcp6: { dhcp: false, router: true },
  auto6: { dhcp: false, router: true },
  either6: { dhcp: false, router: true },
  link6: { dhcp: false, router: false },
  none: { dhcp: false, router: false },
  off: { dhcp: false, router: false },
  static: { dhcp: false, router: false },
};
const OFF = new Set(["none", "off"]);

const MTU = { least: 68, most: 65_535 };

/** What `ip=` says; "off" where it wants no network; as an object with `fault` where it cannot be obeyed. */
export function readIpWord(value: string): IpWord | "off" | { fault: string } {
  const parts = splitParts(value);
  if (parts === null) return { fault: "its brackets are not closed" };
  const [first = "", second = ""] = parts;
  if (parts.length === 1 && parseAddress(first) === null) {
    if (OFF.has(first)) return "off";
    const method = methods[first];
    return method === undefined ? { fault: unknownMethod(first) } : { ...emptyWord(), ...method };
  }
  const short = first !== "" && parsePrefixed(first) === null && (methods[second] !== undefined || parts.length === 2);
  const word = short ? shortForm(parts) : longForm(parts);
  return typeof word === "string" ? { fault: word } : word;
}

/** Parts between colons; those inside brackets do not count. Null where brackets are not closed. */
export function splitParts(value: string): string[] | null {
  const parts = value.match(/(\[[^[\]]*\][^:[\]]*|[^:[\]]*)(:|$)/g);
  if (parts === null || parts.join("") !== value) return null;
  // The pattern matches once more, empty, at the end of what does not end in a colon.
  const texts = parts.map((part) => part.replace(/:$/, ""));
  return value.endsWith(":") || texts.length === 1 ? texts : texts.slice(0, -1);
}

/** What is wrong with the name of a link, null where nothing is. Linux: IFNAMSIZ less its zero byte, no slash, no blank, no colon. */
export function linkFault(name: string): string | null {
  if (parseHardware(name) !== null) return null;
  return /^[^/\s:\p{Cc}]{1,15}$/u.test(name) && name !== "." && name !== ".." ? null : "no link can have that name";
}

function unknownMethod(method: string): string {
  return `${JSON.stringify(method)} is no method; known are ${Object.keys(methods).join(", ")}`;
}

function emptyWord(): IpWord {
  return {
    ...{ link: null, dhcp: false, router: false, addresses: [], peer: null, gateways: [], nameservers: [] },
    ...{ hostname: null, mtu: null, hardware: null },
  };
}

/** LINK:METHOD[:[MTU][:HARDWARE]] */
function shortForm(parts: string[]): IpWord | string {
  const [link = "", method = "", mtu = "", ...hardware] = parts;
  const found = methods[method];
  if (found === undefined) return unknownMethod(method);
  const word: IpWord = { ...emptyWord(), ...found, link };
  return linkFault(link) ?? settings(word, mtu, hardware) ?? word;
}

/** CLIENT:[PEER]:GATEWAY:NETMASK:HOSTNAME:LINK:METHOD, then [:[MTU][:HARDWARE]] or [:[DNS][:[DNS]]]. */
function longForm(parts: string[]): IpWord | string {
  const [client = "", peer = "", gateway = "", mask = "", hostname = "", link = "", method = "", eighth = "", ...rest] = parts;
  const named = method === "" ? methods.off : methods[method];
  if (named === undefined) return unknownMethod(method);
  // Without an address only a server can give one; the kernel's ip= then asks as well.
  const asked = client === "" && method === "" ? methods.dhcp : named;
  const word: IpWord = { ...emptyWord(), ...(asked ?? named), link: link === "" ? null : link };
  if (hostname !== "") {
    if (!/^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/.test(hostname)) return `${JSON.stringify(hostname)} is no host name`;
    word.hostname = hostname;
  }
  const nameserver = parseAddress(eighth) !== null;
  return (
    (link === "" ? null : linkFault(link)) ??
    useAddresses(word, { client, peer, gateway, mask }) ??
    (nameserver ? useWordNameservers(word, [eighth, ...rest]) : settings(word, eighth, rest)) ??
    word
  );
}

function useAddresses(word: IpWord, given: { client: string; peer: string; gateway: string; mask: string }): string | null {
  const { client, peer, gateway, mask } = given;
  if (client !== "") {
    const address = addressWithMask(client, mask);
    if (typeof address === "string") return address;
    word.addresses.push(printPrefixed(address));
  } else if (!word.dhcp && !word.router) return "it has neither an address nor a method that gets one";
  if (peer !== "") {
    const other = parseAddress(peer);
    if (other === null) return `${JSON.stringify(peer)} is no address`;
    word.peer = printAddress(other);
  }
  if (gateway === "") return null;
  const router = parseAddress(gateway);
  if (router === null || !isRouter(router)) return `${JSON.stringify(gateway)} is no address of a router`;
  word.gateways.push(printAddress(router));
  return null;
}

function isRouter(address: IpAddress): boolean {
  return address.length === 16 || isHostIpv4(address);
}

/** The length stands behind the address, or in the netmask's place, as a number or in dots. */
function addressWithMask(client: string, mask: string): Prefixed | string {
  const own = parsePrefixed(client);
  if (own === null) return `${JSON.stringify(client)} is no address`;
  if (own.address.length === 4 && !isHostIpv4(own.address)) return `${JSON.stringify(client)} is no address of a host`;
  if (client.includes("/")) return own;
  if (mask === "") return { ...own, prefix: usualPrefix(own.address) };
  if (/^[0-9]{1,3}$/.test(mask)) {
    const prefix = Number(mask);
    return prefix > 0 && prefix <= bitsOf(own.address) ? { ...own, prefix } : `${JSON.stringify(mask)} is no length of a prefix`;
  }
  const dotted = parseAddress(mask);
  const prefix = dotted?.length === own.address.length ? prefixOfMask(dotted) : null;
  return prefix === null || prefix === 0 ? `${JSON.stringify(mask)} is no netmask` : { ...own, prefix };
}

/** IPv4 without a netmask has that of its class, as the kernel and dracut have it (ic_defaults() of net/ipv4/ipconfig.c). */
function usualPrefix(address: IpAddress): number {
  const [first = 0] = address;
  if (address.length === 16) return 64;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

function useWordNameservers(word: IpWord, servers: string[]): string | null {
  for (const server of servers.slice(0, 2)) {
    if (server === "") continue;
    const address = parseAddress(server);
    if (address === null) return `${JSON.stringify(server)} is no address of a name server`;
    word.nameservers.push(printAddress(address));
  }
  // The kernel's ip= names a time server behind them, which nobody here asks.
  return servers.length > 3 ? "it goes on behind its name servers" : null;
}

function settings(word: IpWord, mtu: string, hardware: string[]): string | null {
  if (mtu !== "") {
    if (!/^[0-9]{1,5}$/.test(mtu) || Number(mtu) < MTU.least || Number(mtu) > MTU.most) {
      return `${JSON.stringify(mtu)} is no MTU: write ${MTU.least} to ${MTU.most} bytes`;
    }
    word.mtu = Number(mtu);
  }
  const text = hardware.join(":");
  if (text === "") return null;
  const address = parseHardware(text);
  if (address === null) return `${JSON.stringify(text)} is no hardware address`;
  word.hardware = printHardware(address);
  return null;
}
