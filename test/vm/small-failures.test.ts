/** Slots that cannot boot, each in its own way; machines on which no slot boots; boot records that are of no use. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { raised, withSlot } from "../../boot/selection/slots.ts";
import { writeInto } from "../../qemu/disk-partitions.ts";
import { emptyFile } from "../../qemu/images.ts";
import { runProgram } from "../../qemu/program.ts";
import { recordOn } from "./support/disk-file.ts";
import { changeRecord, commitOn, hashOf, twoSlots, validRecord } from "./support/record-on-disk.ts";
import { foreignArchitecture, type SmallImage, smallControl, smallImage, smallSystem } from "./support/small-image.ts";
import { boot, smallDisk, smallMachine, startSmall } from "./support/small-machine.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-small-failures-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

/** An image file of `image` whose bytes from `offset` on are overwritten with `length` of 0xa5. */
async function spoiled(name: string, image: SmallImage, control: string, offset: number, length: number): Promise<string> {
  const bytes = readFileSync(await smallImage(image, control));
  bytes.fill(0xa5, offset, offset + length);
  writeFileSync(`${scratch}/${name}`, bytes);
  return `${scratch}/${name}`;
}

/** Slots in the order they are tried in, and why each but the last does not boot. */
const reasons: Record<string, RegExp | null> = {
  missing:
    /no partition labelled root-missing after \d+ s; saw vda1 boot-record, vda2 root-empty, .*, vda16 sys-data; is the module of its disk in the initrd\?/,
  empty: /\/dev\/vda2 holds no image: it begins with zeros; install one/,
  garbage: /\/dev\/vda3 has no known filesystem; a slot holds one of erofs, .*: install an image there/,
  "bad-erofs": /mount \/dev\/vda4 as erofs: \w+/,
  "bad-ext4": /mount \/dev\/vda5 as ext4: \w+/,
  "no-init": /no init in the root: \/sbin\/init: ENOENT; .*put one at \/sbin\/init into the image/,
  "no-interpreter": /\/sbin\/init needs its interpreter \/lib(64)?\/ld-linux-(x86-64\.so\.2|aarch64\.so\.1): .*ENOENT/,
  "no-script": /\/etc\/init needs its interpreter \/bin\/absent: .*ENOENT/,
  foreign: new RegExp(`/sbin/init is a program for ${foreignArchitecture}`),
  "no-run": /the root has no directory \/run; make it in the image/,
  "bad-control": /control file: /,
  "other-system": /the image is for the system other, and this initrd is for small; install the right image/,
  modules: /\/usr\/lib\/modules has modules for 9\.9\.9-other only, and the kernel that runs is \S+; install an image/,
  state: /\/etc.*no known filesystem|no known filesystem, the control file says ext4/,
  good: null,
};
const names = Object.keys(reasons);

test("one boot goes past slots that fail in fourteen ways, and says why of each", async () => {
  const system = smallSystem(names);
  const diskNames = names.filter((name) => name !== "missing");
  const control = await smallControl(system);
  const other = readFileSync(await smallControl(system.replace("system: small", "system: other")), "utf8");
  writeFileSync(`${scratch}/garbage`, Buffer.alloc(1 << 20, 0xa5));
  const machine = await smallMachine({
    system,
    diskSystem: smallSystem(diskNames),
    slots: {
      garbage: `${scratch}/garbage`,
      "bad-erofs": await spoiled("bad-erofs", { facts: "bad" }, control, 1024 + 64, 32),
      "bad-ext4": await spoiled("bad-ext4", { facts: "bad", filesystem: "ext4" }, control, 1024 + 0x18, 4),
      "no-init": { facts: "no-init", remove: ["/sbin/init"] },
      "no-interpreter": { facts: "no-interpreter", init: "dynamic" },
      "no-script": {
        facts: "no-script",
        remove: ["/sbin/init"],
        files: { "/etc/init": { content: "#!/bin/absent\n", mode: 0o755 } },
      },
      foreign: { facts: "foreign", init: "foreign" },
      "no-run": { facts: "no-run", remove: ["/run"] },
      "bad-control": { facts: "bad-control", control: "{}" },
      "other-system": { facts: "other-system", control: other },
      modules: { facts: "modules", directories: ["usr/lib/modules/9.9.9-other"] },
      state: { facts: "state" },
      good: { facts: "good", control: null },
    },
    size: "1G",
  });
  writeInto(machine.disk, "sys-data", new Uint8Array(128 * 1024));
  const { root, report, console } = await boot(machine);
  assert.is(root, "good");
  assert.is(report.slot, "good");
  assert.is(report.attempt, names.length);
  assert.equal(
    report.skipped.map(({ slot }) => slot),
    names.slice(0, -1),
  );
  const { journal } = recordOn(machine.disk);
  const record = validRecord(machine.disk);
  for (const [index, { slot, reason }] of report.skipped.entries()) {
    const wanted = reasons[slot];
    assert.ok(wanted);
    assert.match(reason, wanted);
    assert.ok(console.includes(`slipway: slot ${slot} failed: ${reason}`), `the console tells of ${slot}`);
    const entry = journal.find(({ attempt }) => attempt === index + 1);
    assert.is(entry?.slot, slot);
    assert.is(entry?.outcome, "failed");
    assert.is(entry?.reason, reason.length <= 160 ? reason : entry?.reason);
    assert.is(record.slots[slot]?.tries, 2, slot);
  }
  assert.is(report.rollback?.from, "missing");
  assert.match(report.rollback?.reason ?? "", /no partition labelled root-missing/);
  assert.match(report.warnings.join("\n"), /the image in slot good has no control file: it gets no writable state/);
  assert.is(record.uncleanEnds, 0);
  assert.equal(record.quarantined, [], "what fails before the handover quarantines nothing");
});

test("where no slot boots the screen says why, a slot is re-armed, and the machine restarts after a growing pause", async () => {
  const machine = await smallMachine({ slots: { a: { facts: "no-init", remove: ["/sbin/init"] } }, system: smallSystem() });
  commitOn(machine.disk, "a");
  changeRecord(machine.disk, twoSlots, (record) => withSlot(withSlot(record, "a", { tries: 1 }), "b", { tries: 1 }));
  const running = await startSmall(machine, { noReboot: false });
  await running.expect("slipway: no slot boots\n");
  await running.expect(/ {4}a +no init in the root: .*\n {4}b +\/dev\/vda3 holds no image.*\n/);
  await running.expect("The machine restarts in 5 s, and slot a gets one more try.");
  const first = validRecord(machine.disk);
  assert.is(first.exhausted, 1);
  assert.equal([first.slots.a?.tries, first.slots.b?.tries], [1, 0]);
  await running.expect("slipway: restarting");
  await running.expect("Run /init as init process");
  await running.expect(/ {4}a +no init in the root: .*\n {4}b +tries used up|trial used up/);
  await running.expect("The machine restarts in 10 s, and slot b gets one more try.");
  await running.cutPower();
  const second = validRecord(machine.disk);
  assert.is(second.exhausted, 2);
  assert.equal([second.slots.a?.tries, second.slots.b?.tries], [0, 1]);
  assert.is(second.lastCommitted?.slot, "a");
});

test("with an unreadable boot record the slots are tried in order, and a new record is begun", async () => {
  const machine = await smallMachine({ slots: { a: { facts: "v1" }, b: { facts: "v2" } } });
  for (const offset of [0, 1 << 20]) writeInto(machine.disk, "boot-record", Buffer.alloc(32 * 1024, 0x5a), offset);
  const { root, report, console } = await boot(machine);
  assert.is(root, "v1");
  assert.is(report.record.condition, "unreadable");
  assert.is(report.record.writable, true);
  assert.is(report.trial, true);
  assert.match(report.warnings.join("\n"), /boot record unreadable \(.+\): slots are tried in order, as trials/);
  assert.match(console, /slipway: boot record unreadable/);
  assert.is(validRecord(machine.disk).slots.a?.tries, 2);
});

/** A machine whose slot a is committed and has modules of another kernel only; in b is a newer image on trial. */
async function withTrial(system: string) {
  const a: SmallImage = { facts: "v1", directories: ["usr/lib/modules/9.9.9-other"] };
  const spec = { system, diskSystem: smallSystem(), slots: { a, b: { facts: "v2" } } };
  const machine = { ...(await smallMachine(spec)), disk: await smallDisk(spec) };
  commitOn(machine.disk, "a");
  changeRecord(machine.disk, twoSlots, (record) => raised(record, "b"));
  return machine;
}

test("on a write-protected disk a committed slot boots, never a trial, and nothing is written", async () => {
  const system = smallSystem().replace("PARTLABEL=sys-data", "/dev/vdb");
  const machine = await withTrial(system);
  const data = `${scratch}/data`;
  emptyFile(data, 64 << 20);
  await runProgram("mkfs.ext4", ["-q", data]);
  const before = hashOf(machine.disk, "boot-record");
  const { root, report } = await boot(machine, { disks: [{ file: machine.disk, readOnly: true }, { file: data }] });
  assert.is(root, "v1");
  assert.is(report.trial, false);
  assert.is(report.record.condition, "valid");
  assert.is(report.record.writable, false);
  assert.equal(report.skipped, [{ slot: "b", reason: "not committed, and the boot record cannot be written" }]);
  assert.match(report.warnings.join("\n"), /slot a: \/usr\/lib\/modules has modules for 9\.9\.9-other only/);
  assert.match(report.warnings.join("\n"), /the boot record cannot be written: no try is counted, only committed slots boot/);
  assert.match(report.warnings.join("\n"), /writing to \/dev\/vda1 at 0 failed \(EPERM\); is the disk write-protected\?/);
  assert.is(hashOf(machine.disk, "boot-record"), before);
  assert.is(report.generation, "000001");
});

test("where state is required and the data is write-protected too, the screen says so", async () => {
  const machine = await withTrial(smallSystem());
  const running = await startSmall(machine, { disks: [{ file: machine.disk, readOnly: true }] });
  await running.expect("slipway: no slot boots\n");
  const [screen] = await running.expect(/ {4}(.*\n)* {4}The machine restarts in \d+ s/);
  assert.match(screen, /b +not committed, and the boot record cannot be written/);
  assert.match(screen, /a +.*(read-only|write-protected|EROFS|EACCES)/);
  await running.cutPower();
});

test.run();
