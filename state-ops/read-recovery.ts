/** The control file's parts that rule recovery, read strictly. */

import { deviceFault } from "./device-reference.ts";
import { Fields } from "./fields.ts";
import type { LayoutPartition } from "./recovery.ts";
import {
  type ControlInstall,
  type ControlRecovery,
  type RecoveryNetwork,
  RUNGS,
  type Rung,
  type StaticLink,
} from "./recovery.ts";

/** Longest time that a control file may ask for, in seconds. */
const DAY = 86_400;
const MOST_SOURCES = 16;
const MOST_LINKS = 16;
const MOST_PARTITIONS = 64;
const MIB = 1024 * 1024;

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
  return {
    link: fields.nullable("link", () => fields.text("link")),
    addresses: texts(fields, "addresses"),
    gateways: texts(fields, "gateways"),
    nameservers: texts(fields, "nameservers"),
  };
}

function network(fields: Fields): RecoveryNetwork {
  const either = new Fields(fields.value("network"), "recovery.network", ["mode"], ["links"]);
  const mode = either.oneOf("mode", ["off", "dhcp", "static"]);
  if (mode !== "static") return { mode };
  const links = new Fields(fields.value("network"), "recovery.network", ["mode", "links"]).list("links");
  if (links.length === 0 || links.length > MOST_LINKS) either.fail("links", `a list of 1 to ${MOST_LINKS} links`);
  return { mode, links: links.map((link, index) => staticLink(link, `recovery.network.links[${index}]`)) };
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
  const sources = texts(fields, "sources");
  if (sources.length > MOST_SOURCES) fields.fail("sources", `a list of at most ${MOST_SOURCES} URLs`);
  return {
    ladder: ladder(fields),
    sources,
    factory: fields.nullable("factory", () => fields.sound("factory", fields.text("factory"), deviceFault)),
    media: flag(fields, "media"),
    network: network(fields),
    authorities: fields.nullable("authorities", () => fields.text("authorities")),
    proxy: fields.nullable("proxy", () => fields.text("proxy")),
    report: fields.nullable("report", () => fields.text("report")),
    request: fields.nullable("request", () => {
      const request = fields.object("request", ["device", "path"]);
      return { device: request.sound("device", request.text("device"), deviceFault), path: request.text("path") };
    }),
    patience: fields.integer("patience", 1, DAY),
    longestPause: fields.integer("longestPause", 1, DAY),
  };
}

function partition(value: unknown, where: string): LayoutPartition {
  const fields = new Fields(value, where, ["label", "size", "type"]);
  const size = fields.nullable("size", () => fields.integer("size", MIB, Number.MAX_SAFE_INTEGER));
  const type = fields.text("type");
  if (size !== null && size % MIB !== 0) fields.fail("size", "a multiple of 1 MiB");
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(type)) fields.fail("type", "a GUID in lower case");
  return { label: fields.text("label"), size, type };
}

/** What `install` of a control file says. Throws BadInput. */
export function readInstall(value: unknown): ControlInstall {
  const fields = new Fields(value, "install", ["partitions"]);
  const partitions = fields.list("partitions").map((entry, index) => partition(entry, `install.partitions[${index}]`));
  if (partitions.length === 0 || partitions.length > MOST_PARTITIONS) {
    fields.fail("partitions", `a list of 1 to ${MOST_PARTITIONS} partitions`);
  }
  return { partitions };
}
