/** A Debian whose slots are destroyed comes back by itself and tells of it; and an empty disk becomes a Debian in one boot. */

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { fillWithGarbage, writeInto } from "../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { initrdFor } from "../../qemu/product.ts";
import { trustLine } from "../../qemu/seal.ts";
import { committed, initrdControl, powerOff, startDebian, statusOf } from "./support/debian.ts";
import { fetchedBy, publish, serve } from "./support/recovery-ground.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-debian-recovery-`);
const served = await serve();
/** What was reported, as it came. */
const reports: string[] = [];
const receiver = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8").on("data", (text: string) => {
    body += text;
  });
  request.on("end", () => {
    reports.push(body);
    response.writeHead(204).end();
  });
});
await new Promise<void>((resolve) => receiver.listen(0, "127.0.0.1", resolve));
const address = receiver.address();
if (address === null || typeof address === "string") throw new Error("no port");
const reportUrl = `http://10.0.2.2:${address.port}/recovered`;
test.after(async () => {
  receiver.close();
  await served.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const trust = await trustLine(["release"]);
const system = demoSystem.replace("trust: unsigned\n", trust);
const recovery = `recovery:
  sources: ["${served.url}/stable/"]
  report: ${reportUrl}
`;
const { image } = await demoImage({
  version: "v1",
  system,
  library: ["journald"],
  seal: { keys: ["release"], rollbackIndex: 1 },
});
await publish(served.www, "stable", [image]);
const net = [{}];

test("both slots destroyed: the same machine runs again, without a reboot in between, and its master hears of it", async () => {
  const initrd = await initrdFor(await initrdControl(`${system}${recovery}`));
  const disk = throwAwayCopy(await demoDisk({ a: image, b: image }, system));
  const before = await startDebian({ initrd, disk, net });
  await before.shell.ready();
  await committed(before.shell, "a");
  const machineId = await before.shell.must("cat /etc/machine-id");
  await before.shell.must("echo mine >/var/lib/notes; mkdir -p /var/log/journal; echo shared >/var/log/journal/note; sync");
  await powerOff(before);
  fillWithGarbage(disk, "root-a");
  writeInto(disk, "root-b", new Uint8Array(64 * 1024 * 1024));

  const after = await startDebian({ initrd, disk, net, timeoutMs: 900_000 });
  const { machine, shell } = after;
  await shell.ready(undefined, 600_000);
  assert.is(machine.boots, 1, "it took a reboot");
  assert.is(await shell.must("cat /etc/machine-id"), machineId);
  assert.is(await shell.must("cat /var/lib/notes /var/log/journal/note"), "mine\nshared");
  const told = (await statusOf(shell)).recovery.boot;
  if (told === null) throw new Error("status tells of no recovery");
  const seconds = told.steps.reduce((sum, { lengthMs }) => sum + lengthMs, 0) / 1000;
  console.log(`both slots destroyed: ${fetchedBy(told)} bytes came over the network, ${seconds.toFixed(1)} s`);
  assert.is(told.steps.at(-1)?.installed?.version, "v1");
  assert.match(await shell.must("slipway status"), /recover/i);
  assert.match(
    await shell.must("slipway journal || journalctl -b -t slipway -t kernel --no-pager | grep -i slipway"),
    /reinstall|repair/,
  );
  assert.is(reports.length, 1, "one report a recovery");
  const report = JSON.parse(reports[0] ?? "");
  assert.is(report.machineId, machineId);
  assert.match(reports[0] ?? "", /"version":"v1"/);
  await committed(shell, told.steps.at(-1)?.slot ?? "");
  await powerOff(after);
});

test("an empty disk becomes a running Debian in one boot", async () => {
  const layout = `device-timeout: 4s
install: blank
layout:
  - { label: boot-record, size: 4M }
  - { label: root-a, size: 400M }
  - { label: root-b, size: 400M }
  - { label: sys-data, size: rest }
`;
  const extra = { "/usr/sbin/mkfs.ext4": "/usr/sbin/mkfs.ext4", "/etc/mke2fs.conf": "/etc/mke2fs.conf" };
  const initrd = await initrdFor(await initrdControl(`${system}${recovery}${layout}`), { extra });
  const disk = `${scratch}/blank`;
  writeFileSync(disk, "");
  truncateSync(disk, 1200 * 1024 * 1024);
  const debian = await startDebian({ initrd, disk, net, timeoutMs: 900_000 });
  await debian.shell.ready(undefined, 600_000);
  assert.is(debian.machine.boots, 1, "it took a reboot");
  const status = await statusOf(debian.shell);
  assert.is(status.recovery.boot?.rung, "reinstall");
  await debian.shell.must("echo mine >/var/lib/notes; sync; test -s /etc/machine-id");
  await committed(debian.shell, status.running.slot);
  await powerOff(debian);
});

test.run();
