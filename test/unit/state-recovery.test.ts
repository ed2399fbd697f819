/** `recovery:` of system.yaml: what it becomes in the control file, and what is refused or warned of, with its place. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { authoritiesBeside } from "../../init/builder/state/public-keys.ts";
import { type ControlRecovery, DEFAULT_RECOVERY, RUNGS } from "../../state-ops/recovery.ts";
import { compileTexts, problemsOf, sampleSystem } from "../samples/compile.ts";

const keys = { "k.pem": "ab".repeat(32) };
const authorities = {
  "ca.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
  "key.pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
  "empty.pem": "nothing\n",
  "long.pem": `-----BEGIN CERTIFICATE-----\n${"A".repeat(65_536)}\n-----END CERTIFICATE-----\n`,
};

/** The sample with `recovery` in line 8, and keys unless `trust` says otherwise. */
function system(recovery: string | null, trust = "{ keys: [k.pem] }"): string {
  return sampleSystem.replace("trust: unsigned", `trust: ${trust}`) + (recovery === null ? "" : `recovery: ${recovery}\n`);
}

function compiled(recovery: string | null, trust?: string) {
  return compileTexts({ system: system(recovery, trust), keys, authorities });
}

function recoveryOf(recovery: string | null, trust?: string): ControlRecovery {
  return compiled(recovery, trust).control.recovery;
}

const source = "https://updates.example/gateway/stable";

test("a machine that says nothing does all that it can by itself; media only where they have to be signed", () => {
  assert.equal(recoveryOf(null), { ...DEFAULT_RECOVERY, media: true });
  assert.equal(recoveryOf(null, "unsigned"), DEFAULT_RECOVERY);
  assert.equal(recoveryOf("{}"), { ...DEFAULT_RECOVERY, media: true });
  assert.equal(compiled(null, "unsigned").warnings, []);
});

test("recovery: off is an empty ladder, and nothing else", () => {
  for (const trust of ["{ keys: [k.pem] }", "unsigned"]) {
    assert.equal(recoveryOf("off", trust), { ...DEFAULT_RECOVERY, ladder: [] });
  }
});

test("a source or a report brings the network, by DHCP", () => {
  const expected: ControlRecovery = { ...DEFAULT_RECOVERY, media: true, sources: [source], network: { mode: "dhcp" } };
  assert.equal(recoveryOf(`{ sources: ["${source}"] }`), expected);
  assert.equal(recoveryOf(`{ sources: ["${source}"], network: dhcp }`), expected);
  assert.equal(recoveryOf("{ report: http://fleet.example/ }").network, { mode: "dhcp" });
  assert.equal(recoveryOf(`{ sources: ["${source}"], network: off }`).network, { mode: "off" });
});

test("all that recovery can say is taken over", () => {
  const text = `
  ladder: [reinstall, safe-mode]
  sources: ["${source}", "http://10.0.0.1:8080/x.img?k=1", "https://[2001:db8::1]/c"]
  factory: PARTLABEL=factory
  media: false
  network:
    - { link: eth0, addresses: [192.0.2.10/24, "2001:db8::10/64"], gateways: [192.0.2.1, "fe80::1"], nameservers: [192.0.2.53] }
    - { link: "52:54:00:AB:34:56", addresses: [10.1.0.2/31] }
  authorities: ca.pem
  proxy: http://proxy.example:3128/
  report: https://fleet.example/recoveries
  request: { device: LABEL=boot, path: slipway/recover }
  patience: 5min
  longest-pause: 1h`;
  assert.equal(recoveryOf(text), {
    ladder: ["reinstall", "safe-mode"],
    sources: [source, "http://10.0.0.1:8080/x.img?k=1", "https://[2001:db8::1]/c"],
    factory: "PARTLABEL=factory",
    media: false,
    network: {
      mode: "static",
      links: [
        {
          link: "eth0",
          addresses: ["192.0.2.10/24", "2001:db8::10/64"],
          gateways: ["192.0.2.1", "fe80::1"],
          nameservers: ["192.0.2.53"],
        },
        { link: "52:54:00:ab:34:56", addresses: ["10.1.0.2/31"], gateways: [], nameservers: [] },
      ],
    },
    authorities: authorities["ca.pem"],
    proxy: "http://proxy.example:3128",
    report: "https://fleet.example/recoveries",
    request: { device: "LABEL=boot", path: "slipway/recover" },
    patience: 300,
    longestPause: 3600,
  });
});

test("a link without a name is every link; a request without a device lies on the data filesystem", () => {
  assert.equal(recoveryOf("{ network: [{ addresses: [192.0.2.10/24] }] }").network, {
    mode: "static",
    links: [{ link: null, addresses: ["192.0.2.10/24"], gateways: [], nameservers: [] }],
  });
  assert.equal(recoveryOf("{ request: recover }").request, { device: "PARTLABEL=sys-data", path: "recover" });
});

test("what is meant but dangerous is said: sources and sticks that nobody signed", () => {
  const [sources, ...more] = compiled(`{ sources: ["${source}"] }`, "unsigned").warnings;
  assert.equal(more, []);
  assert.match(sources ?? "", /^system\.yaml:8:22: whoever answers for these servers decides what this machine runs/);
  const [media] = compiled("{ media: true }", "unsigned").warnings;
  assert.match(media ?? "", /^system\.yaml:8:20: any stick that is plugged in decides what this machine runs/);
  assert.equal(compiled(`{ sources: ["${source}"], media: true }`).warnings, []);
  assert.equal(compiled("{ media: false }", "unsigned").warnings, []);
});

test("sources that no rung uses are said", () => {
  const warned = (ladder: string) => compiled(`{ sources: ["${source}"], ladder: [${ladder}] }`).warnings;
  assert.match(
    warned("safe-mode")[0] ?? "",
    /^system\.yaml:8:\d+: "ladder" has no reinstall, so that "sources" are never asked$/,
  );
  assert.match(warned("safe-mode, repair")[0] ?? "", /"sources" are asked for damaged blocks only/);
  for (const ladder of ["reinstall", "reinstall-fresh", RUNGS.join(", ")]) assert.equal(warned(ladder), [], ladder);
  assert.equal(compiled("{ ladder: [safe-mode] }").warnings, []);
});

const link = (text: string) => `{ network: [{ ${text} }] }`;
const faults: [string, string, RegExp][] = [
  [
    "another word",
    "on",
    /^system\.yaml:8:11: "recovery" must be "off", or a map that says what is tried and from where, is "on"/,
  ],
  ["an unknown key", "{ source: x }", /^system\.yaml:8:13: "source" is no key that is known here; known are: ladder, sources/],
  [
    "a rung",
    "{ ladder: [reboot] }",
    /^system\.yaml:8:22: "ladder" must be previous-generation or .*reinstall-fresh, is "reboot"/,
  ],
  ["no rung", "{ ladder: [] }", /^system\.yaml:8:21: "ladder" must name at least one rung; "recovery: off"/],
  ["a rung twice", "{ ladder: [repair, repair] }", /^system\.yaml:8:30: repair is there twice; keep the first/],
  ["no list of sources", "{ sources: https://x.example/ }", /^system\.yaml:8:22: "sources" must be a list of URLs/],
  ["a source that is a path", "{ sources: [/mnt/x.img] }", /^system\.yaml:8:23: "\/mnt\/x\.img" is no URL; write https:\/\/HOST/],
  ["another protocol", '{ sources: ["ftp://x.example/"] }', /"ftp:\/\/x\.example\/" is no URL/],
  ["no host", '{ sources: ["https:///x"] }', /is no URL/],
  ["a space", '{ sources: ["https://x.example/a b"] }', /is no URL/],
  [
    "a password",
    '{ sources: ["https://me:secret@x.example/"] }',
    /^system\.yaml:8:23: "…@x\.example\/" holds a user or a password/,
  ],
  ["a user", '{ report: "https://me@x.example/" }', /^system\.yaml:8:21: "…@x\.example\/" holds a user/],
  ["a part behind #", '{ sources: ["https://x.example/#a"] }', /has a part behind #/],
  ["a long URL", `{ sources: ["https://x.example/${"a".repeat(2050)}"] }`, /has 20\d\d characters, more than 2048/],
  ["a source twice", '{ sources: ["https://x.example", "HTTPS://X.example:443/"] }', /HTTPS:\/\/X\.example:443\/ is there twice/],
  ["a factory that is no device", "{ factory: factory }", /"factory" must be a device reference/],
  ["a factory that udev names", "{ factory: /dev/disk/by-label/x }", /is made by udev, .* write LABEL=x/],
  [
    "a factory that is a slot",
    "{ factory: PARTLABEL=root-a }",
    /^system\.yaml:8:22: PARTLABEL=root-a is used twice, here and at system\.yaml:4:16/,
  ],
  ["a factory that is the data", "{ factory: PARTLABEL=sys-data }", /PARTLABEL=sys-data is used twice/],
  ["media that are no word", "{ media: usb }", /"media" must be true or false, is "usb"/],
  ["a network", "{ network: static }", /"network" must be "dhcp", "off", or a list of links/],
  ["no links", "{ network: [] }", /"network" must name at least one link/],
  [
    "a link's unknown key",
    link("addresses: [192.0.2.1/24], lnk: eth0"),
    /"lnk" is no key that is known here; known are: link, addr/,
  ],
  ["a link without addresses", link("link: eth0"), /"addresses" is missing; it must be a list of addresses/],
  ["a link with none", link("addresses: []"), /"addresses" must name at least one/],
  [
    "an address without a prefix",
    link("addresses: [192.0.2.10]"),
    /^system\.yaml:8:37: "192\.0\.2\.10" is no address with a prefix/,
  ],
  ["a prefix that is too long", link("addresses: [192.0.2.10/33]"), /is no address with a prefix/],
  ["a prefix of all", link("addresses: [192.0.2.10/0]"), /every address would be in its network/],
  ["octal numbers", link("addresses: [192.0.02.10/24]"), /is no address with a prefix/],
  ["a network's address", link("addresses: [192.0.2.0/24]"), /192\.0\.2\.0\/24 is the network itself/],
  ["a broadcast address", link("addresses: [192.0.2.255/24]"), /is the address of all in the network/],
  ["a loopback address", link("addresses: [127.0.0.2/8]"), /is no address that a machine can have/],
  ["a group's address", link('addresses: ["ff02::1/64"]'), /is no address that a machine can have/],
  ["a crooked IPv6 address", link('addresses: ["2001:db8:::1/64"]'), /is no address with a prefix/],
  ["an address twice", link("addresses: [192.0.2.10/24, 192.0.2.10/24]"), /192\.0\.2\.10\/24 is there twice/],
  ["a link's name", link("link: a/b, addresses: [192.0.2.10/24]"), /"a\/b" is no link; write the kernel's name/],
  ["a long name", link("link: a23456789012345x, addresses: [192.0.2.10/24]"), /is no link/],
  ["the loopback link", link("link: lo, addresses: [192.0.2.10/24]"), /"lo" is no link/],
  ["a group's hardware", link('link: "53:54:00:12:34:56", addresses: [192.0.2.10/24]'), /is the address of no single link/],
  ["a short hardware address", link('link: "52:54:00:12:34", addresses: [192.0.2.10/24]'), /is no link/],
  [
    "a gateway elsewhere",
    link("addresses: [192.0.2.10/24], gateways: [198.51.100.1]"),
    /198\.51\.100\.1 is in none of the link's networks/,
  ],
  [
    "a gateway of the other kind",
    link('addresses: [192.0.2.10/24], gateways: ["2001:db8::1"]'),
    /is in none of the link's networks/,
  ],
  ["a gateway that is us", link("addresses: [192.0.2.10/24], gateways: [192.0.2.10]"), /is the machine itself/],
  ["a gateway with a prefix", link("addresses: [192.0.2.10/24], gateways: [192.0.2.1/24]"), /is no address; write 192\.0\.2\.1/],
  [
    "two gateways",
    link("addresses: [192.0.2.10/24], gateways: [192.0.2.1, 192.0.2.2]"),
    /192\.0\.2\.2 is a second router for IPv4/,
  ],
  [
    "a nameserver's name",
    link("addresses: [192.0.2.10/24], nameservers: [dns.example]"),
    /"dns\.example" is no address of a nameserver/,
  ],
  ["a nameserver here", link("addresses: [192.0.2.10/24], nameservers: [127.0.0.53]"), /is no address of a nameserver/],
  [
    "a link twice",
    "{ network: [{ link: e0, addresses: [192.0.2.1/24] }, { link: e0, addresses: [192.0.2.2/24] }] }",
    /the link e0 is there twice/,
  ],
  [
    "every link beside one",
    "{ network: [{ link: e0, addresses: [192.0.2.1/24] }, { addresses: [192.0.2.2/24] }] }",
    /each of 2 links needs a "link"/,
  ],
  ["authorities that are not there", "{ authorities: gone.pem }", /^system\.yaml:8:26: gone\.pem cannot be read/],
  [
    "authorities that are a key",
    "{ authorities: key.pem }",
    /key\.pem holds BEGIN PRIVATE KEY, and only certificates belong there/,
  ],
  ["authorities that are none", "{ authorities: empty.pem }", /empty\.pem holds no certificate in PEM/],
  ["too many authorities", "{ authorities: long.pem }", /characters of authorities are more than 65536/],
  ["a proxy without a port", "{ proxy: http://proxy.example }", /is no proxy; write http:\/\/HOST:PORT/],
  ["a proxy over TLS", "{ proxy: https://proxy.example:3128 }", /is no proxy/],
  ["a proxy with a path", "{ proxy: http://proxy.example:3128/x }", /is no proxy/],
  ["a proxy's password", '{ proxy: "http://me:pw@proxy.example:3128" }', /"…@proxy\.example:3128" holds a user or a password/],
  ["a report that is a path", "{ report: /var/log }", /^system\.yaml:8:21: "\/var\/log" is no URL/],
  ["a request in the root", "{ request: /recover }", /^system\.yaml:8:22: "\/recover" is no path below a filesystem's root/],
  ["a request that climbs", "{ request: a/../b }", /is no path below a filesystem's root/],
  ["a request that is crooked", "{ request: a//b }", /is no path below a filesystem's root/],
  ["a request's device", "{ request: { device: boot, path: x } }", /"device" must be a device reference/],
  ["a request's path", "{ request: { device: LABEL=boot, path: ./x } }", /is no path below a filesystem's root/],
  [
    "a request on a slot",
    "{ request: { device: PARTLABEL=root-a, path: x } }",
    /PARTLABEL=root-a is slot a, where nobody can put a file/,
  ],
  [
    "a request on the record",
    "{ request: { device: PARTLABEL=boot-record, path: x } }",
    /is the boot record, where nobody can put a file/,
  ],
  ["a patience that is no time", "{ patience: soon }", /"patience" must be seconds, or a time/],
  ["a long patience", "{ patience: 25h }", /^system\.yaml:8:23: "patience" is 25h; the longest is one day/],
  ["a long pause", "{ longest-pause: 25h }", /"longest-pause" is 25h; the longest is one day/],
];

for (const [name, text, message] of faults) {
  test(`refused: ${name}`, () => {
    const [first, ...others] = problemsOf({ system: system(text), keys, authorities });
    assert.match(first ?? "it compiled", message);
    assert.equal(others, []);
  });
}

test("a request on the data filesystem needs one", () => {
  const without = system("{ request: recover }").replace(/^data:.*\n/m, "");
  assert.match(
    problemsOf({ system: without, keys })[0] ?? "",
    /^system\.yaml:7:22: the file lies on the data filesystem, and there is no/,
  );
});

test("authorities are read beside the definition, certificates only, each one looked at", () => {
  const directory = mkdtempSync(join(tmpdir(), "slipway-authorities-"));
  try {
    const openssl = (...words: string[]) => {
      const { status, stdout, stderr } = spawnSync("openssl", words, { encoding: "utf8", cwd: directory });
      assert.is(status, 0, stderr);
      return stdout;
    };
    const make = (subject: string, ca: boolean) =>
      openssl(
        ...["req", "-x509", "-newkey", "ed25519", "-nodes", "-keyout", "key.pem", "-days", "1", "-subj", `/CN=${subject}`],
        ...["-addext", `basicConstraints=critical,CA:${ca ? "TRUE" : "FALSE"}`],
      );
    const [alone, first, second] = [make("alone", false), make("one", true), make("two", true)];
    writeFileSync(join(directory, "two.pem"), second);
    openssl("req", "-new", "-key", "key.pem", "-subj", "/CN=server", "-out", "server.csr");
    const server = openssl("x509", "-req", "-in", "server.csr", "-CA", "two.pem", "-CAkey", "key.pem", "-days", "1");
    const write = (text: string) => writeFileSync(join(directory, "ca.pem"), text);
    const read = () => authoritiesBeside(join(directory, "system.yaml"))("ca.pem");
    write(`Our authorities\r\n${first.replaceAll("\n", "\r\n")}\nand\n${second}`);
    assert.equal(read(), { pem: first + second });
    write(alone);
    assert.equal(read(), { pem: alone }, "a server may be its own authority");
    write(first + server);
    assert.match(
      JSON.stringify(read()),
      /ca\.pem: block 2 \(CN=server\) is the certificate of a server, and not of an authority/,
    );
    write(first.replace(/^MII/m, "MIJ"));
    assert.match(JSON.stringify(read()), /ca\.pem: block 1 is no certificate/);
    rmSync(join(directory, "ca.pem"));
    assert.match(JSON.stringify(read()), /"fault":".*ca\.pem/);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test.run();
