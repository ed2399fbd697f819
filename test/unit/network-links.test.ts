/** PID 1's network over the recording kernel: what is set up, in which order, and that it is taken down again. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { clientFilter } from "../../boot/network/dhcp-frame.ts";
import { noNetworkWords } from "../../boot/network/ip-words.ts";
import type { NetworkRequest } from "../../boot/network/offers.ts";
import { resolvConf } from "../../boot/network/resolv-conf.ts";
import { readRouterOptions } from "../../boot/network/router-options.ts";
import { ADDRESS_FLAG, type RouteRequest, readMessages, readRequest } from "../../boot/network/rtnetlink.ts";
import { encodeNews, encodeRequest } from "../../boot/network/rtnetlink-encode.ts";
import { AF, NETLINK, O, SO, SOCK, SOL } from "../../init/kernel/constants.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { MachineNetwork, type Way } from "../../init/network/links/machine-network.ts";
import { RouteSocket } from "../../init/network/links/route-socket.ts";
import { printAddress } from "../../state-ops/ip-address.ts";
import { matchesGolden } from "../golden.ts";
import { bytesOf, type DhcpAnswers, dhcpAnswers } from "../samples/dhcp-server.ts";

const DHCP: NetworkRequest = { words: noNetworkWords(), settings: { mode: "dhcp" }, profile: null };
const never = new AbortController().signal;
const HARDWARE = ["52:54:00:00:00:01", "52:54:00:00:00:02"] as const;
const server: DhcpAnswers = {
  ...{ address: "192.0.2.77", server: "192.0.2.1", netmask: "255.255.255.0", leaseSeconds: 600, router: "192.0.2.1" },
  nameservers: ["192.0.2.53"],
};

/** A machine with an /etc, and links that are added by name. */
class World {
  readonly kernel = new RecordingKernel({ initramfs: { etc: { "resolv.conf": "# the initrd's own\n" } } });
  readonly told: string[] = [];
  network: MachineNetwork | null = null;

  link(at: 0 | 1, how: Partial<DhcpAnswers> | null, carrier = true): number {
    const answer = how === null ? {} : { answer: dhcpAnswers({ ...server, ...how }) };
    return this.kernel.network.addLink({ name: `eth${at}`, hardware: HARDWARE[at], carrier, ...answer });
  }

  open(request: Partial<NetworkRequest> = {}): this {
    this.network = MachineNetwork.open(
      this.kernel,
      { ...DHCP, ...request },
      (line) => void this.told.push(line),
      () => 0.5,
    );
    return this;
  }

  /** Up to `most` ways. */
  async ways(most = 9, waitMs = 5000): Promise<string[]> {
    const found: string[] = [];
    for await (const way of this.network?.ways(waitMs, never) ?? []) if (found.push(text(way)) === most) break;
    return found;
  }

  /** Lets time pass as timers would. */
  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 200) {
      this.kernel.poll([], 200);
      this.network?.turn();
    }
  }
}

function text({ link, by, addresses, nameservers, proxy }: Way): string {
  return [link, by, addresses.join(), nameservers.join(), ...(proxy ? [proxy] : [])].join(" ");
}

async function golden(name: string, world: World, work: () => Promise<void>): Promise<void> {
  const before = world.kernel.network.print();
  world.kernel.beginTrace();
  await work();
  world.network?.close();
  matchesGolden(`network-${name}`, `${world.kernel.trace}--- told\n${world.told.map((line) => `${line}\n`).join("")}`);
  assert.equal(world.kernel.network.print(), before, "everything is as it was");
  assert.is(world.kernel.peek("/etc/resolv.conf"), "# the initrd's own\n");
}

test("golden: DHCP, renewed for an hour, with a router of IPv6 beside it", async () => {
  const world = new World();
  const eth0 = world.link(0, {});
  await golden("dhcp", world, async () => {
    world.open();
    assert.equal(await world.ways(1), ["eth0 DHCP 192.0.2.77/24 192.0.2.53"]);
    const options = Uint8Array.of(25, 3, 0, 0, 0, 0, 0x0e, 0x10, ...bytesOf("fe80::53"));
    world.kernel.network.advertise(eth0, { address: "2001:db8::77/64", router: "fe80::1", options });
    world.pass(3600_000);
    assert.match(
      world.kernel.peek("/etc/resolv.conf") ?? "",
      /^nameserver 192\.0\.2\.53\noptions/,
      "the router's holds no longer",
    );
    assert.equal(world.network?.addresses(), ["192.0.2.77/24 on eth0", "2001:db8::77/64 on eth0"]);
  });
});

test("golden: ip= with all that it can say, the control file, DHCP, the profile, each after the other", async () => {
  const world = new World();
  world.link(0, { options: [[26, [0x05, 0xdc]]] });
  world.link(1, {});
  const words =
    "ip=192.0.2.7:::24:box:eth0:none:1400:52:54:00:00:00:aa ip=[2001:db8::7]::[fe80::1]:64::eth0:none nameserver=192.0.2.9";
  const line = parseCommandLine(`${words} rd.route=198.51.100.0/24:192.0.2.1 bootdev=eth1`);
  assert.equal(line.warnings, []);
  const fixed = { link: "eth1", addresses: ["198.18.0.2/30"], gateways: ["198.18.0.1"], nameservers: [] };
  const known = { hardware: HARDWARE[1], name: "old1", addresses: ["203.0.113.5/24"], gateways: ["203.0.113.1"] };
  const profile = { links: [known], nameservers: ["203.0.113.1"], proxy: "http://203.0.113.1:3128" };
  await golden("in-order", world, async () => {
    world.open({ words: line.network, settings: { mode: "static", links: [fixed] }, profile });
    assert.equal(await world.ways(), [
      "eth0 ip= 192.0.2.7/24,2001:db8::7/64 192.0.2.9",
      "eth1 control file 198.18.0.2/30 192.0.2.9",
      "eth1 DHCP 192.0.2.77/24 192.0.2.9,192.0.2.53",
      "eth0 DHCP 192.0.2.77/24 192.0.2.9,192.0.2.53",
      "eth1 profile 203.0.113.5/24 192.0.2.9,203.0.113.1 http://203.0.113.1:3128",
    ]);
  });
});

test("golden: no carrier at first, a lease that runs out, a link that disappears", async () => {
  const world = new World();
  const eth0 = world.link(0, { dumbAfter: 1 }, false);
  await golden("troubles", world, async () => {
    world.open();
    world.kernel.at(4000, () => world.kernel.network.plug(eth0, true));
    assert.equal(await world.ways(1), ["eth0 DHCP 192.0.2.77/24 192.0.2.53"]);
    world.pass(610_000);
    assert.equal(world.network?.addresses(), []);
    world.kernel.network.answerWith(eth0, dhcpAnswers({ ...server, address: "192.0.2.78" }));
    world.pass(40_000);
    assert.equal(world.network?.addresses(), ["192.0.2.78/24 on eth0"], "set up again without anybody asking");
    world.kernel.network.plug(eth0, false);
    world.pass(2000);
    assert.equal(world.network?.addresses(), ["192.0.2.78/24 on eth0"], "a cable that is pulled for a moment changes nothing");
    world.kernel.network.plug(eth0, true);
    world.pass(2000);
    assert.equal(world.network?.addresses(), ["192.0.2.78/24 on eth0"]);
  });
  assert.equal(await world.ways(), [], "it is closed");
});

test("a link that is gone takes everything of it with it, and one that comes is asked", async () => {
  const world = new World();
  const eth0 = world.link(0, {});
  world.open();
  assert.is((await world.ways(1)).length, 1);
  world.kernel.network.removeLink(eth0);
  world.pass(1000);
  assert.equal(world.network?.addresses(), []);
  assert.match(world.told.join("\n"), "the link is gone");
  world.link(1, { address: "192.0.2.78" });
  assert.equal(await world.ways(1), ["eth1 DHCP 192.0.2.78/24 192.0.2.53"]);
  world.network?.close();
});

test("a cable that comes and goes all the time keeps nobody for ever, and the other ways have their turn", async () => {
  const world = new World();
  const eth0 = world.link(0, {});
  world.link(1, { address: "192.0.2.78" });
  world.open();
  const links: string[] = [];
  for await (const { link } of world.network?.ways(5000, never) ?? []) {
    links.push(link);
    if (links.length === 40) break;
    world.kernel.network.plug(eth0, false);
    world.pass(400);
    world.kernel.network.plug(eth0, true);
    world.pass(400);
  }
  assert.equal(links, ["eth0", "eth0", "eth0", "eth0", "eth1"]);
  assert.is((await world.ways(1)).length, 1, "whoever asks again begins anew");
  world.network?.close();
});

test("network: off touches nothing but what ip= names; ip=off nothing at all; rd.peerdns=0 takes nobody's name servers", async () => {
  const off = new World();
  off.link(0, {});
  off.link(1, {});
  const before = off.kernel.network.print();
  off.open({ settings: { mode: "off" } });
  assert.equal(await off.ways(), []);
  off.open({ words: parseCommandLine("ip=off ip=eth0:dhcp").network });
  assert.equal(await off.ways(), []);
  assert.equal(off.kernel.network.print(), before);
  off.open({ settings: { mode: "off" }, words: parseCommandLine("ip=eth1:dhcp rd.peerdns=0").network });
  assert.equal(await off.ways(), ["eth1 DHCP 192.0.2.77/24 "]);
  assert.match(off.kernel.network.print().join("\n"), /eth0 down/);
  off.network?.close();
  assert.equal(off.kernel.network.print(), before);
});

test("a link that ip= turns off is left alone", async () => {
  const world = new World();
  world.link(0, {});
  world.link(1, { address: "192.0.2.78" });
  world.open({ words: parseCommandLine("ip=eth0:off").network });
  assert.equal(await world.ways(), ["eth1 DHCP 192.0.2.78/24 192.0.2.53"]);
  assert.match(world.kernel.network.print().join("\n"), /eth0 down/);
  world.network?.close();
});

test("what the kernel refuses is told, and the other ways are given all the same", async () => {
  const world = new World();
  world.link(0, {});
  world.kernel.failOn({ call: "filterSocket", code: "EPERM" });
  world.open({
    settings: { mode: "static", links: [{ link: "eth0", addresses: ["192.0.2.7/24"], gateways: [], nameservers: [] }] },
  });
  assert.equal(await world.ways(), ["eth0 control file 192.0.2.7/24 "]);
  assert.match(world.told.join("\n"), /eth0: DHCP cannot be asked: .*EPERM/);
  world.network?.close();

  const without = new World();
  without.link(0, {});
  without.kernel.failOn({ call: "openSocket", code: "EAFNOSUPPORT" });
  assert.equal(await without.open().ways(), []);
  assert.match(without.told.join("\n"), "no links to set up");
  without.network?.close();

  const deaf = new World();
  deaf.link(0, {});
  deaf.open();
  deaf.kernel.failOn({ call: "receive", match: /rtnetlink/, code: "ENOBUFS" });
  deaf.pass(30_000);
  assert.is(deaf.told.filter((line) => line.includes("ENOBUFS")).length, 1, "the same is told once");
  deaf.network?.close();
});

test("news that the kernel dropped are looked for", async () => {
  const world = new World();
  const eth0 = world.link(0, {}, false);
  world.open();
  world.kernel.failOn({ call: "receive", match: /rtnetlink/, code: "ENOBUFS", times: 1 });
  world.kernel.network.plug(eth0, true);
  assert.is((await world.ways(1)).length, 1);
  world.network?.close();
});

test("somebody else's address is used, and not taken down", async () => {
  const world = new World();
  const eth0 = world.link(0, null);
  const facts = { link: eth0, address: bytesOf("192.0.2.7"), prefix: 24, peer: null, flags: ADDRESS_FLAG.permanent, scope: 0 };
  world.kernel.network.addAddress(facts);
  world.open({
    settings: { mode: "static", links: [{ link: null, addresses: ["192.0.2.7/24"], gateways: ["192.0.2.1"], nameservers: [] }] },
  });
  assert.is((await world.ways(1))[0], "eth0 control file 192.0.2.7/24 ");
  world.network?.close();
  assert.match(world.kernel.network.print().join("\n"), "eth0 down 52:54:00:00:00:01 mtu 1500 192.0.2.7/24");
});

test("the kernel's own answers are understood: the loopback of this machine, and what it refuses", () => {
  const socket = new RouteSocket(linuxKernel());
  const lo = socket.links().find(({ name }) => name === "lo");
  assert.is(lo?.type, 772);
  assert.ok(socket.addresses().every(({ address }) => address.length === 4 || address.length === 16));
  assert.ok(Array.isArray(socket.routes()));
  const nowhere = { link: 0x7ffffff0, address: bytesOf("192.0.2.7"), prefix: 24, peer: null };
  try {
    socket.change({ ask: "add-address", address: nowhere }, "192.0.2.7 on no link");
    assert.unreachable();
  } catch (error) {
    assert.instance(error, KernelError);
    assert.match(String(error), /add-address 192\.0\.2\.7 on no link: (ENODEV|EPERM)/);
  }
  socket.close();
});

/** What calls on sockets end with, by name. */
function socketCodes(kernel: Kernel): Record<string, string> {
  const code = (body: () => unknown): string => {
    try {
      const value = body();
      return value === null ? "nothing waits" : "done";
    } catch (error) {
      if (error instanceof KernelError) return error.code;
      throw error;
    }
  };
  const netlink = kernel.openSocket(AF.NETLINK, SOCK.RAW, NETLINK.ROUTE);
  const packets = kernel.openSocket(AF.PACKET, SOCK.RAW, 0);
  const file = kernel.open("/dev/null", O.RDWR);
  const address = (family: number, length: number, link = 0): Uint8Array => {
    const bytes = new Uint8Array(length);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, family, true);
    if (length >= 8) view.setInt32(4, link, true);
    return bytes;
  };
  const codes = {
    "no such family": code(() => kernel.openSocket(99, SOCK.DGRAM, 0)),
    "bind netlink": code(() => kernel.bindSocket(netlink, address(AF.NETLINK, 12))),
    "bind netlink shortly": code(() => kernel.bindSocket(netlink, address(AF.NETLINK, 4))),
    "bind to no link": code(() => kernel.bindSocket(packets, address(AF.PACKET, 20, 0x7ffffff0))),
    "bind packets to netlink": code(() => kernel.bindSocket(packets, address(AF.NETLINK, 20))),
    "filter packets": code(() => kernel.filterSocket(packets, clientFilter())),
    "nothing on packets": code(() => kernel.receive(packets, 100)),
    "nothing on netlink": code(() => kernel.receive(netlink, 100)),
    "bind a file": code(() => kernel.bindSocket(file, address(AF.PACKET, 20))),
    "send to a file": code(() => kernel.sendTo(file, new Uint8Array(4), null)),
    "receive from a file": code(() => kernel.receive(file, 4)),
    "an option of a file": code(() => kernel.setSocketOption(file, SOL.SOCKET, SO.RCVBUF, new Uint8Array(4))),
    "ask and hear": code(() => {
      kernel.sendTo(netlink, encodeRequest({ ask: "links" }, 1), null);
      return kernel.poll([packets, netlink], 0).includes(netlink) ? kernel.receive(netlink, 65_536) : null;
    }),
  };
  for (const fd of [netlink, packets, file]) kernel.close(fd);
  return { ...codes, closed: code(() => kernel.receive(netlink, 4)) };
}

test("same as Linux: what calls on sockets end with", () => {
  if (process.getuid?.() !== 0) throw new Error("comparing with the real kernel needs root");
  assert.equal(socketCodes(new RecordingKernel()), socketCodes(linuxKernel()));
});

test("requests and news come out as they went in", () => {
  const address = { link: 3, address: bytesOf("192.0.2.7"), prefix: 24, peer: null };
  const destination = { address: bytesOf("203.0.113.0"), prefix: 24 };
  const route = { destination, gateway: bytesOf("192.0.2.1"), link: 3, metric: 100, source: bytesOf("192.0.2.7") };
  const requests: RouteRequest[] = [
    ...(["links", "addresses", "routes"] as const).map((ask) => ({ ask })),
    { ask: "change-link", link: 3, up: true, mtu: 1400, hardware: Uint8Array.of(2, 0, 0, 0, 0, 9) },
    { ask: "change-link", link: 3, up: null, mtu: null, hardware: null },
  ];
  for (const request of requests) assert.equal(readRequest(encodeRequest(request, 7)), { sequence: 7, request });
  for (const ask of ["add-address", "remove-address"] as const) {
    const { request } = readRequest(encodeRequest({ ask, address }, 7));
    assert.equal(request, { ask, address: { ...address, flags: 0, scope: 0 } });
  }
  for (const ask of ["add-route", "remove-route"] as const) {
    const { request } = readRequest(encodeRequest({ ask, route }, 7));
    assert.equal(request, { ask, route: { ...route, by: 3, table: 254 } });
  }
  const link = {
    index: 3,
    name: "eth0",
    type: 1,
    hardware: Uint8Array.of(2, 0, 0, 0, 0, 9),
    up: true,
    carrier: true,
    mtu: 1500,
    master: 0,
  };
  const both = Uint8Array.of(...encodeNews({ is: "link", link }, 0), ...encodeNews({ is: "answer", errno: 17 }, 5));
  assert.equal(readMessages(both), [
    { sequence: 0, is: "link", gone: false, link },
    { sequence: 5, is: "answer", errno: 17 },
  ]);
  assert.equal(readMessages(both.subarray(0, both.length - 8)).at(-1), { sequence: 0, is: "unknown" });
  assert.equal(readMessages(Uint8Array.of(4, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), [{ sequence: 0, is: "unknown" }]);
});

test("name servers of routers, RFC 8106; resolv.conf holds three", () => {
  const servers = Uint8Array.of(25, 5, 0, 0, 0, 0, 0, 60, ...bytesOf("2001:db8::53"), ...bytesOf("ff02::1"));
  const { nameservers } = readRouterOptions(servers);
  assert.equal(
    nameservers.map(({ address, seconds }) => `${printAddress(address)} ${seconds}`),
    ["2001:db8::53 60"],
  );
  const domains = Uint8Array.of(31, 2, 0, 0, 255, 255, 255, 255, 3, 0x6c, 0x61, 0x62, 0, 0, 0, 0);
  assert.equal(readRouterOptions(domains).search, [{ domain: "lab", seconds: Number.POSITIVE_INFINITY }]);
  for (const broken of [[25, 0, 0, 0, 0, 0, 0, 0], [25, 9, 0, 0, 0, 0, 0, 1], [25]]) {
    assert.equal(readRouterOptions(Uint8Array.from(broken)), { nameservers: [], search: [] });
  }
  const text = resolvConf(["192.0.2.1", "192.0.2.1", "fe80::1%eth0", "192.0.2.2", "192.0.2.3"], ["lab"]);
  assert.is(
    text,
    "nameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\nsearch lab\noptions timeout:2 attempts:2\n",
  );
});

test.run();
