/** Stores of which no bootloader runs here: attributes in a partition table, and a Raspberry Pi's autoboot.txt. */
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readAutoboot } from "../../boot/stores/autoboot.ts";
import type { StoreView } from "../../boot/stores/view.ts";
import { MS } from "../../init/kernel/constants.ts";
import type { LoaderStore } from "../../init/store/loader-store/loader-store.ts";
import { openLoaderStore } from "../../init/store/loader-store/open.ts";
import type { ControlBootRecord, SlotDefinition } from "../../state-ops/control.ts";
import {
  attach,
  cleanUp,
  detach,
  kernel,
  kernelCutAt,
  makeFilesystem,
  mountTmpfs,
  PowerCut,
  program,
  scratch,
} from "./state-machine.ts";

test.after(cleanUp);
mountTmpfs("/run");

const desk = { kernel, loadForFilesystem: () => {}, environmentLock: null };
const trial: StoreView = {
  slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: 3, good: null } },
  nonce: null,
};
const committed: StoreView = { slots: { ...trial.slots, b: { priority: 2, tries: null, good: true } }, nonce: null };

function opened(bootRecord: ControlBootRecord, slots: SlotDefinition[], node: string): LoaderStore {
  const store = openLoaderStore(desk, { bootRecord, slots, data: null }, () => node);
  if (store === null) throw new Error("no store");
  return store;
}

/** A file with zeros. */
function disk(name: string, mebibytes: number): string {
  const file = `${scratch}/${name}`;
  writeFileSync(file, "");
  truncateSync(file, mebibytes * 1024 * 1024);
  return file;
}

test("attributes on a block device, past its page cache: cgpt and sgdisk read them, and what cgpt changes is seen", () => {
  const file = disk("gpt.disk", 32);
  const parts = ["boot-record", "root-a", "root-b"].flatMap((label, at) => [`-n${at + 1}:0:+8M`, `-c${at + 1}:${label}`]);
  program("sgdisk", ...parts, file);
  const device = attach(file);
  const slots: SlotDefinition[] = [
    { name: "a", device: "PARTLABEL=root-a" },
    { name: "b", device: `${device}p3` },
  ];
  const bootRecord: ControlBootRecord = { store: "gpt", dialect: "gptprio", device: "PARTLABEL=boot-record" };
  const store = opened(bootRecord, slots, device);
  assert.is(store.place, `the partition table of ${device}`);
  assert.is(store.read().condition, "empty");
  for (const view of [trial, committed]) {
    assert.equal(store.write(view), { written: true });
    assert.equal(store.read(), { condition: "valid", view, reason: null });
  }
  assert.equal([program("cgpt", "show", "-i2", "-A", device), program("cgpt", "show", "-i3", "-A", device)], ["0x101", "0x102"]);
  assert.match(program("sgdisk", "-v", device), /No problems found/);
  program("cgpt", "add", "-i3", "-P0", "-T0", "-S0", device);
  assert.equal(store.read().view?.slots.b, { priority: 0, tries: 0, good: false });
  detach(device);
});

const pi: SlotDefinition[] = [
  { name: "a", device: "PARTLABEL=root-a", bootname: "2" },
  { name: "b", device: "PARTLABEL=root-b", bootname: "3" },
];

/** A filesystem of a loader; this machine's kernel may have no vfat, and the store knows both. */
function loaderFilesystem(name: string, text: string | null): { device: string; autoboot: string; done(): void } {
  const device = attach(makeFilesystem("ext4", `${scratch}/${name}.disk`));
  const place = `${scratch}/${name}`;
  program("mkdir", place);
  kernel.mount(device, place, "ext4", MS.NOATIME, "");
  const autoboot = `${place}/autoboot.txt`;
  if (text !== null) writeFileSync(autoboot, text);
  program("sync");
  const done = () => {
    program("umount", place);
    detach(device);
  };
  return { device, autoboot, done };
}

const tryboot = (device: string) => opened({ store: "tryboot", device: null, tryboot: { device } }, pi, device);

test("autoboot.txt: one sector in place, as often as it changes", () => {
  const { device, autoboot, done } = loaderFilesystem("pi", "# factory\n[all]\ntryboot_a_b=1\nboot_partition=2\n");
  const store = tryboot(device);
  const first = store.read();
  assert.equal(first.view?.slots, { a: { priority: 2, tries: null, good: true }, b: { priority: 0, tries: 0, good: false } });
  assert.equal(store.write(trial), { written: true });
  assert.equal(store.read().view, store.foresee(trial));
  const text = () => readFileSync(autoboot, "utf8");
  assert.match(text(), /^# factory/);
  assert.equal(readAutoboot(text()), { all: 2, tryboot: 3, isPartition: true, foreign: [] });
  const { ino, blocks } = statSync(autoboot);
  const block = program("filefrag", "-v", autoboot)
    .split("\n")
    .find((line) => line.includes("0:"));
  assert.equal(store.write(committed), { written: true });
  assert.equal(readAutoboot(text()), { all: 3, tryboot: 2, isPartition: true, foreign: [] });
  const after = statSync(autoboot);
  assert.equal([after.ino, after.blocks, after.size], [ino, blocks, 512]);
  assert.is(
    program("filefrag", "-v", autoboot)
      .split("\n")
      .find((line) => line.includes("0:")),
    block,
  );
  assert.equal(store.write(committed), { written: true });
  assert.equal(store.raw(), [
    ["[all] boot_partition", "3"],
    ["[tryboot] boot_partition", "2"],
    ["tryboot_a_b", "1"],
  ]);
  done();
});

test("a shorter autoboot.txt is made a sector long before it is changed, so that a cut leaves the old text or the new one", () => {
  const old = "[all]\ntryboot_a_b=1\nboot_partition=2";
  for (let writes = 0; writes < 2; writes++) {
    const { device, autoboot, done } = loaderFilesystem(`pi-cut-${writes}`, old);
    const cut = kernelCutAt(writes, (name) => name === "write");
    const store = openLoaderStore(
      { ...desk, kernel: cut.kernel },
      { bootRecord: { store: "tryboot", device: null, tryboot: { device } }, slots: pi, data: null },
      () => device,
    );
    store?.read();
    assert.throws(
      () => store?.write(committed),
      (error: unknown) => error instanceof PowerCut,
    );
    assert.equal(readAutoboot(readFileSync(autoboot, "utf8")), { all: 2, tryboot: 2, isPartition: true, foreign: [] });
    assert.equal(tryboot(device).write(committed), { written: true });
    done();
  }
});

test("an autoboot.txt that is not there is made, one that is too long is left alone, and one that would be is not written", () => {
  const { device, autoboot, done } = loaderFilesystem("pi-empty", null);
  const store = tryboot(device);
  const reading = store.read();
  assert.equal([reading.condition, reading.reason], ["empty", `autoboot.txt on ${device} is not there`]);
  assert.equal(store.write(trial), { written: true });
  assert.is(store.read().condition, "valid");
  writeFileSync(autoboot, `# ${"x".repeat(600)}\nboot_partition=2\n`);
  assert.is(store.read().condition, "unreadable");
  assert.match(store.read().reason ?? "", /more than 512 bytes, of which the firmware reads no more/);
  writeFileSync(autoboot, `# ${"x".repeat(480)}\nboot_partition=2\n`);
  assert.is(store.read().condition, "valid");
  const outcome = store.write(trial);
  assert.match("reason" in outcome ? outcome.reason : "", /firmware reads 512; take comments out of it/);
  done();
});

test.run();
