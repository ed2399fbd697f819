/** A Debian whose root is a file on the filesystem that its state lies on: systemd starts, commits, and shuts it down cleanly. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { initrdFor } from "../../qemu/product.ts";
import { committed, initrdControl, powerOff, slotOf, startDebian } from "./support/debian.ts";
import { checkData, dataFeatures, inspectData, recordOn } from "./support/disk-file.ts";

const system = demoSystem.replace(
  /slots:\n.*\n.*\n/,
  "slots:\n  c: { file: images/c.img, size: 320M }\n  a: { device: PARTLABEL=root-a }\n",
);
const { image } = await demoImage({ version: "v1" });

test("root, state and image on one filesystem, which a shutdown makes read-only in the end", async () => {
  const initrd = await initrdFor(await initrdControl(system));
  const disk = await demoDisk({ c: image, a: image }, system, "1280M");
  const debian = await startDebian({ initrd, copyOf: disk });
  const { shell } = debian;
  await shell.ready();
  const status = await committed(shell, "c");
  assert.equal(
    [status.running.device, slotOf(status, "c").file, slotOf(status, "c").device],
    ["/dev/loop1", "images/c.img", "/dev/loop1"],
  );
  assert.is(await shell.must("findmnt -n -o SOURCE /"), "/dev/loop1");
  assert.match(
    await shell.must("losetup -n -l -O RO,AUTOCLEAR,DIO,BACK-FILE /dev/loop1"),
    /^1 +1 +1 +\/run\/initramfs\/slipway\/c\.img$/,
  );
  assert.is(await shell.must("stat -c %a /run/initramfs/slipway"), "700", "nobody but root sees the images");
  const list = JSON.parse(await shell.must("slipway state list --json"));
  assert.equal(
    list.slotFiles.map(({ slot, size }: { slot: string; size: number }) => [slot, size]),
    [["c", 320 * 1024 * 1024]],
  );
  assert.match(await shell.must("slipway boot --explain"), /from \/dev\/loop1/);
  // What is written last is what a filesystem that nobody unmounts would lose or leave in its journal.
  await shell.must("echo late > /var/lib/late");
  await powerOff(debian);
  assert.not.ok((await dataFeatures(debian.disk)).includes("needs_recovery"));
  await checkData(debian.disk);
  assert.is((await inspectData(debian.disk, "cat /gens/000001/ovl/var/upper/lib/late")).trim(), "late");
  const { record } = recordOn(debian.disk).reading;
  assert.equal([record?.attempt?.slot, record?.attempt?.cleanEnd, record?.lastCommitted?.slot], ["c", true, "c"]);
});

test.run();
