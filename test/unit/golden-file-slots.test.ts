/** Boots of slots that are files on the data filesystem, on a machine in memory. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { imageFile } from "../../init/kernel/recording/memory-loops.ts";
import { device, directory, link, file as memoryFile, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { SLOT_FILES_PLACE } from "../../init/sequence/file-slot.ts";
import { matchesGolden } from "../golden.ts";
import { asked } from "./explain-worlds.ts";
import { fileOf, fileSlots, filesWorld, v3, v4 } from "./file-worlds.ts";
import { controlFile, image, MiB } from "./golden-machine.ts";
import { type Boot, World } from "./golden-world.ts";

const v1 = image(1);

function report(boot: Boot): BootReport {
  const read: BootReport = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
  return read;
}

/** Nothing of a slot that was left behind is there any more. */
function assertLetGo({ kernel }: Boot): void {
  const left = kernel.mounts().filter((line) => line.includes("/run/slipway/data") || line.includes(SLOT_FILES_PLACE));
  assert.equal(left, []);
  assert.equal(
    kernel.list("/run").filter((path) => path.startsWith(SLOT_FILES_PLACE)),
    [],
  );
}

function golden(name: string, boot: Boot): void {
  assert.is(boot.escaped, null, boot.end);
  matchesGolden(`boot-${name}`, boot.kernel.trace);
  const held = [...boot.kernel.openDescriptors()].filter(([fd]) => fd > 2).map(([, path]) => path);
  assert.equal(held.toSorted(), ["/", "/dev/kmsg", "/dev/vda1"], "descriptors open until the exec");
}

test("a trial in a file gets a clone of the committed state, and the filesystem with both is mounted once", async () => {
  const world = await filesWorld();
  world.activate("c", v3.id, "a");
  const boot = await world.boot();
  assert.is(boot.root, "/dev/loop1");
  assert.equal([report(boot).slot, report(boot).slotDevice, report(boot).generation], ["c", "/dev/loop1", "000002"]);
  assert.is(boot.kernel.trace.match(/^mount\("\/dev\/vda4"/gm)?.length, 1);
  assert.equal(
    boot.kernel.mounts().filter((line) => line.includes(SLOT_FILES_PLACE)).length,
    1,
    "what pins the filesystem can be seen, so that a shutdown can make it read-only",
  );
  assert.equal(
    boot.kernel.mounts().filter((line) => line.startsWith("/run/slipway/data ")),
    [],
  );
  golden("file-slot", boot);
});

test("a committed file boots again, and another file after it: their device is free again", async () => {
  const world = await filesWorld();
  world.activate("c", v3.id, "a");
  await world.boot();
  world.commitAndShutDown("c", v3.id);
  assert.equal([(await world.boot()).root, world.readRecord().record?.slots.c?.state], ["/dev/loop1", "committed"]);
  world.activate("d", v4.id, "c");
  const boot = await world.boot();
  assert.equal([boot.root, report(boot).slot, report(boot).imageId], ["/dev/loop1", "d", v4.id]);
});

test("a file whose image does not boot is left for the partition that was committed", async () => {
  const bad = image(3, { "usr/sbin/init": {} });
  const world = await filesWorld({ "images/c.img": fileOf(bad) });
  world.activate("c", bad.id, "a");
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  assert.match(report(boot).skipped[0]?.reason ?? "", /no init/);
  assert.is(report(boot).generation, "000001");
  assertLetGo(boot);
  golden("file-slot-left", boot);
});

test("two files that do not boot, one after the other", async () => {
  const [one, two] = [image(3, { "usr/sbin/init": {} }), image(4, { run: "a file" })];
  const world = await filesWorld({ "images/c.img": fileOf(one), "images/d.img": fileOf(two) });
  world.change((record) => {
    const slots = Object.entries(record.slots).map(([name, slot]) => [name, { ...slot, priority: "dcb".indexOf(name) + 3 }]);
    return { ...record, slots: Object.fromEntries(slots) };
  });
  const boot = await world.boot();
  assert.is(boot.root, "/dev/vda2");
  assert.equal(
    report(boot).skipped.map(({ slot }) => slot),
    ["b", "c", "d"],
  );
  assertLetGo(boot);
});

test("without the data filesystem files are left, undamaged, and a partition boots and says why", async () => {
  const plainControl = { "usr/lib/slipway/control.json": controlFile({ operators: [] }).text };
  const plain = image(1, plainControl);
  const world = await filesWorld({}, plain);
  world.activate("c", v3.id, "a");
  const boot = await world.boot(world.kernel(["vda4"]));
  assert.is(boot.root, "/dev/vda2");
  const reason = /^images\/c\.img is out of reach, since there is no data filesystem: no partition labelled sys-data after 30 s/;
  assert.match(report(boot).skipped.find(({ slot }) => slot === "c")?.reason ?? "", reason);
  const { record } = world.readRecord();
  assert.equal([record?.slots.c?.damaged, record?.slots.c?.state, record?.quarantined], [null, "trial", []]);
  golden("file-slot-without-data", boot);
  world.shutDown();
  const later = await world.boot();
  assert.is(later.root, "/dev/loop1", "it is tried again once the filesystem is back");
});

test("another data filesystem than the known one: nothing is read of it", async () => {
  const world = await filesWorld();
  world.change((record) => ({ ...record, dataFilesystem: "0000000f-0000-0000-0000-000000000001" }));
  world.activate("c", v3.id, "a");
  const boot = await world.boot();
  assert.not.match(boot.kernel.trace, /mount\("\/dev\/vda4"/);
  const entry = world.journal().find(({ slot }) => slot === "c");
  assert.match(
    entry?.reason ?? "",
    /out of reach, since there is no data filesystem: \/dev\/vda4 has the data filesystem 000000da/,
  );
  assert.is(world.readRecord().record?.slots.c?.damaged, null);
});

const hostile: [what: string, tree: Tree, reason: RegExp][] = [
  ["nothing", { images: directory() }, /^images\/c\.img is not on the data filesystem: the slot is empty; install an image$/],
  ["no directory", {}, /^images\/c\.img is not on the data filesystem: the slot is empty/],
  ["a file in the directory's place", { images: "x" }, /\(ENOTDIR\): images is no directory; move it away/],
  ["a link in the directory's place", { images: link("shared") }, /\(E(LOOP|NOTDIR)\): /],
  ["a link", { "images/c.img": link("../images/d.img") }, /\(ELOOP\): a link is in its place; remove it/],
  ["a link to a device", { "images/c.img": link("/dev/vda3") }, /\(ELOOP\): a link is in its place/],
  ["a directory", { "images/c.img": directory() }, /images\/c\.img on the data filesystem is a directory, no file; move it away/],
  ["a device", { "images/c.img": device("block", 254, 3) }, /\(EACCES\): a device is in its place; remove it/],
  ["an empty file", { "images/c.img": "" }, /images\/c\.img on the data filesystem has only 0 bytes: the slot is empty/],
  ["a short file", { "images/c.img": memoryFile(new Uint8Array(65536)) }, /has only 65536 bytes: the slot is empty/],
  ["zeros", { "images/c.img": memoryFile(new Uint8Array(MiB)) }, /holds no image: it begins with zeros; install one/],
  [
    "no filesystem",
    { "images/c.img": memoryFile(new Uint8Array(MiB).fill(7)) },
    /has no known filesystem; a slot holds one of erofs/,
  ],
];

for (const [what, tree, reason] of hostile) {
  test(`${what} in a file's place: the next slot boots, with a reason`, async () => {
    const world = await filesWorld(tree, v1, { keep: false });
    world.activate("c", v3.id, "a");
    const boot = await world.boot();
    assert.is(boot.root, "/dev/vda2");
    assert.match(report(boot).skipped.find(({ slot }) => slot === "c")?.reason ?? "", reason);
    assertLetGo(boot);
    assert.is(report(boot).generation, "000001", "the data filesystem is as usable as before");
  });
}

test("a device that cannot be attached, and one that cannot be read: the slot is left, and nothing stays", async () => {
  for (const rule of [
    { call: "ioctl", match: /LOOP_CONFIGURE/, code: "EBUSY" },
    { call: "read", match: /"\/dev\/loop1"/, code: "EIO" },
    { call: "mount", match: /"\/run\/slipway\/data\/images"/, code: "EPERM" },
  ] as const) {
    const world = await filesWorld();
    world.activate("c", v3.id, "a");
    const kernel = world.kernel();
    kernel.failOn(rule);
    const boot = await world.boot(kernel);
    assert.is(boot.root, "/dev/vda2", rule.code);
    assert.match(report(boot).skipped.find(({ slot }) => slot === "c")?.reason ?? "", rule.code);
    assert.is(world.readRecord().record?.slots.c?.damaged, null);
    assertLetGo(boot);
  }
});

test("a device that somebody else took in between: another one is asked for", async () => {
  const world = await filesWorld();
  world.activate("c", v3.id, "a");
  const kernel = world.kernel();
  kernel.failOn({ call: "ioctl", match: /LOOP_CONFIGURE/, code: "EBUSY", times: 2 });
  assert.is((await world.boot(kernel)).root, "/dev/loop1");
});

function withChecker(kernel: RecordingKernel): RecordingKernel {
  kernel.plant("/", { "usr/sbin/e2fsck": memoryFile("", { mode: 0o755 }) });
  kernel.beginTrace();
  return kernel;
}

test("damage under the image that shows in use: the image is let go, the filesystem repaired, and both are taken up again", async () => {
  const world = await filesWorld();
  world.activate("c", v3.id, "a");
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "readDirectory", match: /\/run\/slipway\/data\/gens"/, code: "EBADMSG", times: 1 });
  kernel.onSpawn({ match: /e2fsck -p -f \/dev\/vda4$/, exitCode: 1 });
  const boot = await world.boot(kernel);
  assert.equal([boot.root, report(boot).generation], ["/dev/loop1", "000002"]);
  assert.match(
    report(boot).stateNotes.join(),
    /^the data filesystem was repaired: .*EBADMSG: it is damaged; e2fsck: it put right/,
  );
  const lines = boot.kernel.trace.split("\n");
  const spawn = lines.findIndex((line) => line.startsWith("spawn("));
  for (const place of ["/sysroot", SLOT_FILES_PLACE, "/run/slipway/data"]) {
    const before = lines.slice(0, spawn).filter((line) => line.includes(`umount("${place}"`)).length;
    assert.is(before, 1, `${place} is not mounted while e2fsck runs`);
  }
  assert.is(world.readRecord().record?.slots.c?.tries, 2, "it was one try");
});

test("damage under the image that the checker leaves: the slot is left, the partition's state is as declared", async () => {
  const world = await filesWorld();
  world.activate("c", v3.id, "a");
  const kernel = withChecker(world.kernel());
  kernel.failOn({ call: "readDirectory", match: /\/run\/slipway\/data\/gens"/, code: "EBADMSG", times: 1 });
  kernel.onSpawn({ match: /e2fsck/, exitCode: 4 });
  const boot = await world.boot(kernel);
  assert.is(boot.root, "/dev/vda2");
  assert.match(
    report(boot).skipped.find(({ slot }) => slot === "c")?.reason ?? "",
    /EBADMSG: it is damaged; e2fsck: errors are left/,
  );
  assertLetGo(boot);
});

test("an image that keeps nothing: the data filesystem is named in the report all the same", async () => {
  const plain = image(3, { "usr/lib/slipway/control.json": controlFile({ operators: [], slots: fileSlots }).text });
  const none = image(4, { "usr/lib/slipway": memoryFile("") });
  for (const [slot, holds] of [
    ["c", plain],
    ["d", none],
  ] as const) {
    const world = await filesWorld({ [`images/${slot}.img`]: fileOf(holds) });
    world.activate(slot, holds.id, "a");
    const boot = await world.boot();
    assert.is(boot.root, "/dev/loop1");
    assert.equal([report(boot).data?.device, report(boot).generation], ["/dev/vda4", null]);
    assert.equal(
      boot.kernel.mounts().filter((line) => line.startsWith("/run/slipway/data ")),
      [],
    );
  }
});

test("a factory reset and a collection leave the files alone", async () => {
  const world = await filesWorld();
  world.activate("c", v3.id, "a");
  await world.boot();
  world.commitAndShutDown("c", v3.id);
  const boot = await asked(world, { reset: { what: "factory", identity: true } }).boot();
  assert.equal([boot.root, report(boot).generation], ["/dev/loop1", "000003"]);
  assert.match(report(boot).stateNotes.join(), /factory reset/);
  assert.equal(boot.kernel.list(SLOT_FILES_PLACE), [`${SLOT_FILES_PLACE}/c.img`, `${SLOT_FILES_PLACE}/d.img`]);
});

test("only files: the disk is that of the data filesystem where no boot record is found", async () => {
  const slots = fileSlots.filter((slot) => "file" in slot);
  const data = { "images/c.img": imageFile(4 * MiB, v3.head, { type: "erofs", tree: v3.tree }) };
  const world = new World({ control: { slots }, data });
  const boot = await world.boot(world.kernel(["vda1"]));
  assert.equal([boot.root, report(boot).slot], ["/dev/loop1", "c"]);
});

test.run();
