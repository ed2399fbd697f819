/**
 * A data partition that fails, in every way: state that is required fails the slot, state that may be degraded goes to memory,
 * each with a reason in boot.json, on the console and in the boot journal, and what can be repaired is repaired.
 */

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { raised } from "../../boot/selection/slots.ts";
import { writeInto } from "../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { compileControl, madeOf } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { smallRootTree } from "../../qemu/roots.ts";
import { debugData, formatData, onData } from "./support/data-on-disk.ts";
import { dataFeatures, recordOn } from "./support/disk-file.ts";
import { changeRecord, commitOn, hashOf, twoSlots, validRecord } from "./support/record-on-disk.ts";
import { productFragments, type SmallImage, smallSystem } from "./support/small-image.ts";
import { boot, part, type SmallMachine, smallMachine, startSmall, type Told } from "./support/small-machine.ts";

const long = process.env.SLIPWAY_TIER === "long";
const places = ["/etc", "/var/lib", "/home"];
const script = `report kept cat ${places.map((place) => `${place}/kept`).join(" ")}
for place in ${places.join(" ")}; do echo $(cat /etc/small-root/facts) >>$place/kept; done
report uncommitted cat /run/slipway/uncommitted
report check-log cat /run/slipway/data-check.log
sync
`;

/** The control file of an image all of whose kept state may be degraded. */
async function softControl(system: string): Promise<string> {
  const kept = Object.entries(productFragments).filter(([name]) => name !== "tmp.yaml");
  const soft = kept.map(([name, text]) => [
    name,
    text.replace(/^( +)- (path: (?!\/var\/tmp).*)$/gm, "$1- $2\n$1  on-failure: degraded"),
  ]);
  const directory = await madeOf("small-soft-control", [system, soft], async (aside) => {
    mkdirSync(`${aside}/tree`);
    await smallRootTree(`${aside}/tree`, { facts: "none", ending: "hang", directories: ["var/tmp"] });
    await compileControl(system, `${aside}/tree`, `${aside}/control.json`, Object.fromEntries(soft));
    rmSync(`${aside}/tree`, { recursive: true });
  });
  return readFileSync(`${directory}/control.json`, "utf8");
}

const checkers = { "/usr/sbin/e2fsck": "/usr/sbin/e2fsck", "/usr/sbin/xfs_repair": "/usr/sbin/xfs_repair" };

/** A machine whose slot a, where state is required, was committed with state; in b is an image whose state may be degraded. */
async function withState(data: "ext4" | "xfs", system = smallSystem(["a", "b"], data)): Promise<SmallMachine> {
  const b: SmallImage = { facts: "soft", script, control: await softControl(system) };
  const spec = { system, diskSystem: smallSystem(["a", "b"], data), slots: { a: { facts: "v1", script }, b } };
  const machine = await smallMachine({ ...spec, initrd: { extra: checkers }, size: data === "xfs" ? "600M" : "256M" });
  const told = await boot(machine);
  assert.is(told.root, "v1");
  assert.is(part(told, "uncommitted"), "slot a, attempt 1", "the mark of a trial");
  assert.equal([told.report.stateNotes, told.report.degraded], [[], []], "a first boot has nothing to tell");
  commitOn(machine.disk, "a");
  return machine;
}

const copyOf = (machine: SmallMachine): SmallMachine => ({ ...machine, disk: throwAwayCopy(machine.disk) });

/** What slot a kept at its first boot is there, in all places. */
function assertKept(told: Told): void {
  assert.is(told.root, "v1");
  assert.equal(part(told, "kept").split("\n"), ["v1", "v1", "v1"]);
  assert.equal(told.report.degraded, []);
  assert.is(told.report.generation, "000001");
}

/** Slot a failed for `reason`, and b runs in memory: with the reason in every place, and the mark of a trial. */
function assertDegraded(told: Told, disk: string, reason: RegExp): void {
  const { report } = told;
  assert.is(told.root, "soft");
  assert.match(report.skipped.find(({ slot }) => slot === "a")?.reason ?? "", reason);
  assert.match(report.rollback?.reason ?? "", reason);
  assert.equal(report.degraded.map(({ path }) => path).toSorted(), ["/etc", "/etc/machine-id", "/home", "/root", "/var"]);
  for (const entry of report.degraded) assert.match(entry.reason, reason);
  assert.is(part(told, "kept").includes("v1"), false, "memory, not the state of the other slot");
  assert.match(part(told, "uncommitted"), /^slot b, attempt \d+$/);
  assert.match(told.console, new RegExp(`slipway: /home is degraded to memory: .*${reason.source}`));
  const { journal } = recordOn(disk);
  const [last] = journal.filter(({ slot }) => slot === "b");
  assert.match(last?.notes?.[0] ?? "", /^degraded: \/etc, .* and 3 more: /);
  const record = validRecord(disk);
  assert.is(record.attempt?.degraded, true);
  assert.equal(record.quarantined, []);
}

const machine = await withState("ext4");
const known = validRecord(machine.disk).dataFilesystem ?? "";
const another = "11111111-2222-4333-8444-555555555555";

test("a damaged journal and errors in the superblock: e2fsck of the initrd repairs it, the state is there, and it is told", async () => {
  const damaged = copyOf(machine);
  await debugData(damaged.disk, "clri <8>");
  await debugData(damaged.disk, "ssv state 3");
  const told = await boot(damaged);
  assertKept(told);
  assert.match(part(told, "uncommitted"), /No such file/, "a committed slot has no mark");
  const note = "/dev/vda4: its superblock tells of errors; e2fsck: it put right what it found";
  assert.equal(told.report.stateNotes, [note]);
  assert.match(told.console, /slipway: e2fsck looks at \/dev\/vda4/);
  assert.match(told.console, /slipway: e2fsck: \*\*\* journal has been (deleted|regenerated) \*\*\*/);
  assert.match(part(told, "check-log"), /journal has been/);
  assert.equal(recordOn(damaged.disk).journal[0]?.notes, [note]);
  assert.ok((await dataFeatures(damaged.disk)).includes("has_journal"));
});

test("another device's data: refused by the committed slot, memory for the trial; then adopted for one boot", async () => {
  const replaced = copyOf(machine);
  await formatData(replaced.disk, another);
  const before = hashOf(replaced.disk, "sys-data");
  const refused = await boot(replaced);
  assertDegraded(refused, replaced.disk, new RegExp(`the data filesystem ${another}, the boot record knows ${known}`));
  assert.is(hashOf(replaced.disk, "sys-data"), before, "not a byte of it was written");
  assert.is(validRecord(replaced.disk).dataFilesystem, known);
  const adopted = await boot(replaced, { append: "slipway.data=adopt" });
  assert.is(adopted.root, "v1");
  assert.match(adopted.report.stateNotes.join("\n"), /^another data filesystem is adopted: .*\nstate was lost: /);
  assert.match(part(adopted, "kept"), /No such file/);
  assert.is(validRecord(replaced.disk).dataFilesystem, another);
});

test("a full disk: the clone for a trial does not fit and its slot fails, the committed slot boots with its state", async () => {
  const full = copyOf(machine);
  await onData(
    full.disk,
    `mount "$DATA" /mnt; dd if=/dev/zero of=/mnt/gens/000001/tree/home/fill bs=64k 2>/dev/null || :; umount /mnt`,
  );
  changeRecord(full.disk, twoSlots, (record) => raised(record, "b"));
  const told = await boot(full);
  assertKept(told);
  assert.match(told.report.skipped.map(({ slot, reason }) => `${slot}: ${reason}`).join(), /^b: .*(ENOSPC|space)/);
  assert.equal(validRecord(full.disk).quarantined, []);
});

test("a data filesystem made anew with the known UUID: the state is lost, and that is said in all places", async () => {
  const anew = copyOf(machine);
  await formatData(anew.disk, known);
  const told = await boot(anew);
  assert.is(told.root, "v1");
  assert.match(part(told, "kept"), /No such file/);
  const lost = /^state was lost: slot a is committed, but has no generation; the data filesystem holds no generation/;
  assert.match(told.report.stateNotes.join("\n"), lost);
  assert.match(told.console, /slipway: state was lost: /);
  assert.match(recordOn(anew.disk).journal[0]?.notes?.join("\n") ?? "", lost);
});

if (long) {
  for (const [name, spoil, reason] of [
    ["missing", (disk: string) => runProgram("sgdisk", ["--delete=4", disk]), /no partition labelled sys-data/],
    [
      "without its superblock",
      async (disk: string) => writeInto(disk, "sys-data", new Uint8Array(128 * 1024)),
      /has no known filesystem, the control file says ext4, and the boot record knows state on/,
    ],
    [
      "of another type",
      (disk: string) => onData(disk, `mkfs.btrfs -q -f "$DATA"`),
      /has btrfs filesystem, the control file says ext4, and the boot record knows state on/,
    ],
    [
      "damaged beyond what e2fsck repairs unattended",
      (disk: string) => debugData(disk, "clri <2>"),
      /e2fsck: errors are left that it does not repair unattended \(exit 4\)/,
    ],
  ] as const) {
    test(`a data partition that is ${name}`, async () => {
      const spoiled = copyOf(machine);
      await spoil(spoiled.disk);
      assertDegraded(await boot(spoiled), spoiled.disk, reason);
    });
  }

  test("a trial that is degraded at every try is given up with that reason, and not quarantined", async () => {
    const missing = copyOf(machine);
    await runProgram("sgdisk", ["--delete=4", missing.disk]);
    for (let attempt = 0; attempt < 3; attempt++) assert.is((await boot(missing)).root, "soft");
    const running = await startSmall(missing);
    await running.expect("slipway: no slot boots\n");
    await running.expect(/ {4}b +trial used up without a commit; last: it ran with degraded state\n/);
    await running.cutPower();
    assert.equal(validRecord(missing.disk).quarantined, []);
  });

  test("a write-protected data disk", async () => {
    const system = smallSystem().replace("PARTLABEL=sys-data", "/dev/vdb");
    const b: SmallImage = { facts: "soft", script, control: await softControl(system) };
    const protectedOne = await smallMachine({
      system,
      diskSystem: smallSystem(),
      slots: { a: { facts: "v1", script }, b },
      size: "256M",
    });
    commitOn(protectedOne.disk, "a");
    const data = throwAwayCopy(machine.disk);
    await runProgram("mkfs.ext4", ["-q", "-F", data]);
    const told = await boot(protectedOne, { disks: [{ file: protectedOne.disk }, { file: data, readOnly: true }] });
    assertDegraded(told, protectedOne.disk, /\/dev\/vdb is write-protected, and state cannot be kept on it/);
  });

  test("a damaged xfs: xfs_repair of the initrd repairs it", async () => {
    const xfs = await withState("xfs");
    writeInto(xfs.disk, "sys-data", new Uint8Array(512).fill(0xa5), 512);
    const told = await boot(xfs);
    assertKept(told);
    assert.match(
      told.report.stateNotes.join(),
      /was repaired: \/dev\/vda4 cannot be mounted .*; xfs_repair: it put right what it found/,
    );
  });
}

test.run();
