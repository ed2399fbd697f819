/**
 * The words of the kernel's command line about the network, as dracut.cmdline(7) defines them: `ip=`, `nameserver=`, `rd.route=`,
 * `bootdev=`, `ifname=`, `rd.peerdns=`. The kernel's own `ip=` (Documentation/admin-guide/nfs/nfsroot.rst) is one of the forms.
 */
import {
  parseAddress,
  parseHardware,
  parsePrefixed,
  printAddress,
  printHardware,
  printPrefixed,
} from "../../state-ops/ip-address.ts";
import { type IpWord, linkFault, readIpWord, splitParts } from "./ip-word.ts";

/** One `rd.route=`. */
export interface RouteWord {
  /** "192.0.2.0/24" */
  destination: string;
  /** Null: it is on the link. */
  gateway: string | null;
  /** Null: the link that the gateway is found on. */
  link: string | null;
}

/** What the command line says of the network. */
export interface NetworkWords {
  /** `ip=off` or `ip=none`: no network, whatever the control file says. */
  off: boolean;
  /** In the order in which they stand there. */
  links: IpWord[];
  nameservers: string[];
  routes: RouteWord[];
  /** The link that is preferred, by name or hardware address, from `bootdev=` or else `BOOTIF=`. */
  preferred: string | null;
  /** False, by `rd.peerdns=0`: name servers of DHCP and of routers count for nothing. */
  peerNameservers: boolean;
}

/** Where no word says anything. */
export function noNetworkWords(): NetworkWords {
  return { off: false, links: [], nameservers: [], routes: [], preferred: null, peerNameservers: true };
}

/** A word of the command line. */
export interface ValuedWord {
  name: string;
  value: string | null;
}

/** Words that ask for what the network of PID 1 has not. */
const beyond = new Set(["vlan", "bond", "bridge", "team", "rd.znet", "rd.net.dhcp.vendor-class"]);
const known = new Set(["ip", "nameserver", "rd.route", "bootdev", "BOOTIF", "ifname", "rd.peerdns", "rd.neednet"]);

/** Whether the word is about the network. */
export function isNetworkWord(name: string): boolean {
  return known.has(name) || beyond.has(name);
}

/** Reads `words`, all of which are network words, in their order. Tells `ignored` of each that cannot be obeyed, and why. */
export function readNetworkWords(words: ValuedWord[], ignored: (word: ValuedWord, why: string) => void): NetworkWords {
  const network = noNetworkWords();
  const aliases = new Map<string, string>();
  let bootif: string | null = null;
  for (const word of words) {
    const { name, value } = word;
    const why = ((): string | null => {
      if (name === "rd.neednet") return null;
      if (value === null || value === "") return name === "ip" && value !== null ? useIp(network, "dhcp") : "it has no value";
      if (name === "ip") return useIp(network, value);
      if (name === "nameserver") return useNameserver(network, value);
      if (name === "rd.route") return useRoute(network, value);
      if (name === "ifname") return useAlias(aliases, value);
      if (name === "rd.peerdns") return usePeerNameservers(network, value);
      if (name === "bootdev") {
        const fault = linkFault(value);
        if (fault === null) network.preferred = value;
        return fault;
      }
      if (name === "BOOTIF") {
        // PXELINUX writes the hardware's type, 01, in front.
        const hardware = parseHardware(value.replace(/^01-/, ""));
        if (hardware === null) return "write 01- and the hardware address, with dashes";
        bootif = printHardware(hardware);
        return null;
      }
      return "recovery has only plain links: no VLAN, bond, bridge or team";
    })();
    if (why !== null) ignored(word, why);
  }
  network.preferred ??= bootif;
  const resolved = (link: string | null): string | null => (link === null ? null : (aliases.get(link) ?? link));
  network.preferred = resolved(network.preferred);
  for (const link of network.links) link.link = resolved(link.link);
  for (const route of network.routes) route.link = resolved(route.link);
  return network;
}

function useIp(network: NetworkWords, value: string): string | null {
  const word = readIpWord(value);
  if (word === "off") network.off = true;
  else if ("fault" in word) return word.fault;
  else network.links.push(word);
  return null;
}

function useNameserver(network: NetworkWords, value: string): string | null {
  const address = parseAddress(value);
  if (address === null) return "write the address of one name server";
  const text = printAddress(address);
  if (!network.nameservers.includes(text)) network.nameservers.push(text);
  return null;
}

/** DESTINATION/LENGTH:[GATEWAY][:LINK] */
function useRoute(network: NetworkWords, value: string): string | null {
  const parts = splitParts(value);
  const [destination = "", gateway = "", link = "", ...more] = parts ?? [];
  const to = parsePrefixed(destination);
  if (to === null || more.length > 0) return "write NETWORK/LENGTH:GATEWAY:LINK, IPv6 in brackets";
  const router = gateway === "" ? null : parseAddress(gateway);
  if (gateway !== "" && router?.length !== to.address.length) return `${JSON.stringify(gateway)} is no router for it`;
  const fault = link === "" ? null : linkFault(link);
  if (fault !== null) return fault;
  if (router === null && link === "") return "it needs a gateway or a link";
  network.routes.push({
    destination: printPrefixed(to),
    gateway: router === null ? null : printAddress(router),
    link: link === "" ? null : link,
  });
  return null;
}

/** NAME:HARDWARE. The link keeps the kernel's name; the name is understood in the other words. */
function useAlias(aliases: Map<string, string>, value: string): string | null {
  const colon = value.indexOf(":");
  const hardware = parseHardware(value.slice(colon + 1));
  const name = value.slice(0, Math.max(0, colon));
  if (hardware === null) return "write NAME:HARDWARE-ADDRESS";
  const fault = linkFault(name);
  if (fault === null) aliases.set(name, printHardware(hardware));
  return fault;
}

function usePeerNameservers(network: NetworkWords, value: string): string | null {
  if (value !== "0" && value !== "1") return "write rd.peerdns=0 or rd.peerdns=1";
  network.peerNameservers = value === "1";
  return null;
}
