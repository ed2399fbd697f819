/** A machine's boot record and store moved elsewhere, on real devices, with the power cut at every write. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { slotOf } from "../../boot/selection/slots.ts";
import { storeId } from "../../boot/stores/base.ts";
import { changeRecord, writeRecord } from "../../init/commands/change-record.ts";
import { migrateStore } from "../../init/commands/store/migration.ts";
import { showStore } from "../../init/commands/store/show.ts";
import type { Kernel } from "../../init/kernel/kernel.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import type { ControlBootRecord, ControlFile } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { entry, record, slot } from "../unit/commands-machine.ts";
import { controlFile } from "../unit/golden-machine.ts";
import { StateMachine } from "./commands-machine.ts";
import { attach, cleanUp, kernel, kernelCutAt, makeFilesystem, PowerCut, program, scratch } from "./state-machine.ts";

const machine = new StateMachine({ type: "ext4", operators: [], image: "mkdir etc" });
const { places } = machine;
test.after(() => machine.close());
test.after(cleanUp);

const loader = attach(makeFilesystem("ext4", `${scratch}/loader.disk`));
const other = (() => {
  const file = `${scratch}/other.disk`;
  writeFileSync(file, "");
  truncateSync(file, 8 * 1024 * 1024);
  return attach(file);
})();

const own = { store: "record", device: "PARTLABEL=boot-record" } as const;
const grub = (dialect: "rauc" | "slipway") =>
  ({ store: "grubenv", grubenv: { device: loader, file: "grubenv", dialect } }) as const;
const raw = { device: other, offset: 0x100000, size: 0x4000, sectorSize: 0, sectors: 0 };

const slots: ControlFile["slots"] = [
  { name: "a", device: "PARTLABEL=root-a", bootname: "A" },
  { name: "b", device: "PARTLABEL=root-b", bootname: "B" },
];
const control = (bootRecord: ControlBootRecord, change: Partial<ControlFile> = {}) =>
  controlFile({ slots, bootRecord, ...change }).control;

/** The running initrd has `from`; nothing is anywhere else. */
function machineWith(from: ControlBootRecord, facts: Parameters<StateMachine["boot"]>[0] = {}): void {
  for (const device of [loader, other])
    program("dd", "if=/dev/zero", `of=${device}`, "bs=1M", "count=4", "conv=fsync", "status=none");
  program("mkfs.ext4", "-q", "-F", loader);
  program("rm", "-rf", `${machine.place}/record`);
  machine.boot({ record: record({ slots: { a: slot({ priority: 2 }), b: slot({ priority: 1 }) } }), ...facts });
  writeFileSync(places.control, controlFile({ slots, bootRecord: from }).text);
}

const migrate = (to: ControlBootRecord, on: Kernel = kernel) => migrateStore(on, places, control(to));

/** What the next initrd finds: the record at its place with its store, as it would run with that control file. */
function seenBy(to: ControlBootRecord): { shown: ReturnType<typeof showStore>; tries: number; journal: number } {
  const before = readFileSync(places.control, "utf8");
  const report = readFileSync(places.report, "utf8");
  writeFileSync(places.control, controlFile({ slots, bootRecord: to }).text);
  // PID 1 tells the place that the control file names.
  const parsed: { record: { device: string } } = JSON.parse(report);
  const device = to.device?.startsWith("/dev/") ? to.device : parsed.record.device;
  writeFileSync(places.report, JSON.stringify({ ...parsed, record: { ...parsed.record, device } }));
  try {
    return changeRecord(kernel, places, "a test", ({ record: read, journal }) => ({
      shown: showStore(kernel, places),
      tries: slotOf(read, "a").tries,
      journal: journal.length,
    }));
  } finally {
    writeFileSync(places.control, before);
    writeFileSync(places.report, report);
  }
}

const targets: [name: string, from: ControlBootRecord, to: ControlBootRecord][] = [
  ["a partition to GRUB's environment block", own, { ...grub("slipway"), device: own.device }],
  ["a partition to GRUB's environment block and a file", own, { ...grub("rauc"), device: null }],
  ["a partition to a file", own, { store: "record", device: null }],
  ["a partition to another one", own, { store: "record", device: other }],
  ["GRUB's environment block back to a partition alone", { ...grub("rauc"), device: own.device }, own],
];

for (const [name, from, to] of targets) {
  test(`${name}: what the next initrd finds is what this one knows, and this one's stays`, () => {
    machineWith(from, { journal: [entry(6), entry(7)] });
    const device = openedRecord();
    const before = readFileSync(device);
    const { changed, next } = migrate(to);
    assert.is(changed, to.store !== "record" || to.device !== from.device);
    assert.match(next, /install the initrd of that control file/);
    assert.equal(readFileSync(device), before, "the present record was touched");
    const { shown, tries, journal } = seenBy(to);
    assert.is(shown.record.condition, "valid");
    assert.equal([tries, journal], [10, 2]);
    if (to.store === "record") return;
    assert.is(shown.store?.condition, "valid");
    assert.equal(shown.store?.view?.slots, {
      a: { priority: 2, tries: to.store === "grubenv" && to.grubenv.dialect === "rauc" ? 1 : 3, good: true },
      b: { priority: 1, tries: to.store === "grubenv" && to.grubenv.dialect === "rauc" ? 1 : 3, good: true },
    });
    assert.match(shown.store?.view?.nonce ?? "", /^[0-9a-f]{16}$/);
    // With a place of its own the record knows what it wrote; else the first boot of the next initrd does.
    assert.is(shown.store?.base === null, to.device === from.device);
  });

  test(`${name}: the power cut at any write leaves this initrd's as it was, and doing it again ends it`, () => {
    let cuts = 0;
    for (let at = 0; ; at++) {
      machineWith(from, { journal: [entry(6), entry(7)] });
      const device = openedRecord();
      const before = readFileSync(device);
      const isCut = cutAt(at, (cut) => migrate(to, cut));
      assert.equal(readFileSync(device), before, `cut at write ${at}`);
      const { changed } = migrate(to);
      assert.type(changed, "boolean");
      assert.equal([seenBy(to).tries, seenBy(to).journal], [10, 2]);
      if (!isCut) break;
      cuts++;
    }
    // The store alone, nothing, or the file of the record, its journal and itself.
    const isSameRecord = to.device === from.device;
    assert.ok(isSameRecord ? cuts === (to.store === "record" ? 0 : 1) : cuts >= 3, `${cuts} writes`);
  });
}

function openedRecord(): string {
  const told: { record: { device: string } } = JSON.parse(readFileSync(places.report, "utf8"));
  return told.record.device;
}

/** Whether the power was cut: at the write of that number, but for the lock's note. */
function cutAt(at: number, run: (kernel: Kernel) => unknown): boolean {
  const cut = kernelCutAt(at + 1, (name) => name === "write" || name === "rename");
  try {
    run(cut.kernel);
    return false;
  } catch (error) {
    if (error instanceof PowerCut) return true;
    throw error;
  }
}

test("two dialects in one file: nothing is written before the next initrd boots", () => {
  machineWith({ ...grub("rauc"), device: own.device });
  const { did } = migrate({ ...grub("slipway"), device: own.device });
  assert.match(did.join(), /stays where it is: the first boot of the new initrd writes its dialect there/);
});

test("refused: another machine's control file, other slots, a trial, a place that holds something else", () => {
  machineWith(own);
  const to: ControlBootRecord = { ...grub("rauc"), device: own.device };
  const refused = (run: () => unknown, kind: typeof BadInput | typeof Refusal, words: RegExp) =>
    assert.throws(run, (error: unknown) => error instanceof kind && words.test(error.message));
  refused(() => migrateStore(kernel, places, control(to, { system: "other" })), BadInput, /is for other, this machine is/);
  const [first] = slots;
  assert.ok(first);
  refused(
    () => migrateStore(kernel, places, control(to, { slots: [first] })),
    BadInput,
    /has the slots a, this machine has a, b/,
  );
  machineWith(own, {
    record: record({ slots: { a: slot({ priority: 2, state: "trial", tries: 2 }), b: slot({ priority: 1 }) } }),
  });
  refused(() => migrate(to), Refusal, /slot a is on trial/);
  machineWith(own);
  program("sh", "-c", `yes spoiled | head -c 2097152 | dd of=${other} bs=1M conv=fsync status=none`);
  refused(() => migrate({ store: "record", device: other }), Refusal, /holds something else .* write zeros there/);
  refused(
    () =>
      migrate({
        store: "uboot-env",
        device: own.device,
        environment: { copies: [{ ...raw, device: "/dev/nowhere" }], dialect: "rauc" },
      }),
    Refusal,
    /\/dev\/nowhere is not there/,
  );
});

test("an environment that U-Boot never wrote is none to migrate to: it would lose what U-Boot boots by", () => {
  machineWith(own);
  const to: ControlBootRecord = { store: "uboot-env", device: own.device, environment: { copies: [raw], dialect: "rauc" } };
  assert.throws(() => migrate(to), /nothing is migrated: .* is left as it is: U-Boot starts with its built-in environment/);
});

test("store show tells what others changed, and the command that changes something takes it up", () => {
  const to: ControlBootRecord = { ...grub("slipway"), device: own.device };
  machineWith(to);
  changeRecord(kernel, places, "a test", ({ store, record: read }) => writeRecord(store, read));
  const shown = showStore(kernel, places);
  assert.equal([shown.kind, shown.dialect, shown.store?.condition, shown.store?.changed], ["grubenv", "slipway", "valid", []]);
  assert.equal(Object.fromEntries(shown.store?.raw ?? []).ORDER, "A B");
  program(
    "sh",
    "-c",
    `mkdir -p ${scratch}/l && mount ${loader} ${scratch}/l && grub-editenv ${scratch}/l/grubenv set "ORDER=B A" && umount ${scratch}/l`,
  );
  assert.equal(showStore(kernel, places).store?.changed, ["slot b was put first in the bootloader's store: it boots next"]);
  assert.equal(showStore(kernel, places).store?.base, shown.store?.base);
  changeRecord(kernel, places, "a test", ({ record: read }) =>
    assert.ok(slotOf(read, "b").priority > slotOf(read, "a").priority),
  );
  assert.equal(showStore(kernel, places).store?.changed, []);
  const device = openBootRecord(kernel, openedRecord());
  const { base } = device.readRecord().record ?? {};
  device.close();
  assert.is(base !== undefined && "store" in base && base.store, storeId(to));
});

test("without a store: where the record is, and that there is none", () => {
  machineWith(own);
  const shown = showStore(kernel, places);
  assert.equal([shown.kind, shown.record.condition, shown.store], ["record", "valid", null]);
});

test.run();
