/** The way to the network that the machine had when its system was last known to be good: a recovery tries it too. */
import { Fields } from "../../state-ops/fields.ts";
import { parseAddress, parseHardware, parsePrefixed } from "../../state-ops/ip-address.ts";
import { proxyFault } from "../../state-ops/proxy-url.ts";

/** One link as it was set up. */
export interface ProfileLink {
  /** The hardware's address, "52:54:00:12:34:56": names of links may differ from one kernel to the next. */
  hardware: string;
  /** The kernel's name then: "eth0". */
  name: string;
  /** With the length of the prefix: "192.0.2.10/24", "2001:db8::10/64". One at least. */
  addresses: string[];
  /** Routers of default routes, best first. */
  gateways: string[];
}

export interface NetworkProfile {
  /** Those with a default route first. One at least. */
  links: ProfileLink[];
  nameservers: string[];
  /** "http://HOST:PORT"; null: none. */
  proxy: string | null;
}

/** Keeps a profile within its area, however many links a machine has. */
export const MOST_IN_PROFILE = { links: 16, addresses: 8, gateways: 4, nameservers: 8 } as const;

/** IFNAMSIZ less its zero byte; a name has neither blanks nor slashes (dev_valid_name() of the kernel). */
export function isLinkName(name: string): boolean {
  return /^[\x21-\x2e\x30-\x7e]{1,15}$/.test(name) && name !== "." && name !== "..";
}

function texts(fields: Fields, key: string, most: number, wanted: string, isSound: (text: string) => boolean): string[] {
  const values = fields
    .list(key)
    .map((value) => (typeof value === "string" && isSound(value) ? value : fields.fail(key, wanted)));
  return values.length <= most ? values : fields.fail(key, `at most ${most}`);
}

function profileLink(value: unknown, where: string): ProfileLink {
  const fields = new Fields(value, where, ["hardware", "name", "addresses", "gateways"]);
  const hardware = fields.text("hardware");
  const name = fields.text("name");
  const { addresses, gateways } = MOST_IN_PROFILE;
  const link = {
    hardware: parseHardware(hardware) === null ? fields.fail("hardware", "the address of a network card") : hardware,
    name: isLinkName(name) ? name : fields.fail("name", "the name of a link"),
    addresses: texts(
      fields,
      "addresses",
      addresses,
      "ADDRESS/LENGTH",
      (text) => parsePrefixed(text) !== null && text.includes("/"),
    ),
    gateways: texts(fields, "gateways", gateways, "addresses", (text) => parseAddress(text) !== null),
  };
  return link.addresses.length > 0 ? link : fields.fail("addresses", "one at least");
}

/** The profile that `value` is. Throws BadInput naming the key that is missing, unknown or wrong. */
export function networkProfile(value: unknown): NetworkProfile {
  const fields = new Fields(value, "network profile", ["schema", "links", "nameservers", "proxy"]);
  fields.oneOf("schema", [1]);
  const links = fields.list("links").map((link, index) => profileLink(link, `network profile: links[${index}]`));
  if (links.length === 0 || links.length > MOST_IN_PROFILE.links) fields.fail("links", `1 to ${MOST_IN_PROFILE.links} links`);
  return {
    links,
    nameservers: texts(fields, "nameservers", MOST_IN_PROFILE.nameservers, "addresses", (text) => parseAddress(text) !== null),
    proxy: fields.nullable("proxy", () => fields.sound("proxy", fields.text("proxy"), proxyFault)),
  };
}
