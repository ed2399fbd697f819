/** A running Debian installs an update from a server, of which it fetches what it has not; the trial, the commit, the way back. */

import { cpSync, statSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readReport } from "../../init/commands/read-facts.ts";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import type { GuestShell } from "../../qemu/guest-shell.ts";
import { initrdFor } from "../../qemu/product.ts";
import { trustLine } from "../../qemu/seal.ts";
import { demoNetwork } from "../../scripts/demo/ground.ts";
import { committed, type Debian, powerOff, reboot, slotOf, startDebian, statusOf } from "./support/debian.ts";
import { recordOn } from "./support/disk-file.ts";
import { serve } from "./support/recovery-ground.ts";

const system = demoSystem.replace("trust: unsigned\n", await trustLine(["release"]));
const seal = (name: string, rollbackIndex: number) => ({ keys: [name], rollbackIndex });
const v1 = await demoImage({ version: "v1", system, files: demoNetwork, seal: seal("release", 1) });
const files = { ...demoNetwork, "/usr/share/update": "what v2 brings\n" };
const v2 = await demoImage({ version: "v2", system, files, seal: seal("release", 2) });
const stranger = await demoImage({ version: "v3", system, files, seal: seal("stranger", 3) });
const served = await serve();
for (const [name, image] of Object.entries({ v2, stranger })) cpSync(image.image, `${served.www}/${name}.img`);
/** Of the drivers that the image has not, the network's stays loaded over the handover. */
const modules = ["virtio_pci", "virtio_blk", "virtio_net", "erofs", "ext4", "overlay"];
let debian: Debian;
let shell: GuestShell;

test.before(async () => {
  const initrd = await initrdFor(v1.control, { modules });
  debian = await startDebian({ initrd, copyOf: await demoDisk({ a: v1.image }, system), net: [{}] });
  ({ shell } = debian);
  await shell.ready();
});

test.after(async () => {
  await debian.machine.cutPower();
  await served.stop();
});

const fetched = (): number => served.server.requests().reduce((sum, { bytes }) => sum + bytes, 0);

test("what a stranger signed, and what is not there, is refused before anything is written", async () => {
  await committed(shell, "a");
  const before = recordOn(debian.disk).reading;
  const strange = await shell.run(`slipway install ${served.url}/stranger.img`);
  assert.is.not(strange.exitCode, 0);
  assert.match(strange.output, /signed by 0 trusted keys/);
  const absent = await shell.run(`slipway install ${served.url}/absent.img`);
  assert.is.not(absent.exitCode, 0);
  assert.match(absent.output, /404/);
  assert.equal(recordOn(debian.disk).reading, before);
});

test("an install fetches what differs from slot a, and takes the rest from there", async () => {
  await shell.must("echo written in a > /var/lib/notes; sync");
  const before = fetched();
  const words = `slipway install ${served.url}/v2.img --json >/run/told && tail -n 1 /run/told`;
  const told: { changed: boolean; networkBytes: number } = JSON.parse(await shell.must(words, 300_000));
  assert.is(told.changed, true);
  assert.is(fetched() - before, told.networkBytes);
  const size = statSync(v2.image).size;
  assert.ok(told.networkBytes < size / 10, `${told.networkBytes} of ${size} bytes were fetched`);
  assert.is(slotOf(await statusOf(shell), "b").tries, 3);
});

test("it boots on trial with the state of slot a, proven, and is committed", async () => {
  await reboot(debian);
  const status = await committed(shell, "b");
  assert.is(status.generation, "000002");
  const report = readReport(await shell.must("cat /run/slipway/boot.json"));
  assert.equal([report.slot, report.trial, report.proof, report.image?.version], ["b", true, "signed", "v2"]);
  assert.is(await shell.must("cat /usr/share/update /var/lib/notes"), "what v2 brings\nwritten in a");
});

test("another install of the same is nothing to do, and a rollback leads back to slot a", async () => {
  const before = fetched();
  await shell.must(`slipway install ${served.url}/v2.img`);
  assert.ok(fetched() - before < 2_000_000, "seal and tree alone are asked for");
  await shell.must("echo written in b > /var/lib/notes; sync");
  shell.type("slipway rollback --reboot");
  await shell.ready();
  const status = await committed(shell, "a");
  assert.is(status.rollback?.from, "b");
  assert.is(await shell.must("cat /var/lib/notes"), "written in a");
  await powerOff(debian);
});

test.run();
