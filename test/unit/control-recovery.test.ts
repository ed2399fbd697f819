/** The control file's `recovery` and `install`, read strictly: a file that no compiler wrote is refused, naming the place. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { SLIPWAY_PARTITION_TYPE } from "../../state-ops/partition-types.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { type ControlInstall, type ControlRecovery, DEFAULT_RECOVERY } from "../../state-ops/recovery.ts";
import { sampleControl } from "../samples/control-file.ts";

const MIB = 1024 * 1024;
const link = { link: "eth0", addresses: ["192.0.2.10/24"], gateways: ["192.0.2.1"], nameservers: ["192.0.2.53"] };
const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

const recovery: ControlRecovery = {
  ladder: ["repair", "reinstall"],
  sources: ["https://updates.example/stable", "http://10.0.0.1/x.img"],
  factory: "PARTLABEL=factory",
  media: true,
  network: { mode: "static", links: [link, { ...link, link: "52:54:00:12:34:56" }] },
  authorities: certificate,
  proxy: "http://proxy.example:3128",
  report: "https://fleet.example/",
  request: { device: "LABEL=boot", path: "slipway/recover" },
  patience: 60,
  longestPause: 3600,
};

const partition = (label: string, size: number | null) => ({ label, size, type: SLIPWAY_PARTITION_TYPE });
const install: ControlInstall = {
  partitions: [
    partition("boot-record", 4 * MIB),
    partition("root-a", 600 * MIB),
    partition("root-b", 600 * MIB),
    partition("sys-data", null),
  ],
};
const data = { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "refuse", grow: true, create: true } as const;

function read(change: object) {
  const { digest: _, ...control }: Record<string, unknown> = JSON.parse(
    JSON.stringify({ ...sampleControl({ data }), ...change }),
  );
  return readControl(canonicalJsonWithDigest(control));
}

function refused(change: object, message: RegExp): void {
  try {
    read(change);
  } catch (error) {
    assert.instance(error, BadInput);
    assert.match(String(error), message);
    return;
  }
  assert.unreachable(`was read: ${JSON.stringify(change)}`);
}

test("recovery and install are read as they were written", () => {
  const control = read({ recovery, install });
  assert.equal(control.recovery, recovery);
  assert.equal(control.install, install);
  assert.equal(control.data, data);
  for (const mode of ["off", "dhcp"] as const) {
    assert.equal(read({ recovery: { ...DEFAULT_RECOVERY, network: { mode } } }).recovery.network, { mode });
  }
  const one: ControlRecovery = { ...recovery, network: { mode: "static", links: [{ ...link, link: null }] } };
  assert.equal(read({ recovery: one }).recovery, one);
});

const recoveryFaults: [string, object, RegExp][] = [
  ["a key that is missing", { media: undefined }, /recovery\.media is missing/],
  ["an unknown key", { retries: 3 }, /recovery\.retries is not known/],
  ["an unknown rung", { ladder: ["wipe"] }, /recovery\.ladder must be a list of some of previous-generation/],
  ["a rung twice", { ladder: ["repair", "repair"] }, /recovery\.ladder must be a list of some of .*, each once/],
  ["a ladder that is a word", { ladder: "repair" }, /recovery\.ladder must be a list/],
  ["a source that is no URL", { sources: ["/x.img"] }, /recovery\.sources\[0\]: "\/x\.img" is no URL/],
  [
    "a source with a password",
    { sources: ["https://a:b@x.example/"] },
    /recovery\.sources\[0\]: "…@x\.example\/" holds a user or a/,
  ],
  ["a source twice", { sources: ["http://x.example", "http://x.example/"] }, /recovery\.sources\[1\]: .* is there twice/],
  ["a source that is a number", { sources: [1] }, /sources\[0\]\.value must be a text/],
  ["too many", { sources: Array.from({ length: 17 }, (_, n) => `http://x${n}.example/`) }, /a list of at most 16 URLs/],
  ["a factory", { factory: "factory" }, /recovery\.factory: "factory" names no device/],
  ["media", { media: "yes" }, /recovery\.media must be true or false/],
  ["a network", { network: { mode: "wifi" } }, /recovery\.network\.mode must be "off" or "dhcp" or "static"/],
  ["no links", { network: { mode: "static", links: [] } }, /recovery\.network\.links must be a list of 1 to 16 links, has 0/],
  ["a mode without links", { network: { mode: "static" } }, /recovery\.network\.links is missing/],
  ["authorities", { authorities: "-----BEGIN PRIVATE KEY-----" }, /recovery\.authorities: holds BEGIN PRIVATE KEY/],
  ["a proxy", { proxy: "http://proxy.example/" }, /recovery\.proxy: .* is no proxy/],
  ["a report", { report: "mailto:me" }, /recovery\.report: "mailto:me" is no URL/],
  ["a request's path", { request: { device: "LABEL=x", path: "../x" } }, /recovery\.request\.path: "\.\.\/x" is no path/],
  ["a request's device", { request: { device: "x", path: "x" } }, /recovery\.request\.device: "x" names no device/],
  ["a request's other key", { request: { device: "LABEL=x", path: "x", keep: true } }, /recovery\.request\.keep is not known/],
  ["no patience", { patience: 0 }, /recovery\.patience must be a whole number from 1 to 86400/],
  ["a long pause", { longestPause: 86_401 }, /recovery\.longestPause must be a whole number from 1 to 86400/],
];

for (const [name, change, message] of recoveryFaults) {
  test(`recovery refused: ${name}`, () => refused({ recovery: { ...recovery, ...change } }, message));
}

const linkFaults: [string, object, RegExp][] = [
  ["a name", { link: "a b" }, /links\[0\]\.link: "a b" is no link/],
  ["capitals in the hardware's address", { link: "52:54:00:AB:34:56" }, /links\[0\]\.link: .* is no link/],
  ["no address", { addresses: [] }, /links\[0\]\.addresses: a link without an address/],
  ["an address", { addresses: ["192.0.2.10"] }, /links\[0\]\.addresses: "192\.0\.2\.10" is no address with a prefix/],
  ["a gateway elsewhere", { gateways: ["10.0.0.1"] }, /links\[0\]\.gateways: 10\.0\.0\.1 is in none of the link's networks/],
  ["a nameserver's name", { nameservers: ["dns"] }, /links\[0\]\.nameservers: "dns" is no address of a nameserver/],
  ["many nameservers", { nameservers: Array.from({ length: 9 }, (_, n) => `10.0.0.${n + 1}`) }, /9 nameservers are more than 8/],
  ["an unknown key", { metric: 1 }, /links\[0\]\.metric is not known/],
  ["another's name", { link: "52:54:00:12:34:56" }, /links\[1\]: the link 52:54:00:12:34:56 is there twice/],
  ["every link", { link: null }, /links\[0\]: each of 2 links needs a "link"/],
];

for (const [name, change, message] of linkFaults) {
  test(`a link refused: ${name}`, () => {
    const links = [
      { ...link, ...change },
      { ...link, link: "52:54:00:12:34:56" },
    ];
    refused({ recovery: { ...recovery, network: { mode: "static", links } } }, message);
  });
}

const [record, a, b, rest] = install.partitions;
const installFaults: [string, unknown[], RegExp][] = [
  ["no partitions", [], /install\.partitions must be a list of 1 to 64 partitions, has 0/],
  ["an unknown key", [{ ...record, start: 1 }], /install\.partitions\[0\]\.start is not known/],
  ["a type by name", [{ ...record, type: "linux" }], /install\.partitions\[0\]\.type must be a GUID in lower case, is "linux"/],
  [
    "half a MiB",
    [record, a, { ...b, size: MIB + 512 }, rest],
    /install\.partitions\[2\]\.size: 1049088 bytes are no whole number of MiB/,
  ],
  ["a size as text", [{ ...record, size: "4M" }], /install\.partitions\[0\]\.size must be a whole number/],
  ["the rest in between", [record, a, rest, b], /install\.partitions\[2\]\.size: only the last partition can have the rest/],
  ["a label twice", [record, a, a, b, rest], /install\.partitions\[2\]\.label: two partitions are labelled "root-a"/],
  [
    "a long label",
    [partition("x".repeat(37), MIB), record, a, b, rest],
    /partitions\[0\]\.label: .*a partition label is 1 to 36/,
  ],
  ["a slot that is not there", [record, a, rest], /install\.partitions: slot b is PARTLABEL=root-b, and "layout" has no such/],
  ["a small boot record", [partition("boot-record", MIB), a, b, rest], /install\.partitions: the boot record needs 4M/],
];

for (const [name, partitions, message] of installFaults) {
  test(`install refused: ${name}`, () => refused({ install: { partitions } }, message));
}

test("install is refused where nobody makes the data filesystem, and data's words are true or false", () => {
  refused(
    { install, data: { ...data, create: false } },
    /install: a blank disk has no data filesystem, and data\.create is false/,
  );
  refused({ data: { ...data, grow: "yes" } }, /data\.grow must be true or false/);
  refused({ data: { ...data, create: 1 } }, /data\.create must be true or false/);
  refused({ data: { ...data, grow: undefined } }, /data\.grow is missing/);
});

test.run();
