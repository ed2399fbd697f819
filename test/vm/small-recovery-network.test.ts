/** A machine reaches its image over whatever network there is, and from servers that behave badly. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { fillWithGarbage } from "../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import type { MachineOptions } from "../../qemu/machine-options.ts";
import { slipway } from "../../qemu/product.ts";
import { freePort } from "../../qemu/server.ts";
import { startUnsteadyRelay, type UnsteadyRelayOptions } from "../../qemu/unsteady-relay.ts";
import { committedMachine, offer, recoverySystem, serve, signedImage } from "./support/recovery-ground.ts";
import { smallControl, smallImage } from "./support/small-image.ts";
import { smallInitrd, startSmall, type Told, toEnd } from "./support/small-machine.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-recovery-network-`);
const authority = await makeAuthority(scratch, "authority");
const certificate = await makeCertificate(scratch, "server", authority, ["IP:10.0.2.2", "IP:127.0.0.1"]);
const plain = await serve({ ipv6: true });
const secure = await serve({ tls: certificate });
test.after(async () => {
  await Promise.all([plain.stop(), secure.stop()]);
  rmSync(scratch, { recursive: true, force: true });
});

const base = await recoverySystem(`sources: ["${plain.url}/v1.img"]`);
const v1 = signedImage("v1", 3);
const file = await smallImage(v1, await smallControl(base));
for (const { www } of [plain, secure]) offer(www, "v1.img", file);
const machine = await committedMachine(base, v1);
for (const slot of ["a", "b"]) fillWithGarbage(machine.disk, `root-${slot}`);

/** Boots a machine with nothing in its slots whose control file says `recovery`. */
async function start(recovery: string, options: Partial<MachineOptions> = {}) {
  const disk = throwAwayCopy(machine.disk);
  const initrd = await smallInitrd(await recoverySystem(recovery));
  return startSmall(machine, { net: [{}], ...options, initrd, disks: [{ file: disk }] });
}

function recovered(told: Told): ToldRecovery {
  assert.is(told.root, "v1");
  const { recovery } = told.report;
  if (recovery === null) throw new Error("boot.json tells of no recovery");
  assert.is(recovery.steps.at(-1)?.installed?.version, "v1");
  return recovery;
}

test("a static address, as the control file has it", async () => {
  const network = "network: [{ addresses: [10.0.2.77/24], gateways: [10.0.2.2], nameservers: [10.0.2.3] }]";
  const told = await toEnd(await start(`sources: ["${plain.url}/v1.img"]\n${network}`));
  assert.equal(recovered(told).network?.by, "control file");
  assert.match(JSON.stringify(told.report.recovery?.network), /10\.0\.2\.77/);
});

test("IPv6 alone, by router advertisement", async () => {
  const source = `http://[fec0::2]:${plain.server.port}/v1.img`;
  const told = await toEnd(await start(`sources: ["${source}"]`, { net: [{ families: ["ipv6"] }] }));
  assert.is(recovered(told).network?.by, "router advertisement");
});

test("of two links the first leads nowhere", async () => {
  const net = [{ behind: "nobody" as const }, { model: "virtio-net-pci" as const }];
  const told = await toEnd(await start(`sources: ["${plain.url}/v1.img"]`, { net }));
  assert.is(recovered(told).network?.link, "eth1");
});

test("of two links the first gives the same address and the way out, behind which there is nothing", async () => {
  const families: ["ipv4"] = ["ipv4"];
  const net = [
    { behind: "walled" as const, families },
    { behind: "user" as const, families },
  ];
  const told = recovered(await toEnd(await start(`sources: ["${plain.url}/v1.img"]`, { net })));
  assert.is(told.network?.link, "eth1");
  assert.is(told.steps.length, 1, "in the same step");
});

test("TLS of an own authority, and the clock on the board says 1970", async () => {
  const recovery = `sources: ["${secure.url}/v1.img"]\nauthorities: ${JSON.stringify(authority.certificate)}`;
  recovered(await toEnd(await start(recovery, { clock: "1970-01-01T00:00:00" })));
});

/** The same through a relay in front of the server. */
async function through(options: Omit<UnsteadyRelayOptions, "to">, closed = false) {
  const relay = await startUnsteadyRelay({ ...options, to: plain.server.port }, closed);
  return { relay, recovery: `sources: ["http://10.0.2.2:${relay.port}/v1.img"]` };
}

test("the server breaks twenty connections in the middle of a body", async () => {
  const { relay, recovery } = await through({ resets: { times: 20, afterBytes: 60_000 } });
  recovered(await toEnd(await start(recovery)));
  assert.is(relay.broken(), 20);
  await relay.close();
});

test("a slow line, and a server that is not there at first", async () => {
  const { relay, recovery } = await through({ rate: 200_000 }, true);
  const running = await start(recovery);
  await running.expect(/next attempt/i);
  await relay.open();
  const told = recovered(await toEnd(running));
  assert.ok(told.steps.some(({ outcome }) => outcome !== "booted"));
  await relay.close();
});

/** What somebody gets who connects to a port of the guest: "closed" at once, or "open". */
function knock(port: number): Promise<"closed" | "open"> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const settle = (answer: "closed" | "open"): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on("data", () => settle("open")).on("close", () => settle("closed"));
    socket.on("error", () => settle("closed")).setTimeout(3000, () => settle("open"));
  });
}

test("while it downloads no port is open, and there is no shell and no secret in its initrd", async () => {
  const { relay, recovery } = await through({ rate: 150_000 });
  const doors = [22, 23, 80, 111, 443, 2323, 4444, 6499, 8080, 9229];
  const forwards = await Promise.all(doors.map(async (guest) => ({ guest, host: await freePort() })));
  const running = await start(recovery, { net: [{ forwards }] });
  await running.expect(/repair|reinstall/);
  while (relay.connections() === 0) await new Promise((resolve) => setTimeout(resolve, 100));
  const answers = await Promise.all(forwards.map(async ({ guest, host }) => `${guest} ${await knock(host)}`));
  assert.equal(
    answers,
    doors.map((door) => `${door} closed`),
  );
  recovered(await toEnd(running));
  await relay.close();
  const initrd = await smallInitrd(await recoverySystem(recovery));
  const list = await slipway(["initrd", "list", initrd]);
  assert.match(list, /usr\/bin\/slipway/);
  assert.not.match(list, /busybox|\/(ba|da)?sh$|ssh/m);
  assert.not.ok(readFileSync(initrd).includes("PRIVATE KEY"));
});

test.run();
