/** Both slots are destroyed and there is no network: what lies on a stick, and on a disc, brings the machine back. */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fillWithGarbage } from "../../qemu/disk-partitions.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { runProgram } from "../../qemu/program.ts";
import { isoImage } from "../samples/iso-image.ts";
import { committedMachine, publish, recoverySystem, signedImage } from "./support/recovery-ground.ts";
import { smallControl, smallImage } from "./support/small-image.ts";
import { boot, part, smallInitrd, startSmall, toEnd } from "./support/small-machine.ts";

const directory = mkdtempSync(`${tmpdir()}/slipway-media-`);
test.after(() => rmSync(directory, { recursive: true, force: true }));

const system = await recoverySystem("ladder: [repair, reinstall]\nmedia: true\nnetwork: off");
const control = await smallControl(system);
const v1 = signedImage("v1", 3);
const [image1, image2] = [await smallImage(v1, control), await smallImage(signedImage("v2", 4), control)];
const machine = await committedMachine(system, v1);
const { disk } = machine;

function destroy(): void {
  for (const slot of ["a", "b"]) fillWithGarbage(disk, `root-${slot}`);
}

/** A stick of vfat with the channel's directory of both images on it, as people copy it there. */
async function stick(): Promise<string> {
  const file = `${directory}/stick`;
  if (existsSync(file)) return file;
  await publish(directory, "stable", [image1, image2]);
  writeFileSync(file, "");
  truncateSync(file, 192 * 1024 * 1024);
  await runProgram("mkfs.vfat", ["-F", "32", "-n", "UPDATE", file]);
  await runProgram("mcopy", ["-s", "-i", file, `${directory}/stable`, "::/slipway"]);
  return file;
}

/** An ext4 that was made to harm whoever looks at it, with a journal that waits and a wish for a panic at the first error. */
async function hostile(): Promise<string> {
  const [file, tree] = [`${directory}/hostile`, `${directory}/hostile-tree`];
  mkdirSync(`${tree}/slipway`, { recursive: true });
  const lines = `cd "$1"; ln -s /dev/vda slipway/disk.img; ln -s / small; mkfifo channel.json slipway/fifo.img
mknod slipway/device.img b 254 0; truncate -s 1T slipway/sparse.img; cp "$2" slipway/unsigned.img`;
  await runProgram("sh", ["-ec", lines, "sh", tree, image1]);
  const unsigned = `${tree}/slipway/unsigned.img`;
  const bytes = readFileSync(unsigned);
  bytes[bytes.lastIndexOf('"sig":"') + 10] = (bytes[bytes.lastIndexOf('"sig":"') + 10] ?? 0) === 0x41 ? 0x42 : 0x41;
  writeFileSync(unsigned, bytes);
  writeFileSync(file, "");
  truncateSync(file, 64 * 1024 * 1024);
  await runProgram("mkfs.ext4", ["-q", "-F", "-d", tree, file]);
  await runProgram("tune2fs", ["-e", "panic", file]);
  return file;
}

test("a stick with a channel's directory, and a disk that was made to do harm: the image that ran comes back", async () => {
  destroy();
  const media = [{ file: await hostile() }, { file: await stick() }];
  const before = media.map(({ file }) => new Bun.CryptoHasher("sha256").update(readFileSync(file)).digest("hex"));
  const told = await boot(machine, { disks: [{ file: disk }, ...media] });
  assert.is(told.root, "v1");
  const { recovery } = told.report;
  assert.is(recovery?.rung, "repair");
  const installed = recovery?.steps.at(-1)?.installed;
  assert.equal([installed?.version, installed?.place], ["v1", "media"]);
  assert.match(installed?.source ?? "", /^\/dev\/vdc: slipway\/.*\.img$/);
  assert.match(told.console, /\/dev\/vdb: slipway\/disk\.img: it is a link/);
  assert.match(told.console, /\/dev\/vdb: slipway\/unsigned\.img: no image that could be used/);
  assert.match(told.console, /\/dev\/vdb: small: it is a link/);
  assert.not.match(part(told, "mounts"), /\/dev\/vd[bc]/);
  const after = media.map(({ file }) => new Bun.CryptoHasher("sha256").update(readFileSync(file)).digest("hex"));
  assert.equal(after, before, "a medium was written to");
});

test("a disc in a drive: the image on it is installed, and it is the same machine as before", async () => {
  destroy();
  const disc = `${directory}/disc`;
  writeFileSync(disc, isoImage("SMALL V2", { slipway: { "v2.img": new Uint8Array(readFileSync(image2)) } }));
  const drive = ["-device", "virtio-scsi-pci,id=drives", "-device", "scsi-cd,bus=drives.0,drive=disc"];
  const blockdev = ["-blockdev", `driver=file,node-name=disc-file,filename=${disc},read-only=on`];
  const extra = [...blockdev, "-blockdev", "driver=raw,node-name=disc,file=disc-file,read-only=on", ...drive];
  const told = await boot(machine, { extra });
  assert.is(told.root, "v2");
  const installed = told.report.recovery?.steps.at(-1)?.installed;
  assert.equal([installed?.version, installed?.place, installed?.source], ["v2", "media", "/dev/sr0: slipway/v2.img"]);
  assert.is(part(told, "notes"), "written by v1");
  assert.not.match(part(told, "mounts"), /sr0/);
});

test("nothing helps, then a stick is plugged into a USB port: its drivers are loaded, and the pause ends at once", async () => {
  destroy();
  const { kernel } = await guestKernel("generic");
  const initrd = await smallInitrd(system, { flavour: "generic" });
  const extra = ["-device", "qemu-xhci,id=usb"];
  const run = await startSmall({ ...machine, kernel, initrd }, { extra, timeoutMs: 180_000 });
  await run.expect(/recovery could not help; in \d+ s/);
  await run.plugStick(await stick(), "usb");
  const told = await toEnd(run);
  assert.match(told.console, /sda was plugged in/);
  const installed = told.report.recovery?.steps.at(-1)?.installed;
  assert.is(installed?.place, "media");
  assert.match(installed?.source ?? "", /^\/dev\/sda: slipway\//);
  assert.is(part(told, "notes"), "written by v1");
});

test.run();
