/** PID 1's network on real links: DHCP from dnsmasq, routers, static settings, links that are dead, late, pulled and put in again. */
import { existsSync, readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { noNetworkWords } from "../../boot/network/ip-words.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { MachineNetwork, type NetworkRequest, type Way } from "../../init/network/links/machine-network.ts";
import { greeting, inOwnNetwork, Peer, run, seen } from "./link-world.ts";

inOwnNetwork(import.meta.path);

const DHCP: NetworkRequest = { words: noNetworkWords(), settings: { mode: "dhcp" }, profile: null };
const never = new AbortController().signal;
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let peers: Peer[] = [];
let network: MachineNetwork | null = null;
let told: string[] = [];
let before = "";

async function peer(link: string, ...addresses: string[]): Promise<Peer> {
  const made = new Peer(link);
  peers.push(made);
  return made.connect(...addresses);
}

function open(request: Partial<NetworkRequest> = {}): MachineNetwork {
  before = seen();
  network = MachineNetwork.open(linuxKernel(), { ...DHCP, ...request }, (line) => void told.push(line));
  return network;
}

/** The first way for which `good` holds, after which nobody asks on. */
async function find(good: (way: Way) => boolean | Promise<boolean>, waitMs = 15_000): Promise<Way | null> {
  for await (const way of network?.ways(waitMs, never) ?? []) if (await good(way)) return way;
  return null;
}

test.after.each(async () => {
  network?.close();
  const after = before === "" ? "" : seen();
  network = null;
  for (const one of peers) await one.end();
  const leftBehind = after === before;
  peers = [];
  before = "";
  const lines = told.join("\n");
  told = [];
  assert.ok(leftBehind, `something is left:\n${after}\n${lines}`);
  assert.not.ok(existsSync("/etc/resolv.conf"));
});

const range = (net: string) => [`--dhcp-range=${net}.50,${net}.59,255.255.255.0,2m`, `--dhcp-option=3,${net}.1`];

test("DHCP: the address, the way out and the name servers that dnsmasq gives", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  far.give("203.0.113.1/32", "lo");
  await far.greeter("far away");
  await far.dnsmasq(
    ...range("192.0.2"),
    "--dhcp-option=6,192.0.2.1",
    "--domain=example.test",
    "--address=/mirror.test/203.0.113.1",
  );
  open();
  const way = await find(() => true);
  assert.is(way?.link, "up0");
  assert.is(way?.by, "DHCP");
  assert.match(way?.addresses.join() ?? "", /^192\.0\.2\.5\d\/24$/);
  assert.equal(way?.nameservers, ["192.0.2.1"]);
  assert.is(await greeting("203.0.113.1"), "far away");
  assert.is(await greeting("mirror.test"), "far away", "by name");
  assert.match(readFileSync("/etc/resolv.conf", "utf8"), /^nameserver 192\.0\.2\.1\nsearch example\.test\n/);
  assert.equal(network?.addresses(), [`${way?.addresses[0]} on up0`]);
  assert.match(run("ip", "route", "get", "203.0.113.1"), `via 192.0.2.1 dev up0 src ${way?.addresses[0]?.split("/")[0]}`);
});

test("asked again, the way that somebody was content with comes first", async () => {
  for (const at of [0, 1]) await (await peer(`up${at}`, `192.0.${at}.1/24`)).dnsmasq(...range(`192.0.${at}`));
  open();
  const seenLinks: string[] = [];
  const second = await find((way) => seenLinks.push(way.link) === 2);
  assert.ok(second);
  assert.equal([...seenLinks].sort(), ["up0", "up1"]);
  assert.is((await find(() => true))?.link, second?.link);
  const all: string[] = [];
  assert.is(await find((way) => all.push(way.link) > 9, 3000), null);
  assert.equal([...all].sort(), ["up0", "up1"], "each is given once");
});

test("two links that both answer, the first of which leads nowhere", async () => {
  const dead = await peer("up0", "192.0.2.1/24");
  await dead.dnsmasq(...range("192.0.2"));
  const good = await peer("up1", "198.51.100.1/24");
  good.give("203.0.113.1/32", "lo");
  await good.greeter("the good one");
  const server = { address: "198.51.100.77", server: "198.51.100.1", netmask: "255.255.255.0", leaseSeconds: 600 };
  await good.dhcp({ ...server, router: "198.51.100.1", deaf: 1 });
  open();
  const tried: string[] = [];
  const way = await find(async ({ link }) => {
    tried.push(link);
    return (await greeting("203.0.113.1", 1000)) === "the good one";
  });
  assert.is(way?.link, "up1");
  assert.equal(tried, ["up0", "up1"]);
  assert.not.match(run("ip", "address", "show", "dev", "up0"), "192.0.2.5", "nothing of the dead one stands in the way");
});

test("static, from the control file: IPv4 and IPv6, no server asked before them", async () => {
  const far = await peer("up0", "192.0.2.1/24", "2001:db8:1::1/64");
  far.give("203.0.113.1/32", "lo");
  far.give("2001:db8:ffff::1/128", "lo");
  await far.greeter("static");
  const link = { link: "up0", addresses: ["192.0.2.9/24", "2001:db8:1::9/64"], gateways: ["192.0.2.1", "2001:db8:1::1"] };
  open({ settings: { mode: "static", links: [{ ...link, nameservers: ["192.0.2.53"] }] } });
  const way = await find(() => true);
  const addresses = ["192.0.2.9/24", "2001:db8:1::9/64"];
  assert.equal(way, { link: "up0", by: "control file", addresses, nameservers: ["192.0.2.53"], proxy: null });
  assert.is(await greeting("203.0.113.1"), "static");
  assert.is(await greeting("2001:db8:ffff::1", 5000), "static");
});

test("ip= from the command line goes before the control file, which goes before DHCP", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  await far.dnsmasq(...range("192.0.2"));
  const line = parseCommandLine("ip=192.0.2.7::192.0.2.1:255.255.255.0:box:up0:none:1400 nameserver=192.0.2.99");
  assert.equal(line.warnings, []);
  const fixed = { link: "up0", addresses: ["192.0.2.9/24"], gateways: [], nameservers: [] };
  open({ words: line.network, settings: { mode: "static", links: [fixed] } });
  const ways: string[] = [];
  await find((way) => {
    if (ways.length === 0) assert.match(run("ip", "link", "show", "up0"), "mtu 1400");
    ways.push(`${way.by} ${way.addresses.join()} ${way.nameservers.join()}`.replace(/5\d\/24/, "5x/24"));
    return ways.length === 3;
  });
  assert.equal(ways, [
    "ip= 192.0.2.7/24 192.0.2.99",
    "control file 192.0.2.9/24 192.0.2.99",
    "DHCP 192.0.2.5x/24 192.0.2.99,192.0.2.1",
  ]);
});

test("IPv6 by router advertisement, with its name servers", async () => {
  const far = await peer("up0", "2001:db8:1::1/64");
  far.give("2001:db8:ffff::1/128", "lo");
  await far.greeter("six");
  const names = ["--dhcp-option=option6:dns-server,[2001:db8:1::1]", "--dhcp-option=option6:domain-search,example.test"];
  await far.dnsmasq("--enable-ra", "--dhcp-range=2001:db8:1::,ra-only,64,10m", ...names, "--address=/six.test/2001:db8:ffff::1");
  open();
  const way = await find(() => true, 20_000);
  assert.is(way?.by, "router advertisement");
  assert.match(way?.addresses.join() ?? "", /^2001:db8:1:.*\/64$/);
  assert.is(await greeting("2001:db8:ffff::1", 5000), "six");
  for (let waits = 0; waits < 50 && !/2001:db8:1::1/.test(readFileSync("/etc/resolv.conf", "utf8")); waits++) await sleep(100);
  assert.match(readFileSync("/etc/resolv.conf", "utf8"), "nameserver 2001:db8:1::1\nsearch example.test\n");
  assert.is(await greeting("six.test", 5000), "six", "by name");
});

test("IPv6 of a site, as QEMU's network has it", async () => {
  const far = await peer("up0", "fec0:0:0:1::1/64");
  await far.dnsmasq("--enable-ra", "--dhcp-range=fec0:0:0:1::,ra-only,64,10m");
  open();
  const way = await find(() => true, 20_000);
  assert.is(way?.by, "router advertisement");
  assert.match(way?.addresses.join() ?? "", /^fec0::1:.*\/64$/);
});

test("no carrier: it ends in time; once the cable is in, the link is asked", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  far.plug(false);
  open();
  assert.is(await find(() => true, 1000), null);
  const later = find(() => true, 20_000);
  await sleep(500);
  far.plug(true);
  await far.dnsmasq(...range("192.0.2"));
  assert.is((await later)?.by, "DHCP");
});

test("no link at all; one that appears counts", async () => {
  open();
  assert.is(await find(() => true, 500), null);
  const later = find(() => true, 20_000);
  const far = await peer("up0", "192.0.2.1/24");
  await far.dnsmasq(...range("192.0.2"));
  assert.is((await later)?.link, "up0");
  network?.close();
  network = null;
  before = "";
});

test("a server that takes its offers back, and then stands by one", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  const server = { address: "192.0.2.77", server: "192.0.2.1", netmask: "255.255.255.0", leaseSeconds: 600, router: "192.0.2.1" };
  await far.dhcp({ ...server, naks: 2 });
  open();
  assert.equal((await find(() => true, 20_000))?.addresses, ["192.0.2.77/24"]);
});

test("a server that sends wrong and evil answers beside the right ones", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  const server = { address: "192.0.2.77", server: "192.0.2.1", netmask: "255.255.255.0", leaseSeconds: 600, router: "192.0.2.1" };
  await far.dhcp({ ...server, hostile: true });
  open();
  const way = await find(() => true, 20_000);
  assert.equal(way?.addresses, ["192.0.2.77/24"], told.join("\n"));
});

test("a lease of 4 s is renewed while somebody waits for something else; without its server it ends, and a new one is asked", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  const server = { address: "192.0.2.77", server: "192.0.2.1", netmask: "255.255.255.0", leaseSeconds: 4, router: "192.0.2.1" };
  const process = await far.dhcp({ ...server, dumbAfter: 4 });
  open();
  assert.ok(await find(() => true));
  await sleep(5500);
  assert.match(run("ip", "address", "show", "dev", "up0"), "192.0.2.77/24", "renewed");
  const gone = () => !run("ip", "address", "show", "dev", "up0").includes("192.0.2.77");
  for (let waits = 0; waits < 150 && !gone(); waits++) await sleep(100);
  assert.ok(gone(), "the lease ran out");
  assert.match(told.join("\n"), "ran out");
  process.kill("SIGKILL");
  await far.dhcp({ ...server, address: "192.0.2.78" });
  const back = () => run("ip", "address", "show", "dev", "up0").includes("192.0.2.78");
  for (let waits = 0; waits < 300 && !back(); waits++) await sleep(100);
  assert.ok(back(), "the new address is set up without anybody asking");
});

test("routes of RFC 3442, one of them on the link, take the place of the router", async () => {
  const far = await peer("up0", "192.0.2.1/24", "198.18.0.1/16");
  far.give("203.0.113.1/32", "lo");
  await far.greeter("classless");
  await far.dnsmasq(...range("192.0.2"), "--dhcp-option=121,203.0.113.0/24,192.0.2.1,198.18.0.0/16,0.0.0.0");
  open();
  assert.ok(await find(() => true));
  assert.is(await greeting("203.0.113.1"), "classless");
  assert.is(await greeting("198.18.0.1"), "classless", "on the link");
  assert.not.match(run("ip", "route"), "default");
});

test("a link whose cable is pulled and put in again goes on with its address, in the same network and in another one", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  const server = await far.dnsmasq(...range("192.0.2"));
  open();
  const way = await find(() => true);
  far.plug(false);
  await sleep(600);
  assert.match(run("ip", "address", "show", "dev", "up0"), String(way?.addresses[0]));
  far.plug(true);
  await sleep(1000);
  assert.match(run("ip", "address", "show", "dev", "up0"), String(way?.addresses[0]));
  far.plug(false);
  server.kill("SIGKILL");
  await sleep(400);
  far.inside("ip", "address", "flush", "dev", "far");
  far.plug(true);
  far.give("198.51.100.1/24");
  await far.dnsmasq(...range("198.51.100"), "--dhcp-authoritative");
  const moved = () => run("ip", "address", "show", "dev", "up0").includes("198.51.100.5");
  for (let waits = 0; waits < 200 && !moved(); waits++) await sleep(100);
  assert.ok(moved(), told.join("\n"));
});

test("what the healthy system had is tried where no server answers, with its proxy", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  await far.greeter("as before");
  const hardware = JSON.parse(run("ip", "-j", "link", "show", "up0"))[0].address;
  const links = [{ hardware, name: "eth7", addresses: ["192.0.2.8/24"], gateways: ["192.0.2.1"] }];
  const profile = { links, nameservers: ["192.0.2.1"], proxy: "http://192.0.2.1:3128" };
  open({ profile });
  const way = await find(() => true, 12_000);
  assert.equal(way, {
    link: "up0",
    by: "profile",
    addresses: ["192.0.2.8/24"],
    nameservers: ["192.0.2.1"],
    proxy: profile.proxy,
  });
  assert.is(await greeting("192.0.2.1"), "as before");
});

test("network: off, or ip=off: no link is touched", async () => {
  const far = await peer("up0", "192.0.2.1/24");
  await far.dnsmasq(...range("192.0.2"));
  open({ settings: { mode: "off" } });
  assert.is(await find(() => true, 300), null);
  assert.is(seen(), before);
  network?.close();
  open({ words: parseCommandLine("ip=off").network });
  assert.is(await find(() => true, 300), null);
  assert.is(seen(), before);
});

test("whoever gives up is not kept waiting", async () => {
  await peer("up0", "192.0.2.1/24");
  open();
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 200);
  const began = performance.now();
  for await (const way of network?.ways(60_000, stop.signal) ?? []) assert.unreachable(way.link);
  assert.ok(performance.now() - began < 30_000);
});

test.run();
