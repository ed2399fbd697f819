import { test } from "uvu";
import * as assert from "uvu/assert";
import { type DhcpAction, DhcpClient } from "../../boot/network/dhcp-client.ts";
import { clientFilter, type DhcpFrame, decodeFrame, EVERYBODY, encodeFrame, frameText } from "../../boot/network/dhcp-frame.ts";
import { readLease, readRoutes } from "../../boot/network/dhcp-lease.ts";
import { DHCP, type DhcpMessage, decodeDhcp, encodeDhcp, messageType, OPTION } from "../../boot/network/dhcp-message.ts";
import { readDomainList } from "../../boot/network/search-list.ts";
import { printAddress, printPrefixed } from "../../state-ops/ip-address.ts";
import { bytesOf, type DhcpAnswers, dhcpAnswers, SERVER_HARDWARE } from "../samples/dhcp-server.ts";

const hardware = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const how: DhcpAnswers = {
  ...{ address: "192.0.2.77", server: "192.0.2.1", netmask: "255.255.255.0", leaseSeconds: 1000, router: "192.0.2.1" },
  nameservers: ["192.0.2.53", "192.0.2.54"],
};

/** A message of a server with these options. */
function given(options: [number, number[]][], yours = "192.0.2.77"): DhcpMessage {
  const usual: [number, number[]][] = [
    [OPTION.messageType, [DHCP.ack]],
    [OPTION.server, [192, 0, 2, 1]],
  ];
  const all = [...usual, ...options].map(([code, value]): [number, Uint8Array] => [code, Uint8Array.from(value)]);
  const plain = { operation: 2, transaction: 7, seconds: 0, broadcast: false, client: new Uint8Array(4), hardware } as const;
  return { ...plain, yours: bytesOf(yours), options: new Map(all) };
}

test("a message comes out as it went in, long options in pieces, and never shorter than 300 bytes", () => {
  const message = given([[OPTION.routes, Array.from({ length: 600 }, (_, at) => at & 0xff)]]);
  const bytes = encodeDhcp(message);
  assert.equal(decodeDhcp(bytes), message);
  assert.is(encodeDhcp(given([])).length, 300);
});

test("options in the fields for names, where option 52 says so: the file's first, pieces joined", () => {
  const bytes = encodeDhcp(
    given([
      [OPTION.overload, [3]],
      [OPTION.domain, [0x61]],
    ]),
  );
  bytes.set([OPTION.domain, 1, 0x62, 255], 108);
  bytes.set([OPTION.domain, 2, 0x63, 0x64, 0], 44);
  assert.equal(decodeDhcp(bytes)?.options.get(OPTION.domain), Uint8Array.from(Buffer.from("abcd")));
  bytes.set([OPTION.domain, 200], 44);
  assert.is(decodeDhcp(bytes), null, "one that goes beyond the field's end");
});

test("what is no message of DHCP over Ethernet", () => {
  const right = encodeDhcp(given([]));
  for (const [at, value] of [
    [0, 3],
    [1, 6],
    [2, 16],
    [236, 0],
  ] as const) {
    const bytes = Uint8Array.from(right);
    bytes[at] = value;
    assert.is(decodeDhcp(bytes), null, `byte ${at}`);
  }
  assert.is(decodeDhcp(right.subarray(0, 239)), null);
  const cut = right.slice(0, 240 + 2);
  assert.is(decodeDhcp(cut), null, "an option without its value");
  assert.is(decodeDhcp(new Uint8Array(5000)), null);
});

test("what a lease says", () => {
  const lease = readLease(
    given([
      [OPTION.netmask, [255, 255, 254, 0]],
      [OPTION.routers, [192, 0, 2, 1, 192, 0, 2, 2]],
      [OPTION.nameservers, [192, 0, 2, 53, 0, 0, 0, 0, 224, 0, 0, 1, 192, 0, 2, 54]],
      [OPTION.domain, [...Buffer.from("example.test\0")]],
      [OPTION.mtu, [0x05, 0x78]],
      [OPTION.leaseTime, [0, 0, 0x0e, 0x10]],
      [OPTION.renewal, [0, 0, 0, 100]],
      [OPTION.rebinding, [0, 0, 0, 200]],
    ]),
  );
  assert.is(lease && printPrefixed(lease.address), "192.0.2.77/23");
  assert.equal(
    lease?.routes.map(({ gateway }) => gateway && printAddress(gateway)),
    ["192.0.2.1"],
  );
  assert.equal(lease?.nameservers.map(printAddress), ["192.0.2.53", "192.0.2.54"]);
  assert.equal([lease?.search, lease?.mtu], [["example.test"], 1400]);
  assert.equal([lease?.lengthMs, lease?.renewalMs, lease?.rebindingMs], [3600_000, 100_000, 200_000]);
});

test("where a server says nothing, or nonsense", () => {
  const lease = readLease(given([]));
  assert.is(lease && printPrefixed(lease.address), "192.0.2.77/24", "by its class");
  assert.equal([lease?.routes, lease?.nameservers, lease?.search, lease?.mtu], [[], [], [], null]);
  assert.equal([lease?.lengthMs, lease?.renewalMs, lease?.rebindingMs], [3600_000, 1800_000, 3150_000]);
  const odd = readLease(
    given([
      [OPTION.netmask, [255, 0, 255, 0]],
      [OPTION.routers, [192, 0, 2]],
      [OPTION.nameservers, [1, 2, 3, 4, 5]],
      [OPTION.domain, [...Buffer.from("x\nnameserver 6.6.6.6")]],
      [OPTION.mtu, [0, 68]],
      [OPTION.leaseTime, [0, 0, 0, 0]],
      [OPTION.renewal, [0, 0, 9, 9]],
      [OPTION.rebinding, [0, 0, 0, 1]],
    ]),
  );
  assert.is(odd?.address.prefix, 24);
  assert.equal([odd?.routes, odd?.nameservers, odd?.search, odd?.mtu], [[], [], [], null]);
  assert.equal([odd?.lengthMs, odd?.renewalMs, odd?.rebindingMs], [2000, 1000, 1000]);
  const ever = readLease(given([[OPTION.leaseTime, [255, 255, 255, 255]]]));
  assert.equal([ever?.lengthMs, ever?.renewalMs], [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
  for (const address of ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"]) assert.is(readLease(given([], address)), null);
  assert.is(readLease({ ...given([]), options: new Map() }), null, "no server");
});

test("routes of RFC 3442, and Microsoft's number for them; broken ones count for nothing", () => {
  const value = [0, 192, 0, 2, 1, 24, 203, 0, 113, 192, 0, 2, 2, 10, 10, 64, 0, 0, 0, 0];
  const text = (code: number, more: [number, number[]][] = []) =>
    readLease(given([[code, value], ...more]))?.routes.map(({ destination, gateway }) =>
      [printPrefixed(destination), gateway && printAddress(gateway)].join(" "),
    );
  const right = ["0.0.0.0/0 192.0.2.1", "203.0.113.0/24 192.0.2.2", "10.64.0.0/10 "];
  assert.equal(text(OPTION.routes, [[OPTION.routers, [192, 0, 2, 9]]]), right);
  assert.equal(text(OPTION.microsoftRoutes), right);
  for (const broken of [[33, 1, 2, 3, 4, 5, 6, 7, 8, 9], [24, 1, 2, 3, 192, 0, 2], [0]]) {
    assert.is(readRoutes(Uint8Array.from(broken)), null);
    const lease = readLease(
      given([
        [OPTION.routes, broken],
        [OPTION.routers, [192, 0, 2, 9]],
      ]),
    );
    assert.equal(
      lease?.routes.map(({ gateway }) => gateway && printAddress(gateway)),
      ["192.0.2.9"],
    );
  }
});

test("lists of domains: pointers lead backwards, and no name says anything else to resolv.conf", () => {
  const list = [
    3,
    ...Buffer.from("eng"),
    5,
    ...Buffer.from("apple"),
    3,
    ...Buffer.from("com"),
    0,
    9,
    ...Buffer.from("marketing"),
    0xc0,
    4,
  ];
  assert.equal(readDomainList(Uint8Array.from(list)), ["eng.apple.com", "marketing.apple.com"]);
  for (const loop of [[0xc0, 0], [1, 0x61, 0xc0, 0], [0xc0, 5, 0, 0, 0, 0xc0, 0], [0xc0], [64, 1], [5, 0x61]]) {
    assert.equal(readDomainList(Uint8Array.from(loop)), []);
  }
  assert.equal(readDomainList(Uint8Array.from([3, 0x61, 0x0a, 0x62, 0, 1, 0x63, 0])), ["c"]);
});

test("a frame comes out as it went in; others are none", () => {
  const plain = { from: SERVER_HARDWARE, to: EVERYBODY, source: bytesOf("192.0.2.1"), destination: bytesOf("255.255.255.255") };
  const frame: DhcpFrame = { ...plain, message: given([]) };
  const bytes = encodeFrame(frame);
  assert.equal(decodeFrame(bytes), frame);
  assert.is(frameText(bytes), "DHCP ack to everybody");
  const wrong = (at: number, value: number): void => {
    const changed = Uint8Array.from(bytes);
    changed[at] = value;
    assert.is(decodeFrame(changed), null, `byte ${at}`);
  };
  for (const [at, value] of [
    [12, 6],
    [14, 0x65],
    [14, 0x44],
    [14, 0x4f],
    [16, 0xff],
    [20, 0x20],
    [23, 6],
    [24, 1],
    [36, 1],
    [38, 0xff],
  ] as const) {
    wrong(at, value);
  }
  for (let length = 0; length < bytes.length; length += 7) assert.is(decodeFrame(bytes.subarray(0, length)), null);
  assert.equal(decodeFrame(Uint8Array.of(...bytes, 0, 0, 0, 0)), frame, "with the padding of Ethernet");
  assert.is(clientFilter().length % 8, 0);
});

/** A client, with a clock and a server that answers at once. */
class Bench {
  nowMs = 5000;
  readonly client = new DhcpClient({ hardware, hostname: "box" }, () => 0.5);
  readonly said: string[] = [];
  readonly #answers: (frame: Uint8Array) => Uint8Array[];

  constructor(answers: Partial<DhcpAnswers> = {}) {
    this.#answers = dhcpAnswers({ ...how, ...answers });
  }

  do(actions: DhcpAction[], answered = true): void {
    for (const action of actions) {
      this.said.push(this.#text(action));
      if (action.do !== "send" || !answered) continue;
      const { message, to } = action;
      const addresses = { source: message.client, destination: to?.address ?? bytesOf("255.255.255.255") };
      const sent = encodeFrame({ from: hardware, to: to?.hardware ?? EVERYBODY, ...addresses, message });
      for (const answer of this.#answers(sent)) {
        const frame = decodeFrame(answer);
        if (frame) this.do(this.client.receive(frame, this.nowMs));
      }
    }
  }

  #text(action: DhcpAction): string {
    const second = `${((this.nowMs - 5000) / 1000).toFixed(1)} s`;
    if (action.do === "use") return `${second} use ${printPrefixed(action.lease.address)}`;
    if (action.do === "drop") return `${second} drop`;
    const { message, to } = action;
    const type = Object.entries(DHCP).find(([, value]) => value === messageType(message))?.[0];
    const client = message.client.some((byte) => byte !== 0) ? ` as ${printAddress(message.client)}` : "";
    const asked = message.options.get(OPTION.requestedAddress);
    const words = [second, type, to ? `to ${printAddress(to.address)}` : "to all", asked ? `for ${printAddress(asked)}` : ""];
    return `${words.filter((word) => word !== "").join(" ")}${client}${message.broadcast ? " broadcast" : ""}`;
  }

  begin(answered = true): this {
    this.do(this.client.begin(this.nowMs), answered);
    return this;
  }

  /** Lets time pass until `seconds` after the start. */
  until(seconds: number, answered = true): this {
    for (let count = 0; this.client.dueMs <= 5000 + seconds * 1000; count++) {
      assert.ok(count < 1000, "the client is busy");
      this.nowMs = Math.max(this.nowMs, this.client.dueMs);
      this.do(this.client.tick(this.nowMs), answered);
    }
    this.nowMs = 5000 + seconds * 1000;
    return this;
  }
}

test("discover, offer, request, acknowledgement; then half the time nothing", () => {
  const bench = new Bench().begin();
  assert.equal(bench.said, ["0.0 s discover to all", "0.0 s request to all for 192.0.2.77", "0.0 s use 192.0.2.77/24"]);
  assert.is(bench.client.dueMs, 505_000);
  assert.is(bench.client.condition, "has 192.0.2.77/24");
  assert.equal(bench.client.begin(9000), [], "it has begun already");
});

test("nobody answers: asked less and less often, later with the wish for an answer to all", () => {
  const bench = new Bench().begin(false).until(100, false);
  assert.equal(bench.said, [
    ...["0.0 s discover to all", "1.0 s discover to all", "3.0 s discover to all broadcast", "7.0 s discover to all broadcast"],
    ...["15.0 s discover to all broadcast", "31.0 s discover to all broadcast", "63.0 s discover to all broadcast"],
    "95.0 s discover to all broadcast",
  ]);
  assert.is(bench.client.condition, "is asking");
});

test("a request that is not answered is sent again, and then everything begins anew", () => {
  const bench = new Bench({ dumbAfter: 0 }).begin().until(16);
  assert.equal(bench.said, [
    ...["0.0 s discover to all", "0.0 s request to all for 192.0.2.77", "1.0 s request to all for 192.0.2.77"],
    "3.0 s request to all for 192.0.2.77 broadcast",
    "7.0 s request to all for 192.0.2.77 broadcast",
    ...["16.0 s discover to all", "16.0 s request to all for 192.0.2.77"],
  ]);
});

test("a server that refuses: from the beginning, after a pause that grows", () => {
  const bench = new Bench({ naks: 3 }).begin().until(20);
  const discovered = bench.said.filter((line) => line.includes("discover"));
  assert.equal(discovered, ["0.0 s discover to all", "1.0 s discover to all", "3.0 s discover to all", "7.0 s discover to all"]);
  assert.is(bench.said.at(-1), "7.0 s use 192.0.2.77/24");
});

test("the lease is prolonged: the server alone at half its time, everybody at seven eighths; at its end it is given up", () => {
  const bench = new Bench({ dumbAfter: 2 }).begin();
  bench.said.length = 0;
  bench.until(600);
  assert.equal(bench.said, ["500.0 s request to 192.0.2.1 as 192.0.2.77", "500.0 s use 192.0.2.77/24"]);
  bench.said.length = 0;
  bench.until(1500, true);
  assert.equal(bench.said.slice(0, 3), [
    "1000.0 s request to 192.0.2.1 as 192.0.2.77",
    "1187.5 s request to 192.0.2.1 as 192.0.2.77",
    "1281.3 s request to 192.0.2.1 as 192.0.2.77",
  ]);
  const rest = bench.said.slice(3);
  assert.ok(rest.includes("1375.0 s request to all as 192.0.2.77"), rest.join("\n"));
  assert.ok(rest.includes("1500.0 s drop"), rest.join("\n"));
  assert.is(rest.at(-2), "1500.0 s discover to all");
});

test("the link was away: the lease is asked for again, and given up where nobody confirms it", () => {
  const bench = new Bench().begin();
  bench.client.rest();
  bench.said.length = 0;
  bench.until(50);
  assert.equal(bench.said, [], "nothing is sent on a link without carrier");
  bench.begin();
  assert.equal(bench.said, ["50.0 s request to all for 192.0.2.77", "50.0 s use 192.0.2.77/24"]);
  bench.client.rest();
  bench.said.length = 0;
  bench.until(60).begin(false).until(70, false);
  assert.equal(bench.said.slice(0, 5), [
    ...["60.0 s request to all for 192.0.2.77", "61.0 s request to all for 192.0.2.77"],
    ...["63.0 s request to all for 192.0.2.77 broadcast", "67.0 s drop", "67.0 s discover to all"],
  ]);
});

test("away for longer than the lease: it runs out all the same", () => {
  const bench = new Bench().begin();
  bench.client.rest();
  bench.said.length = 0;
  bench.until(2000);
  assert.equal(bench.said, ["1000.0 s drop"]);
  assert.is(bench.client.lease, null);
  assert.is(bench.client.condition, "rests");
});

test("answers that are not for us, of another server, or late, change nothing", () => {
  const bench = new Bench();
  bench.begin(false);
  const answer = (type: number, change: Partial<DhcpMessage> = {}): DhcpFrame => {
    const plain = { from: SERVER_HARDWARE, to: EVERYBODY, source: bytesOf("192.0.2.1"), destination: bytesOf("255.255.255.255") };
    return { ...plain, message: { ...given([[OPTION.messageType, [type]]]), transaction: 0x8000_0000, ...change } };
  };
  const ignored = (frame: DhcpFrame): void => assert.equal(bench.client.receive(frame, bench.nowMs), []);
  ignored(answer(DHCP.ack));
  ignored(answer(DHCP.nak));
  ignored(answer(DHCP.offer, { transaction: 1 }));
  ignored(answer(DHCP.offer, { operation: 1 }));
  ignored(answer(DHCP.offer, { hardware: SERVER_HARDWARE }));
  ignored(answer(DHCP.offer, { yours: new Uint8Array(4) }));
  bench.do(bench.client.receive(answer(DHCP.offer), bench.nowMs), false);
  const other = new Map([...given([]).options, [OPTION.server, bytesOf("192.0.2.99")]]);
  ignored(answer(DHCP.ack, { options: other }));
  ignored(answer(DHCP.nak, { options: new Map([...other, [OPTION.messageType, Uint8Array.of(DHCP.nak)]]) }));
  ignored(answer(DHCP.offer));
  bench.do(bench.client.receive(answer(DHCP.ack), bench.nowMs), false);
  assert.is(bench.client.condition, "has 192.0.2.77/24");
  ignored(answer(DHCP.ack));
});

test("another address at the renewal takes the place of the former", () => {
  const bench = new Bench().begin();
  bench.until(500, false);
  const plain = { from: SERVER_HARDWARE, to: EVERYBODY, source: bytesOf("192.0.2.1"), destination: bytesOf("255.255.255.255") };
  bench.said.length = 0;
  bench.do(bench.client.receive({ ...plain, message: { ...given([], "192.0.2.80"), transaction: 0x8000_0000 } }, bench.nowMs));
  assert.equal(bench.said, ["500.0 s drop", "500.0 s use 192.0.2.80/24"]);
});

test.run();
