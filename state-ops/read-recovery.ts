/** The control file's parts that rule recovery, read strictly. */

import { deviceFault } from "./device-reference.ts";
import { Fields } from "./fields.ts";
import { BadInput } from "./outcome.ts";
import { MOST_PARTITIONS, partitionFaults } from "./partition-rules.ts";
import { GUID } from "./partition-types.ts";
import {
  type ControlInstall,
  type ControlRecovery,
  type LayoutPartition,
  type RecoveryNetwork,
  RUNGS,
  type Rung,
  type StaticLink,
} from "./recovery.ts";
import {
  authoritiesFault,
  LONGEST_WAIT,
  linksTogetherFault,
  MOST_LINKS,
  MOST_SOURCES,
  proxyFault,
  requestPathFault,
  sameUrl,
  staticLinkFaults,
  urlFault,
} from "./recovery-rules.ts";

function text(value: unknown, where: string): string {
  return new Fields({ value }, where, ["value"]).text("value");
}

function texts(fields: Fields, key: string): string[] {
  return fields.list(key).map((entry, index) => text(entry, `${key}[${index}]`));
}

function flag(fields: Fields, key: string): boolean {
  return fields.oneOf(key, [true, false]);
}

function ladder(fields: Fields): Rung[] {
  const words = texts(fields, "ladder");
  const rungs = words.flatMap((word) => RUNGS.find((rung) => rung === word) ?? []);
  if (rungs.length !== words.length || new Set(rungs).size !== rungs.length) {
    return fields.fail("ladder", `a list of some of ${RUNGS.join(", ")}, each once`);
  }
  return rungs;
}

function staticLink(value: unknown, where: string): StaticLink {
  const fields = new Fields(value, where, ["link", "addresses", "gateways", "nameservers"]);
  const link = {
    link: fields.nullable("link", () => fields.text("link")),
    addresses: texts(fields, "addresses"),
    gateways: texts(fields, "gateways"),
    nameservers: texts(fields, "nameservers"),
  };
  const [fault] = staticLinkFaults(link);
  if (fault !== undefined) throw new BadInput(`${where}.${fault.key}: ${fault.text}`);
  return link;
}

function network(fields: Fields): RecoveryNetwork {
  const either = new Fields(fields.value("network"), "recovery.network", ["mode"], ["links"]);
  const mode = either.oneOf("mode", ["off", "dhcp", "static"]);
  if (mode !== "static") return { mode };
  const links = new Fields(fields.value("network"), "recovery.network", ["mode", "links"]).list("links");
  if (links.length === 0 || links.length > MOST_LINKS) {
    throw new BadInput(`recovery.network.links must be a list of 1 to ${MOST_LINKS} links, has ${links.length}`);
  }
  const read = links.map((link, index) => staticLink(link, `recovery.network.links[${index}]`));
  const fault = linksTogetherFault(read);
  if (fault !== null) throw new BadInput(`recovery.network.links[${fault.index}]: ${fault.text}`);
  return { mode, links: read };
}

function sources(fields: Fields): string[] {
  const list = texts(fields, "sources");
  if (list.length > MOST_SOURCES) fields.fail("sources", `a list of at most ${MOST_SOURCES} URLs`);
  for (const [index, source] of list.entries()) {
    const twin = list.findIndex((other) => sameUrl(other, source));
    const fault = urlFault(source) ?? (twin < index ? `${source} is there twice` : null);
    if (fault !== null) throw new BadInput(`recovery.sources[${index}]: ${fault}`);
  }
  return list;
}

/** What `recovery` of a control file says. Throws BadInput. */
export function readRecovery(value: unknown): ControlRecovery {
  const fields = new Fields(value, "recovery", [
    "ladder",
    "sources",
    "factory",
    "media",
    "network",
    "authorities",
    "proxy",
    "report",
    "request",
    "patience",
    "longestPause",
  ]);
  const soundText = (key: string, fault: (text: string) => string | null): string | null =>
    fields.nullable(key, () => fields.sound(key, fields.text(key), fault));
  return {
    ladder: ladder(fields),
    sources: sources(fields),
    factory: fields.nullable("factory", () => fields.sound("factory", fields.text("factory"), deviceFault)),
    media: flag(fields, "media"),
    network: network(fields),
    authorities: soundText("authorities", authoritiesFault),
    proxy: soundText("proxy", proxyFault),
    report: soundText("report", urlFault),
    request: fields.nullable("request", () => {
      const request = fields.object("request", ["device", "path"]);
      return {
        device: request.sound("device", request.text("device"), deviceFault),
        path: request.sound("path", request.text("path"), requestPathFault),
      };
    }),
    patience: fields.integer("patience", 1, LONGEST_WAIT),
    longestPause: fields.integer("longestPause", 1, LONGEST_WAIT),
  };
}

function partition(value: unknown, where: string): LayoutPartition {
  const fields = new Fields(value, where, ["label", "size", "type"]);
  const size = fields.nullable("size", () => fields.integer("size", 1, Number.MAX_SAFE_INTEGER));
  const type = fields.text("type");
  if (!GUID.test(type)) fields.fail("type", "a GUID in lower case");
  return { label: fields.text("label"), size, type };
}

/** What `install` of a control file says. Throws BadInput. */
export function readInstall(value: unknown): ControlInstall {
  const fields = new Fields(value, "install", ["partitions"]);
  const partitions = fields.list("partitions").map((entry, index) => partition(entry, `install.partitions[${index}]`));
  if (partitions.length === 0 || partitions.length > MOST_PARTITIONS) {
    throw new BadInput(`install.partitions must be a list of 1 to ${MOST_PARTITIONS} partitions, has ${partitions.length}`);
  }
  const [fault] = partitionFaults(partitions);
  if (fault !== undefined) throw new BadInput(`install.partitions[${fault.index}].${fault.key}: ${fault.text}`);
  return { partitions };
}
