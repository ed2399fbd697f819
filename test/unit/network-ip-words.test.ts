import { test } from "uvu";
import * as assert from "uvu/assert";
import { applyLock, parseCommandLine } from "../../boot/kernel-command-line.ts";
import type { IpWord } from "../../boot/network/ip-word.ts";
import { type NetworkWords, noNetworkWords } from "../../boot/network/ip-words.ts";

const word: IpWord = {
  ...{ link: null, dhcp: false, router: false, addresses: [], peer: null, gateways: [], nameservers: [] },
  ...{ hostname: null, mtu: null, hardware: null },
};
const both = { dhcp: true, router: true };

function network(text: string): NetworkWords {
  const line = parseCommandLine(text);
  assert.equal(line.warnings, [], text);
  return line.network;
}

function reads(text: string, expected: Partial<NetworkWords>): void {
  assert.equal(network(text), { ...noNetworkWords(), ...expected }, text);
}

function link(text: string, expected: Partial<IpWord>): void {
  reads(text, { links: [{ ...word, ...expected }] });
}

test("no word: nothing is said", () => {
  reads("quiet ro ipv6.disable=1 ip6=x", {});
});

test("a method alone is about every link", () => {
  for (const method of ["dhcp", "on", "any", "single-dhcp", "both", ""]) link(`ip=${method}`, both);
  link("ip=dhcp4", { dhcp: true });
  for (const method of ["dhcp6", "auto6", "either6"]) link(`ip=${method}`, { router: true });
  link("ip=link6", {});
  for (const method of ["off", "none"]) reads(`ip=${method}`, { off: true });
});

test("a link with its method, size of packets and hardware address", () => {
  link("ip=eth0:dhcp", { link: "eth0", ...both });
  link("ip=enp1s0f0np0:auto6", { link: "enp1s0f0np0", router: true });
  link("ip=eth0:dhcp:1400", { link: "eth0", ...both, mtu: 1400 });
  link("ip=eth0:dhcp:1400:52:54:00:AB:cd:01", { link: "eth0", ...both, mtu: 1400, hardware: "52:54:00:ab:cd:01" });
  link("ip=eth0:dhcp::52-54-00-ab-cd-01", { link: "eth0", ...both, hardware: "52:54:00:ab:cd:01" });
  link("ip=eth1:off", { link: "eth1" });
});

test("the long form, as dracut and the kernel have it", () => {
  const gateways = ["192.0.2.1"];
  link("ip=192.0.2.7::192.0.2.1:255.255.255.0::eth0:none", { link: "eth0", addresses: ["192.0.2.7/24"], gateways });
  link("ip=192.0.2.7::192.0.2.1:26::eth0:off", { link: "eth0", addresses: ["192.0.2.7/26"], gateways });
  link("ip=192.0.2.7::192.0.2.1:255.255.255.0", { addresses: ["192.0.2.7/24"], gateways });
  link("ip=192.0.2.7", { addresses: ["192.0.2.7/24"] });
  link("ip=10.1.2.3:::::eth0:none", { link: "eth0", addresses: ["10.1.2.3/8"] });
  link("ip=:::::eth0:dhcp", { link: "eth0", ...both });
  link("ip=::::box:eth0:dhcp", { link: "eth0", ...both, hostname: "box" });
  link("ip=192.0.2.7:192.0.2.8::32::eth0:none", { link: "eth0", addresses: ["192.0.2.7/32"], peer: "192.0.2.8" });
  link("ip=192.0.2.7::192.0.2.1:24:box.lab:eth0:none:9000:52:54:00:00:00:01", {
    ...{ link: "eth0", addresses: ["192.0.2.7/24"], gateways, hostname: "box.lab", mtu: 9000, hardware: "52:54:00:00:00:01" },
  });
  const nameservers = ["192.0.2.53", "2001:db8::53"];
  link("ip=192.0.2.7::192.0.2.1:24::eth0:none:192.0.2.53:[2001:db8::53]", {
    ...{ link: "eth0", addresses: ["192.0.2.7/24"], gateways, nameservers },
  });
  link("ip=192.0.2.7::192.0.2.1:24::eth0:none:192.0.2.53::192.0.2.123", {
    ...{ link: "eth0", addresses: ["192.0.2.7/24"], gateways, nameservers: ["192.0.2.53"] },
  });
});

test("IPv6 in brackets", () => {
  link("ip=[2001:db8::7]::[2001:db8::1]:64::eth0:none", {
    ...{ link: "eth0", addresses: ["2001:db8::7/64"], gateways: ["2001:db8::1"] },
  });
  link("ip=[2001:DB8:0::7]/48::[fe80::1]:::eth0:none", {
    ...{ link: "eth0", addresses: ["2001:db8::7/48"], gateways: ["fe80::1"] },
  });
  link("ip=[2001:db8::7]:::::eth0:none", { link: "eth0", addresses: ["2001:db8::7/64"] });
});

test("several words, name servers, routes, the preferred link and names of links", () => {
  const line =
    "ip=a0:dhcp ip=192.0.2.7:::24::b0:none nameserver=192.0.2.53 nameserver=[2001:db8::53] nameserver=2001:db8::53 bootdev=b0 " +
    "rd.route=198.51.100.0/24:192.0.2.1 rd.route=[2001:db8:5::]/48:[fe80::1]:a0 rd.route=10.0.0.0/8::a0 rd.peerdns=0 rd.neednet=1 " +
    "ifname=b0:52:54:00:00:00:0b";
  reads(line, {
    links: [
      { ...word, link: "a0", ...both },
      { ...word, link: "52:54:00:00:00:0b", addresses: ["192.0.2.7/24"] },
    ],
    nameservers: ["192.0.2.53", "2001:db8::53"],
    preferred: "52:54:00:00:00:0b",
    peerNameservers: false,
    routes: [
      { destination: "198.51.100.0/24", gateway: "192.0.2.1", link: null },
      { destination: "2001:db8:5::/48", gateway: "fe80::1", link: "a0" },
      { destination: "10.0.0.0/8", gateway: null, link: "a0" },
    ],
  });
  reads("BOOTIF=01-52-54-00-00-00-01", { preferred: "52:54:00:00:00:01" });
});

test("what cannot be obeyed is quoted with the reason, and changes nothing", () => {
  const wrong: [string, string][] = [
    ["ip=maybe", "no method"],
    ["ip", "no value"],
    ["ip=eth0:maybe", "no method"],
    ["ip=eth0:dhcp:12", "no MTU"],
    ["ip=eth0:dhcp:70000", "no MTU"],
    ["ip=eth0:dhcp::01:00:5e:00:00:01", "no hardware address"],
    ["ip=averylonglinkname:dhcp", "no link can have that name"],
    ["ip=../x:dhcp", "no link can have that name"],
    ["ip=192.0.2.256::192.0.2.1:24::eth0:none", "no address"],
    ["ip=192.0.2.07:::24::eth0:none", "no address"],
    ["ip=224.0.0.1:::24::eth0:none", "no address of a host"],
    ["ip=192.0.2.7:::255.0.255.0::eth0:none", "no netmask"],
    ["ip=192.0.2.7:::33::eth0:none", "no length"],
    ["ip=192.0.2.7:::0::eth0:none", "no length"],
    ["ip=192.0.2.7::router:24::eth0:none", "no address of a router"],
    ["ip=192.0.2.7::0.0.0.0:24::eth0:none", "no address of a router"],
    ["ip=192.0.2.7:::24::eth0:ibft", "no method"],
    ["ip=192.0.2.7:::24:-box:eth0:none", "no host name"],
    ["ip=:::::eth0:none", "neither an address nor a method"],
    ["ip=[2001:db8::7:::64::eth0:none", "brackets"],
    ["ip=2001:db8::7", "no address"],
    ["ip=192.0.2.7:::24::eth0:none:192.0.2.53:x", "no address of a name server"],
    ["ip=192.0.2.7:::24::eth0:none:192.0.2.53:192.0.2.54:1:2", "goes on"],
    ["nameserver=dns.example", "address of one name server"],
    ["nameserver=", "no value"],
    ["rd.route=192.0.2.0/24", "gateway or a link"],
    ["rd.route=192.0.2.0/33:192.0.2.1", "NETWORK/LENGTH"],
    ["rd.route=192.0.2.0/24:[fe80::1]:eth0", "no router for it"],
    ["rd.route=192.0.2.0/24:192.0.2.1:eth0:x", "NETWORK/LENGTH"],
    ["ifname=eth0", "NAME:HARDWARE"],
    ["ifname=a/b:52:54:00:00:00:01", "no link"],
    ["bootdev=a/b", "no link"],
    ["BOOTIF=eth0", "hardware address"],
    ["rd.peerdns=no", "rd.peerdns"],
    ["vlan=eth0.1:eth0", "no VLAN"],
    ["bond=bond0", "no VLAN, bond"],
  ];
  for (const [text, why] of wrong) {
    const line = parseCommandLine(text);
    assert.is(line.warnings.length, 1, text);
    assert.ok(line.warnings[0]?.startsWith(`"${text}" is ignored: `), line.warnings[0]);
    assert.ok(line.warnings[0]?.includes(why), line.warnings[0]);
    assert.equal(line.network, noNetworkWords(), text);
  }
});

test("a locked command line may say how the network is reached", () => {
  const line = parseCommandLine("ip=dhcp nameserver=192.0.2.53");
  const locked = applyLock(line, true);
  assert.equal(locked.network, line.network);
  assert.equal(locked.warnings, []);
});

test.run();
