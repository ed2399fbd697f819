/** The way to the network that is kept beside the boot record: its form, its two copies, and what commit keeps. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MOST_IN_PROFILE, type NetworkProfile, networkProfile } from "../../boot/network/profile.ts";
import { isStub, type NetworkFacts, nameserversIn, profileOf } from "../../boot/network/profile-of.ts";
import { ADDRESS_FLAG, type AddressFacts, type LinkFacts, type RouteFacts } from "../../boot/network/rtnetlink.ts";
import { decodeFrame, encodeFrame } from "../../boot/record/frame.ts";
import { encodeProfile, readProfile } from "../../boot/record/profile-store.ts";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import { commit } from "../../init/commands/commit.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { readNetworkProfile, writeNetworkProfile } from "../../init/store/network-profile.ts";
import { parseAddress, parseHardware, parsePrefixed } from "../../state-ops/ip-address.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { matchesGolden } from "../golden.ts";
import { report, TestMachine, trialOfB } from "./commands-machine.ts";

const { profileOffsets, profileSize, minimumPartitionSize } = RECORD_LAYOUT;

const link = { hardware: "52:54:00:12:34:56", name: "eth0", addresses: ["192.0.2.10/24"], gateways: ["192.0.2.1"] };
const old: NetworkProfile = { links: [link], nameservers: ["192.0.2.53"], proxy: null };
const fresh: NetworkProfile = { ...old, nameservers: ["2001:db8::53"], proxy: "http://proxy.example:3128" };
const json = (profile: NetworkProfile) => ({ schema: 1, ...structuredClone(profile) });

function area(...parts: Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(profileSize);
  for (const part of parts) bytes.set(part);
  return bytes;
}

test("the copies lie beside the record and its journal, at least 1 MiB apart, within the smallest partition", () => {
  const { areaSize, copyOffsets, journalOffset, journalSize, writeUnit } = RECORD_LAYOUT;
  const places = [
    ...copyOffsets.map((offset) => [offset, areaSize] as const),
    [journalOffset, journalSize] as const,
    ...profileOffsets.map((offset) => [offset, profileSize] as const),
  ].sort((left, right) => left[0] - right[0]);
  for (const [index, [offset, size]] of places.entries()) {
    assert.is(offset % writeUnit, 0);
    assert.ok(offset + size <= (places[index + 1]?.[0] ?? minimumPartitionSize));
  }
  assert.ok(profileOffsets[1] - profileOffsets[0] >= 1024 * 1024);
});

test("what is written is read, from either copy, and the newer one counts", () => {
  assert.equal(readProfile([area(), area()]), { profile: null, sequence: 0, nextCopy: 0, reason: null });
  const [first, second] = [area(encodeProfile(old, 7)), area(encodeProfile(fresh, 8))];
  assert.equal(readProfile([first, area()]), { profile: old, sequence: 7, nextCopy: 1, reason: null });
  assert.equal(readProfile([area(), first]), { profile: old, sequence: 7, nextCopy: 0, reason: null });
  assert.equal(readProfile([first, second]), { profile: fresh, sequence: 8, nextCopy: 0, reason: null });
  assert.equal(readProfile([second, first]), { profile: fresh, sequence: 8, nextCopy: 1, reason: null });
  assert.is(encodeProfile(old, 1).length % 4096, 0);
});

test("a torn write leaves the former profile, or the new one, or none: never anything else", () => {
  for (const kept of [area(), area(encodeProfile(old, 7))]) {
    const before = readProfile([kept, area()]).profile;
    for (const stale of [area(), area(encodeProfile({ ...old, nameservers: [] }, 6))]) {
      const next = encodeProfile(fresh, 8);
      for (let length = 0; length <= next.length; length += 1) {
        const torn = area(stale, next.subarray(0, length));
        const { profile } = readProfile([kept, torn]);
        const allowed = [before, fresh, readProfile([area(), stale]).profile].map((value) => JSON.stringify(value));
        assert.ok(allowed.includes(JSON.stringify(profile)), `${length} bytes`);
        if (before !== null) assert.ok([old, fresh].some((value) => JSON.stringify(value) === JSON.stringify(profile)));
      }
    }
  }
});

const wrong: [string, (value: ReturnType<typeof json>) => unknown][] = [
  ["schema 2", (value) => ({ ...value, schema: 2 })],
  ["a key too many", (value) => ({ ...value, password: "x" })],
  ["no links", (value) => ({ ...value, links: [] })],
  ["a link without addresses", (value) => ({ ...value, links: [{ ...link, addresses: [] }] })],
  ["an address without a length", (value) => ({ ...value, links: [{ ...link, addresses: ["192.0.2.1"] }] })],
  ["an address that is none", (value) => ({ ...value, links: [{ ...link, addresses: ["192.0.2.256/24"] }] })],
  ["a gateway that is a name", (value) => ({ ...value, links: [{ ...link, gateways: ["router"] }] })],
  ["a hardware address of zeros", (value) => ({ ...value, links: [{ ...link, hardware: "00:00:00:00:00:00" }] })],
  ["a name that leads elsewhere", (value) => ({ ...value, links: [{ ...link, name: "../x" }] })],
  ["a name that is too long", (value) => ({ ...value, links: [{ ...link, name: "x".repeat(16) }] })],
  ["too many links", (value) => ({ ...value, links: Array.from({ length: 17 }, () => link) })],
  ["too many name servers", (value) => ({ ...value, nameservers: Array.from({ length: 9 }, () => "192.0.2.1") })],
  ["a name server that is none", (value) => ({ ...value, nameservers: ["192.0.2.1\nsearch x"] })],
  ["a proxy with a password", (value) => ({ ...value, proxy: "http://user:secret@proxy:3128" })],
  ["a proxy over https", (value) => ({ ...value, proxy: "https://proxy:3128" })],
  ["a number", () => 5],
  ["null", () => null],
];
for (const [what, change] of wrong) {
  test(`${what} is no profile, in any copy`, () => {
    const value = change(json(old));
    assert.throws(
      () => networkProfile(value),
      (error: unknown) => error instanceof BadInput && !error.message.includes("secret"),
    );
    const bytes = area(encodeFrame("network", 9, new TextEncoder().encode(JSON.stringify(value))));
    const reading = readProfile([area(encodeProfile(old, 7)), bytes]);
    assert.equal([reading.profile, reading.sequence, reading.nextCopy], [old, 9, 1]);
    assert.match(reading.reason ?? "", "copy 1: ");
  });
}

test("a frame of another kind, and a record, are no profile", () => {
  const payload = decodeFrame("network", encodeProfile(old, 1)).frame?.payload ?? new Uint8Array(0);
  assert.is(readProfile([area(encodeFrame("record", 3, payload)), area()]).profile, null);
});

test("whatever bytes lie there: none, or a profile that is sound", () => {
  const sound = encodeProfile(fresh, 3);
  const spoiled = fc
    .tuple(fc.nat(sound.length - 1), fc.uint8Array({ minLength: 1, maxLength: 40 }))
    .map(([at, bytes]) => area(sound, Uint8Array.from([...sound.subarray(0, at), ...bytes]).subarray(0, profileSize)));
  const framed = fc
    .oneof(fc.json(), fc.string(), fc.constant(JSON.stringify(json(old))))
    .map((text) => area(encodeFrame("network", 4, new TextEncoder().encode(text).subarray(0, 8000))));
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => area(bytes)),
    spoiled,
    framed,
  );
  let found = 0;
  fc.assert(
    fc.property(anything, anything, (first, second) => {
      const { profile } = readProfile([first, second]);
      if (profile === null) return;
      found++;
      assert.equal(networkProfile(json(profile)), profile);
    }),
    { numRuns: 3000 },
  );
  assert.ok(found > 50);
});

test("the largest profile fits its area", () => {
  const longest = {
    hardware: "52:54:00:12:34:56",
    name: "n".repeat(15),
    addresses: Array.from({ length: MOST_IN_PROFILE.addresses }, () => "2001:db8:1111:2222:3333:4444:5555:6666/128"),
    gateways: Array.from({ length: MOST_IN_PROFILE.gateways }, () => "2001:db8:1111:2222:3333:4444:5555:6666"),
  };
  const profile = {
    links: Array.from({ length: MOST_IN_PROFILE.links }, () => longest),
    nameservers: Array.from({ length: MOST_IN_PROFILE.nameservers }, () => "2001:db8:1111:2222:3333:4444:5555:6666"),
    proxy: `http://${"p".repeat(254)}:65535`,
  };
  assert.equal(readProfile([area(encodeProfile(profile, 1)), area()]).profile, profile);
});

function card(index: number, name: string, hardware: string, change: Partial<LinkFacts> = {}): LinkFacts {
  const bytes = parseHardware(hardware) ?? new Uint8Array(6);
  return { index, name, type: 1, hardware: bytes, up: true, carrier: true, mtu: 1500, master: 0, ...change };
}
function address(link: number, text: string, change: Partial<AddressFacts> = {}): AddressFacts {
  const prefixed = parsePrefixed(text);
  if (prefixed === null) throw new Error(text);
  return { link, ...prefixed, peer: null, flags: ADDRESS_FLAG.permanent, scope: 0, ...change };
}
function route(link: number, to: string, via: string | null, metric = 100, table = 254): RouteFacts {
  const destination = parsePrefixed(to);
  if (destination === null) throw new Error(to);
  return { destination, gateway: via === null ? null : parseAddress(via), link, metric, source: null, by: 3, table };
}
const nothing: NetworkFacts = { links: [], addresses: [], routes: [], nameservers: [], proxy: null };

test("what of a network is kept: cards with addresses that last, and the routers that lead out", () => {
  const facts: NetworkFacts = {
    links: [
      card(1, "lo", "00:00:00:00:00:00", { type: 772 }),
      card(2, "eth1", "52:54:00:00:00:02"),
      card(3, "eth0", "52:54:00:00:00:03"),
      card(4, "eth2", "52:54:00:00:00:04", { up: false }),
      card(5, "tun0", "52:54:00:00:00:05", { type: 65534 }),
      card(6, "eth3", "52:54:00:00:00:06"),
    ],
    addresses: [
      address(1, "127.0.0.1/8"),
      address(2, "198.51.100.7/24"),
      address(3, "fe80::1/64", { scope: 253 }),
      address(3, "2001:db8::9/64", { flags: ADDRESS_FLAG.tentative }),
      address(3, "2001:db8::a/64", { flags: 0x01 }),
      address(3, "2001:db8::b/64", { flags: ADDRESS_FLAG.deprecated }),
      address(3, "2001:db8::10/64", { flags: 0 }),
      address(3, "192.0.2.11/24", { flags: 0x01 }),
      address(3, "192.0.2.10/24"),
      address(4, "192.0.2.20/24"),
      address(5, "10.8.0.2/24"),
    ],
    routes: [
      route(3, "0.0.0.0/0", "192.0.2.2", 200),
      route(3, "0.0.0.0/0", "192.0.2.1", 100),
      route(3, "::/0", "fe80::1", 1024),
      route(3, "::/0", "fe80::1", 2048),
      route(3, "0.0.0.0/0", "192.0.2.9", 1, 100),
      route(3, "192.0.2.0/24", null),
      route(2, "10.0.0.0/8", "198.51.100.1"),
    ],
    nameservers: ["127.0.0.1", "192.0.2.53", "192.0.2.53", "::1", "2001:db8::53"],
    proxy: "http://proxy.example:3128",
  };
  const kept = {
    links: [
      {
        hardware: "52:54:00:00:00:03",
        name: "eth0",
        addresses: ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"],
        gateways: ["192.0.2.1", "192.0.2.2", "fe80::1"],
      },
      { hardware: "52:54:00:00:00:02", name: "eth1", addresses: ["198.51.100.7/24"], gateways: [] },
    ],
    nameservers: ["192.0.2.53", "2001:db8::53"],
    proxy: "http://proxy.example:3128",
  };
  assert.equal(profileOf(facts), kept);
  const turned = { ...facts, links: facts.links.toReversed(), addresses: facts.addresses.toReversed() };
  assert.equal(profileOf(turned), kept, "the order in which the kernel lists them changes nothing");
  assert.is(profileOf({ ...facts, proxy: "http://user:secret@proxy:1" })?.proxy, null);
  assert.equal(networkProfile(json(kept)), kept);
});

test("a network that is down leaves nothing to keep", () => {
  assert.is(profileOf(nothing), null);
  assert.is(profileOf({ ...nothing, links: [card(2, "eth0", "52:54:00:00:00:02")], nameservers: ["192.0.2.1"] }), null);
});

test("more links and addresses than have room are cut, those that lead out last", () => {
  const links = Array.from({ length: 40 }, (_, index) =>
    card(index, `eth${index}`, `52:54:00:00:00:${(index + 16).toString(16)}`),
  );
  const addresses = links.flatMap(({ index }) =>
    Array.from({ length: 20 }, (_, host) => address(index, `10.0.${index}.${host + 1}/24`)),
  );
  const profile = profileOf({ ...nothing, links, addresses, routes: [route(39, "0.0.0.0/0", "10.0.39.254")] });
  assert.is(profile?.links.length, MOST_IN_PROFILE.links);
  assert.is(profile?.links[0]?.name, "eth39");
  assert.ok(profile !== null && encodeProfile(profile, 1).length <= profileSize);
});

test("name servers as resolv.conf names them", () => {
  const text =
    "# nameserver 1.1.1.1\nnameserver 192.0.2.53\n nameserver\t2001:db8::53 # x\nnameserver fe80::1%eth0\nnameservers 1.2.3.4\nsearch x\n";
  assert.equal(nameserversIn(text), ["192.0.2.53", "2001:db8::53"]);
  assert.equal([isStub(["127.0.0.53"]), isStub(["::1"]), isStub(["192.0.2.1"]), isStub([])], [true, true, false, false]);
});

/** A machine with a card that is up, as a system sets it up. */
function connected(options: ConstructorParameters<typeof TestMachine>[0] = {}): TestMachine {
  const machine = new TestMachine({
    ...options,
    root: { "etc/resolv.conf": "nameserver 127.0.0.53\n", "etc/slipway": {}, ...options.root },
    run: { systemd: { resolve: { "resolv.conf": "nameserver 192.0.2.53\n" } }, ...options.run },
  });
  connect(machine.kernel, "192.0.2.10/24");
  return machine;
}

function connect(kernel: RecordingKernel, text: string): void {
  const index =
    [...kernel.network.links.values()].find(({ name }) => name === "eth0")?.index ??
    kernel.network.addLink({ name: "eth0", hardware: "52:54:00:12:34:56" });
  kernel.network.changeLink(index, { up: true, mtu: null, hardware: null });
  kernel.network.addresses.length = 0;
  kernel.network.addresses.push(address(index, text));
  kernel.network.routes.length = 0;
  kernel.network.routes.push(route(index, "0.0.0.0/0", "192.0.2.1"));
}

const kept = (machine: TestMachine) => readNetworkProfile(machine.kernel, "/dev/vda1");
const copies = profileOffsets.map((offset) => `at 0x${offset.toString(16)})`);
const writes = (machine: TestMachine) =>
  machine.kernel.trace.split("\n").filter((line) => copies.some((copy) => line.endsWith(copy))).length;

test("commit keeps the way to the network, and writes it only where it changed", () => {
  const machine = connected(trialOfB());
  machine.kernel.beginTrace();
  assert.equal(commit(machine.kernel, machine.places).warnings, []);
  matchesGolden("network-profile-commit", machine.kernel.trace);
  assert.equal(kept(machine), { profile: { links: [link], nameservers: ["192.0.2.53"], proxy: null }, reason: null });
  assert.is(writes(machine), 1);
  commit(machine.kernel, machine.places);
  assert.is(writes(machine), 1, "nothing changed");
  connect(machine.kernel, "192.0.2.77/24");
  commit(machine.kernel, machine.places);
  assert.is(writes(machine), 2, "a later good boot keeps what changed");
  assert.equal(kept(machine).profile?.links[0]?.addresses, ["192.0.2.77/24"]);
  machine.kernel.network.addresses.length = 0;
  commit(machine.kernel, machine.places);
  assert.equal(kept(machine).profile?.links[0]?.addresses, ["192.0.2.77/24"], "a network that is down is not worth to be kept");
});

test("the proxy that the sources are asked through is kept, never with a password", () => {
  const sources = (proxy: string) =>
    JSON.stringify({ schema: 1, sources: [{ origin: "https://u.example" }, { origin: "https://v.example", proxy }] });
  const good = connected({ root: { "etc/slipway": { "sources.json": sources("http://proxy.example:3128") } } });
  assert.equal(commit(good.kernel, good.places).warnings, []);
  assert.is(kept(good).profile?.proxy, "http://proxy.example:3128");
  const bad = connected({ root: { "etc/slipway": { "sources.json": sources("http://user:secret@proxy:1") } } });
  const { warnings } = commit(bad.kernel, bad.places);
  assert.match(warnings.join(), "is not remembered");
  assert.not.match(warnings.join(), "secret");
});

test("what cannot be kept is a warning and fails no commit", () => {
  const refusals: Parameters<RecordingKernel["failOn"]>[0][] = [
    { call: "openSocket", code: "EPERM" },
    { call: "sendTo", code: "ENOBUFS" },
    { call: "receive", code: "ENOMEM" },
    { call: "write", match: /at 0x280000/, code: "EIO" },
    { call: "read", match: /at 0x280000/, code: "EIO" },
  ];
  for (const rule of refusals) {
    const machine = connected(trialOfB());
    machine.kernel.failOn(rule);
    const { warnings, changed } = commit(machine.kernel, machine.places);
    assert.match(warnings.join(), /not remembered for a recovery: .*(EPERM|ENOBUFS|ENOMEM|EIO)/, rule.call);
    assert.is(changed, true);
    assert.is(machine.slot("b").state, "committed");
  }
});

test("a kernel that does not answer, or answers with what is cut, is no reason to hang or to fail", () => {
  for (const piece of [null, new Uint8Array(3), new Uint8Array(40).fill(7)]) {
    const machine = connected();
    machine.kernel.receive = () => {
      if (piece !== null) machine.kernel.poll([], 100);
      return piece?.slice() ?? null;
    };
    assert.match(commit(machine.kernel, machine.places).warnings.join(), "did not answer within 2 s");
  }
});

test("what safe mode runs with is not kept", () => {
  const recovery = { asked: null, rung: "safe-mode" as const, steps: [], network: null, reportedTo: null };
  const machine = connected({ report: report({ recovery }) });
  assert.throws(() => commit(machine.kernel, machine.places), /safe mode/);
  assert.is(kept(machine).profile, null);
});

test("wherever the power fails in a commit, the former profile or the new one is there, and the record is whole", () => {
  const seen = new Set<string>();
  for (let effects = 0, cut = true; cut; effects++) {
    for (const torn of [0, 512, 3000]) {
      const machine = connected(trialOfB());
      assert.is(writeNetworkProfile(machine.kernel, "/dev/vda1", fresh).written, true);
      machine.kernel.beginTrace();
      machine.kernel.crashAfter(effects, torn, "lost");
      cut = false;
      try {
        commit(machine.kernel, machine.places);
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
        cut = true;
      }
      const read = (offset: number) => machine.recordDevice.storage.read(offset, profileSize);
      const { profile } = readProfile([read(profileOffsets[0]), read(profileOffsets[1])]);
      const next = { ...old, nameservers: ["192.0.2.53"] };
      seen.add(JSON.stringify(profile));
      assert.ok(
        [fresh, next].some((value) => JSON.stringify(value) === JSON.stringify(profile)),
        `after ${effects} effects`,
      );
    }
    assert.ok(effects < 60);
  }
  assert.is(seen.size, 2, "both were seen");
});

test("a partition that cannot be read has none, with the reason", () => {
  const machine = new TestMachine();
  machine.kernel.failOn({ call: "open", match: /vda1/, code: "ENXIO" });
  const { profile, reason } = kept(machine);
  assert.is(profile, null);
  assert.match(reason ?? "", "ENXIO");
});

test.run();
