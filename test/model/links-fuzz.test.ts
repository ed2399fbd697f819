/**
 * Whatever comes over a link, from the kernel or on the command line: readers end in bounded time and never throw, what they take
 * is sound, and a DHCP client among servers that lie neither stops, nor asks without bound, nor has an address for longer than it got.
 */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { type DhcpAction, DhcpClient } from "../../boot/network/dhcp-client.ts";
import { decodeFrame, EVERYBODY, encodeFrame } from "../../boot/network/dhcp-frame.ts";
import { readLease, readRoutes } from "../../boot/network/dhcp-lease.ts";
import { DHCP, type DhcpMessage, decodeDhcp, encodeDhcp, OPTION } from "../../boot/network/dhcp-message.ts";
import { resolvConf } from "../../boot/network/resolv-conf.ts";
import { readRouterOptions } from "../../boot/network/router-options.ts";
import { readMessages, readRequest } from "../../boot/network/rtnetlink.ts";
import { encodeNews, encodeRequest } from "../../boot/network/rtnetlink-encode.ts";
import { readDomainList, soundDomain } from "../../boot/network/search-list.ts";
import {
  isHostIpv4,
  networkOf,
  parseAddress,
  parsePrefixed,
  prefixOfMask,
  printAddress,
  printPrefixed,
  sameBytes,
} from "../../state-ops/ip-address.ts";
import { SERVER_HARDWARE } from "../samples/dhcp-server.ts";
import { editedBytes, editedText, runs } from "./fuzz-inputs.ts";

const four = fc.uint8Array({ minLength: 4, maxLength: 4 });
const sixteen = fc.uint8Array({ minLength: 16, maxLength: 16 });
const sparse = fc
  .array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 })
  .map((bytes) => Uint8Array.from(bytes));
const anyBytes = fc.uint8Array({ maxLength: 700 });

test("addresses: what is printed is read again, and nothing else is", () => {
  fc.assert(
    fc.property(fc.oneof(four, sixteen, sparse), fc.nat(128), (address, length) => {
      const text = printAddress(address);
      assert.equal(parseAddress(text), address, text);
      const prefix = Math.min(length, address.length * 8);
      assert.equal(parsePrefixed(printPrefixed({ address, prefix })), { address, prefix });
      const network = networkOf({ address, prefix });
      assert.equal(networkOf(network), network);
      if (address.length === 16) {
        const url = new URL(`http://[${text}]/`).hostname;
        assert.is(url, `[${text}]`, "as RFC 5952 and URLs write it");
      } else {
        const found = prefixOfMask(address);
        const all = networkOf({ address: Uint8Array.of(255, 255, 255, 255), prefix: found ?? 0 }).address;
        assert.ok(found === null || sameBytes(all, address));
      }
    }),
    runs(3000),
  );
  let read = 0;
  const seeds = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1", "1:2:3:4:5:6:7:8", "[2001:db8::1]/64", "10.0.0.0/8"];
  fc.assert(
    fc.property(fc.constantFrom(...seeds).chain(editedText), (text) => {
      const prefixed = parsePrefixed(text);
      if (prefixed === null) return;
      read++;
      assert.equal(parsePrefixed(printPrefixed(prefixed)), prefixed);
    }),
    runs(3000),
  );
  assert.ok(read > 50, `${read} of the edited texts are addresses`);
});

test("the command line: every word about the network is obeyed or quoted with a reason", () => {
  const seeds = [
    "ip=192.0.2.7::192.0.2.1:255.255.255.0:box:eth0:none:1400:52:54:00:00:00:01",
    "ip=[2001:db8::7]::[2001:db8::1]:64::eth0:none:[2001:db8::53]",
    "ip=eth0:dhcp:1400",
    "ip=dhcp",
    "nameserver=192.0.2.53",
    "rd.route=[2001:db8:5::]/48:[fe80::1]:eth0",
    "ifname=b0:52:54:00:00:00:0b",
  ];
  const ends = { obeyed: 0, quoted: 0 };
  fc.assert(
    fc.property(fc.constantFrom(...seeds).chain(editedText), (text) => {
      if (/[\s"]/.test(text)) return;
      const { network, warnings } = parseCommandLine(text);
      const words = [...network.links, ...network.nameservers, ...network.routes];
      const known = /^(ip|nameserver|rd\.route)=/.test(text);
      if (known && !network.off) assert.is(words.length + warnings.length, 1, text);
      if (warnings.length > 0) ends.quoted++;
      else ends.obeyed++;
      for (const link of network.links) {
        for (const one of [...link.addresses, ...link.gateways, ...link.nameservers]) assert.ok(parsePrefixed(one), text);
        assert.ok(link.mtu === null || (link.mtu >= 68 && link.mtu <= 65_535));
      }
    }),
    runs(5000),
  );
  assert.ok(ends.obeyed > 300 && ends.quoted > 300, JSON.stringify(ends));
});

const option = fc.tuple(
  fc.constantFrom(...Object.values(OPTION).filter((code) => code !== OPTION.overload), 77, 200),
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    four,
    fc.constantFrom(Uint8Array.of(DHCP.offer), Uint8Array.of(DHCP.ack), Uint8Array.of(DHCP.nak)),
  ),
);
const hardware = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const message: fc.Arbitrary<DhcpMessage> = fc.record(
  {
    operation: fc.constantFrom(1, 2),
    transaction: fc.integer({ min: 0, max: 0xffffffff }),
    seconds: fc.nat(65_535),
    broadcast: fc.boolean(),
    client: four,
    yours: four,
    hardware: fc.constant(hardware),
    options: fc.array(option, { maxLength: 12 }).map((all) => new Map(all)),
  },
  { noNullPrototype: true },
);

test("DHCP's messages and frames: as they went in, or refused", () => {
  fc.assert(
    fc.property(message, four, four, (one, source, destination) => {
      assert.equal(decodeDhcp(encodeDhcp(one)), one);
      const frame = { from: SERVER_HARDWARE, to: EVERYBODY, source, destination, message: one };
      assert.equal(decodeFrame(encodeFrame(frame)), frame);
    }),
    runs(1500),
  );
  let read = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        message.chain((one) => editedBytes(encodeDhcp(one))),
        anyBytes,
      ),
      (bytes) => {
        const decoded = decodeDhcp(bytes);
        if (decoded === null) return;
        read++;
        const lease = readLease(decoded);
        if (lease === null) return;
        assert.ok(isHostIpv4(lease.address.address) && lease.address.prefix > 0 && lease.address.prefix <= 32);
        assert.ok(lease.renewalMs >= 1000 && lease.renewalMs <= lease.rebindingMs && lease.rebindingMs <= lease.lengthMs);
        assert.ok(
          lease.routes.every(({ gateway, destination }) => (gateway === null || isHostIpv4(gateway)) && destination.prefix <= 32),
        );
        assert.ok(lease.search.every(soundDomain));
        const text = resolvConf(lease.nameservers.map(printAddress), lease.search);
        assert.match(text, /^(nameserver [0-9.]+\n)*(search [A-Za-z0-9_. -]+\n)?options timeout:2 attempts:2\n$/);
      },
    ),
    runs(5000),
  );
  assert.ok(read > 300, `${read} were read`);
  fc.assert(
    fc.property(
      message.chain((one) =>
        editedBytes(
          encodeFrame({ from: SERVER_HARDWARE, to: EVERYBODY, source: one.client, destination: one.yours, message: one }),
        ),
      ),
      (bytes) => {
        decodeFrame(bytes);
      },
    ),
    runs(3000),
  );
});

test("routes, lists of domains and options of routers", () => {
  const list = Uint8Array.of(3, 0x61, 0x62, 0x63, 0, 2, 0x78, 0x79, 0xc0, 0, 1, 0x7a, 0xc0, 5);
  fc.assert(
    fc.property(fc.oneof(anyBytes, editedBytes(list)), (bytes) => {
      const domains = readDomainList(bytes);
      assert.ok(domains.length <= 6 && domains.every(soundDomain));
      readRoutes(bytes);
    }),
    runs(3000),
  );
  const options = Uint8Array.of(
    25,
    3,
    0,
    0,
    0,
    0,
    1,
    0,
    0x20,
    1,
    0xd,
    0xb8,
    ...new Uint8Array(11),
    1,
    31,
    2,
    0,
    0,
    0,
    0,
    1,
    0,
    1,
    0x61,
    0,
    0,
    0,
    0,
    0,
    0,
  );
  let read = 0;
  fc.assert(
    fc.property(fc.oneof(anyBytes, editedBytes(options)), (bytes) => {
      const { nameservers, search } = readRouterOptions(bytes);
      read += nameservers.length;
      assert.ok(nameservers.every(({ address }) => address.length === 16) && search.every(({ domain }) => soundDomain(domain)));
    }),
    runs(3000),
  );
  assert.ok(read > 100);
});

test("what the kernel says, cut and changed", () => {
  const link = { index: 3, name: "eth0", type: 1, hardware, up: true, carrier: true, mtu: 1500, master: 0 };
  const address = { link: 3, address: new Uint8Array(16).fill(1), prefix: 64, peer: null, flags: 0, scope: 0 };
  const destination = { address: new Uint8Array(4), prefix: 0 };
  const route = { destination, gateway: Uint8Array.of(192, 0, 2, 1), link: 3, metric: 9, source: null, by: 9, table: 254 };
  const all = [
    encodeNews({ is: "link", link }, 1),
    encodeNews({ is: "address", address }, 2),
    encodeNews({ is: "route", route }, 3),
    encodeNews({ is: "router-options", link: 3, options: new Uint8Array(24) }, 4),
    encodeNews({ is: "done", errno: 0 }, 5),
    encodeRequest({ ask: "change-link", link: 3, up: true, mtu: 1500, hardware }, 6),
  ];
  const whole = Uint8Array.of(...all.flatMap((bytes) => [...bytes]));
  let read = 0;
  fc.assert(
    fc.property(fc.oneof(editedBytes(whole), editedBytes(whole), anyBytes), (bytes) => {
      const messages = readMessages(bytes);
      assert.ok(messages.length <= bytes.length / 16 + 1);
      read += messages.filter(({ is }) => is !== "unknown").length;
      readRequest(bytes);
    }),
    runs(5000),
  );
  assert.ok(read > 1000);
});

test("a DHCP client among servers that lie", () => {
  const ends = { held: 0, dropped: 0, sent: 0 };
  const answer = fc.option(
    fc.record({
      type: fc.constantFrom(DHCP.offer, DHCP.ack, DHCP.nak),
      last: fc.integer({ min: 7, max: 9 }),
      seconds: fc.nat(255),
    }),
    { nil: null, freq: 6 },
  );
  const happening = fc.oneof(
    fc.record({ is: fc.constant("time" as const), ms: fc.oneof(fc.nat(5000), fc.nat(5_000_000)) }),
    fc.record({ is: fc.constant("message" as const), message, ours: fc.boolean(), answer }),
    fc.record({ is: fc.constant("message" as const), message, ours: fc.constant(true), answer }),
    fc.record({ is: fc.constant("carrier" as const), up: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(happening, { minLength: 1, maxLength: 60 }), (script) => {
      const client = new DhcpClient({ hardware, hostname: null }, () => 0.5);
      let [nowMs, held, untilMs, sentAtMs, sentThen] = [0, false, 0, -1, 0];
      const check = (actions: DhcpAction[]): void => {
        for (const action of actions) {
          if (action.do === "send") {
            ends.sent++;
            sentThen = sentAtMs === nowMs ? sentThen + 1 : 1;
            sentAtMs = nowMs;
            assert.ok(sentThen <= 4, "asks without a pause");
            assert.equal(decodeDhcp(encodeDhcp(action.message)), action.message);
          } else if (action.do === "use") {
            held = true;
            untilMs = nowMs + action.lease.lengthMs;
            ends.held++;
          } else {
            assert.ok(held, "gives up what it has not got");
            held = false;
            ends.dropped++;
          }
        }
        assert.is(client.lease !== null, held);
      };
      check(client.begin(nowMs));
      for (const event of script) {
        if (event.is === "time") {
          const endMs = nowMs + event.ms;
          for (let turns = 0; client.dueMs <= endMs; turns++) {
            assert.ok(turns < 20_000, "is busy without end");
            nowMs = Math.max(nowMs, client.dueMs);
            check(client.tick(nowMs));
          }
          nowMs = endMs;
          assert.not.ok(held && nowMs > untilMs, "has an address for longer than it got");
        } else if (event.is === "carrier") {
          // The kernel tells of one link no more often than that (net/core/link_watch.c).
          nowMs += 1000;
          if (event.up) check(client.begin(nowMs));
          else client.rest();
          check(client.tick(nowMs));
        } else {
          const { answer: how } = event;
          const operation = event.ours ? 2 : event.message.operation;
          // the client's random number is always this one
          const transaction = event.ours ? 0x8000_0000 : event.message.transaction;
          const options = new Map([...event.message.options, [OPTION.server, Uint8Array.of(192, 0, 2, 1)] as const]);
          if (how !== null)
            options.set(OPTION.messageType, Uint8Array.of(how.type)).set(OPTION.leaseTime, Uint8Array.of(0, 0, 0, how.seconds));
          const yours = how === null ? event.message.yours : Uint8Array.of(192, 0, 2, how.last);
          const changed = { ...event.message, operation, transaction, options, yours };
          const plain = {
            from: SERVER_HARDWARE,
            to: EVERYBODY,
            source: Uint8Array.of(192, 0, 2, 1),
            destination: new Uint8Array(4),
          };
          check(client.receive({ ...plain, message: changed }, nowMs));
        }
      }
    }),
    runs(2000),
  );
  assert.ok(ends.held > 50 && ends.dropped > 5 && ends.sent > 2000, JSON.stringify(ends));
});

test.run();
