/** A machine that moves from slipway's own partition to GRUB's environment block and a record in a file, and back by its former initrd. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { smallControl } from "./support/small-image.ts";
import { part, type SmallMachine, smallInitrd } from "./support/small-machine.ts";
import { orderedBoot, orderIn, SHOW, shownIn, storeMachine, systemOf } from "./support/store-story.ts";
import { onExt4 } from "./support/store-subjects.ts";

// On ext4, which the data filesystem has too: these roots have no modules, and the first initrd has none for FAT.
const next = systemOf("boot-record: { store: grubenv, grubenv: { device: PARTLABEL=boot, file: grub/grubenv, dialect: rauc } }");
const nextControl = readFileSync(await smallControl(next), "utf8");
const nextInitrd = await smallInitrd(next);
const machine: SmallMachine = await storeMachine(
  { ...onExt4, bootRecord: "boot-record: { store: record, device: PARTLABEL=boot-record }" },
  { "/etc/next-control.json": nextControl },
);

test("what is written for the next initrd is not looked at by this one", async () => {
  await orderedBoot(machine, "report commit slipway commit --quick");
  const told = await orderedBoot(
    machine,
    "report migrate slipway store migrate --to /etc/next-control.json",
    "report again slipway store migrate --to /etc/next-control.json",
    SHOW,
  );
  assert.match(part(told, "migrate"), /grub\/grubenv on \/dev\/vda\d says what the boot record says of the slots/);
  assert.match(part(told, "migrate"), /also at a file on the data filesystem/);
  assert.match(part(told, "migrate"), /Next: install the initrd of that control file/);
  assert.match(part(told, "again"), /Next: install the initrd/);
  assert.equal([shownIn(told).kind, shownIn(told).store], ["record", null]);
  const later = await orderedBoot(machine);
  assert.equal([later.report.slot, later.report.attempt, later.report.record.condition], ["a", 3, "valid"]);
});

test("the next initrd goes on with what was known: the slot is committed, and its store says so", async () => {
  const told = await orderedBoot({ ...machine, initrd: nextInitrd }, "report commit slipway commit --quick", SHOW);
  const { slot, trial, attempt, record, loader } = told.report;
  assert.equal([slot, trial, attempt], ["a", false, 3]);
  assert.equal([record.condition, record.writable], ["valid", true]);
  assert.equal([loader?.store?.condition, loader?.merged], ["valid", []]);
  const shown = shownIn(told);
  assert.equal([shown.kind, shown.dialect, orderIn(shown)], ["grubenv", "rauc", "a b"]);
});

test("the former initrd goes back: its record was not touched", async () => {
  const told = await orderedBoot(machine, SHOW);
  assert.equal([told.report.slot, told.report.trial, told.report.attempt], ["a", false, 4]);
  assert.equal([shownIn(told).kind, shownIn(told).record.condition], ["record", "valid"]);
});

test.run();
