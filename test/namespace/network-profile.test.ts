/** The way to the network as the kernel itself tells it, in a network of the test's own, kept in a file on a disk. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { readNetworkProfile } from "../../init/store/network-profile.ts";
import "./own-mounts.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-profile-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));

/** Runs `setUp` in a network without any link, keeps the profile from there, and returns what is kept. */
function keep(name: string, setUp: string) {
  const file = join(directory, name);
  writeFileSync(file, "");
  truncateSync(file, 4 * 1024 * 1024);
  const resolv = join(directory, "resolv.conf");
  writeFileSync(resolv, "nameserver 192.0.2.53\n");
  const script = join(directory, "keep.ts");
  const commands = join(import.meta.dirname, "../../init/commands/network-profile.ts");
  const linux = join(import.meta.dirname, "../../init/kernel/linux.ts");
  writeFileSync(
    script,
    `import { keepNetworkProfile } from ${JSON.stringify(commands)};
     import { linuxKernel } from ${JSON.stringify(linux)};
     console.log(JSON.stringify(keepNetworkProfile(linuxKernel(), ${JSON.stringify(file)})));`,
  );
  const shell = `set -e; mount --bind "${resolv}" /etc/resolv.conf; ip link set lo up; ${setUp}; "${process.execPath}" "${script}"`;
  const run = spawnSync("unshare", ["--net", "--mount", "--propagation", "private", "sh", "-c", shell], { encoding: "utf8" });
  assert.is(run.status, 0, run.stderr);
  assert.is(run.stdout.trim(), "[]", "no warning");
  return readNetworkProfile(linuxKernel(), file);
}

const CARD = "ip link add name eth7 address 52:54:00:12:34:56 type veth peer name far; ip link set far up; ip link set eth7 up";

test("addresses and routers of both kinds, with the card's own address", () => {
  const { profile, reason } = keep(
    "both",
    `${CARD}
     ip address add 192.0.2.10/24 dev eth7; ip address add 192.0.2.11/24 dev eth7
     ip address add 2001:db8::10/64 dev eth7 nodad
     ip route add default via 192.0.2.2 metric 200; ip route add default via 192.0.2.1 metric 100
     ip -6 route add default via fe80::1 dev eth7`,
  );
  assert.is(reason, null);
  assert.equal(profile, {
    links: [
      {
        hardware: "52:54:00:12:34:56",
        name: "eth7",
        addresses: ["192.0.2.10/24", "192.0.2.11/24", "2001:db8::10/64"],
        gateways: ["192.0.2.1", "192.0.2.2", "fe80::1"],
      },
    ],
    nameservers: ["192.0.2.53"],
    proxy: null,
  });
});

test("more routes than one answer of the kernel holds", () => {
  const { profile } = keep(
    "many",
    `${CARD}
     ip address add 10.0.0.1/8 dev eth7
     i=0; while [ $i -lt 3000 ]; do echo "route add 10.$((i / 250)).$((i % 250)).0/24 via 10.255.0.1"; i=$((i + 1)); done | ip -batch -
     ip route add default via 10.255.255.254`,
  );
  assert.equal(profile?.links[0]?.gateways, ["10.255.255.254"]);
});

test("a network without a way out, or of loopback alone, keeps nothing", () => {
  assert.is(keep("none", "true").profile, null);
  assert.is(keep("down", CARD.replace(/;[^;]*$/, "")).profile, null);
});

test.run();
