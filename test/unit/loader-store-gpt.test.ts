/** The store in a partition table, on a machine in memory: what it reads and writes, cut short at every effect. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readEntries } from "../../boot/devices/gpt.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { slotsInTable } from "../../boot/stores/gpt-slots.ts";
import type { StoreView } from "../../boot/stores/view.ts";
import { diskOf } from "../../init/devices/scan.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { GptStore } from "../../init/store/loader-store/gpt.ts";
import { Desk, guid, MiB } from "./disk-desk.ts";

const slots = [
  { name: "a", bootname: "A", reference: parseReference("PARTLABEL=root-a") },
  { name: "b", bootname: "B", reference: parseReference(`PARTUUID=${guid(3).toUpperCase()}`) },
];

const trial: StoreView = {
  slots: { a: { priority: 1, tries: null, good: true }, b: { priority: 2, tries: 3, good: null } },
  nonce: null,
};
const committed: StoreView = { slots: { ...trial.slots, b: { priority: 2, tries: null, good: true } }, nonce: null };

function storeOn(kernel: ReturnType<Desk["kernel"]>): GptStore {
  return new GptStore({ kernel, loadForFilesystem: () => {}, environmentLock: null }, "/dev/vda", slots);
}

test("written, read again, and the rest of the table as it was", () => {
  const desk = new Desk();
  const before = desk.partitions;
  const kernel = desk.kernel();
  const store = storeOn(kernel);
  const empty = store.read();
  assert.equal([empty.condition, empty.view], ["empty", null]);
  assert.equal(store.foresee({ ...trial, nonce: "0123456789abcdef" }), trial, "there is no place for a nonce");
  assert.equal(store.write(trial), { written: true });
  assert.equal(store.read(), { condition: "valid", view: trial, reason: null });
  assert.equal(storeOn(kernel).read().view, trial);
  assert.equal(store.raw(), [
    ["partition 2 (root-a)", "priority=1 tries=0 successful=1"],
    ["partition 3 (root-b)", "priority=2 tries=3 successful=0"],
  ]);
  const without = (found: Desk["partitions"]) =>
    typeof found === "string" ? found : found.map(([label, start, end, bits]) => [label, start, end, bits & ~(0x1ffn << 48n)]);
  assert.equal(without(desk.partitions), without(before));
});

test("the same view again writes nothing", () => {
  const desk = new Desk();
  const kernel = desk.kernel();
  const store = storeOn(kernel);
  store.read();
  store.write(trial);
  const before = kernel.trace;
  assert.equal(store.write(trial), { written: true });
  assert.not.match(kernel.trace.slice(before.length), /^write/m);
});

test("the backup is durable before the primary is touched", () => {
  const kernel = new Desk().kernel();
  storeOn(kernel).write(trial);
  const calls = [...kernel.trace.matchAll(/^(write|fsync)\("\/dev\/vda".*$/gm)].map(([line, call]) => {
    const offset = Number(/at (0x[0-9a-f]+)\)$/.exec(line)?.[1] ?? 0);
    return call === "fsync" ? "sync" : offset > 32 * MiB ? "backup" : "primary";
  });
  assert.equal(calls, ["backup", "backup", "sync", "primary", "primary", "sync"]);
});

test("cut short at every effect, with what was not synced kept or lost, the old view or the new one is there", () => {
  let cuts = 0;
  for (const unsynced of ["kept", "lost"] as const) {
    for (let effects = 0; ; effects++) {
      const desk = new Desk();
      storeOn(desk.kernel()).write(trial);
      const kernel = desk.kernel();
      kernel.crashAfter(effects, 512, unsynced);
      let end: unknown = null;
      try {
        storeOn(kernel).write(committed);
      } catch (error) {
        end = error;
      }
      const seen = storeOn(desk.kernel()).read().view;
      if (end === null) {
        assert.equal(seen, committed);
        break;
      }
      assert.instance(end, PowerCut);
      assert.ok(
        [trial, committed].some((view) => JSON.stringify(view) === JSON.stringify(seen)),
        JSON.stringify(seen),
      );
      assert.not.type(desk.partitions, "string", "the kernel finds the partitions");
      const again = storeOn(desk.kernel());
      assert.equal(again.write(committed), { written: true });
      assert.is(again.read().reason, null, "and both copies are whole afterwards");
      cuts++;
    }
  }
  assert.ok(cuts >= 10, `${cuts} cuts`);
});

test("a disk that refuses the write: what it said before, and why", () => {
  for (const code of ["EIO", "EPERM"]) {
    const desk = new Desk();
    storeOn(desk.kernel()).write(trial);
    const kernel = desk.kernel();
    kernel.failOn({ call: "write", match: /^write\("\/dev\/vda"/, code });
    const outcome = storeOn(kernel).write(committed);
    assert.is(outcome.written, false);
    assert.match("reason" in outcome ? outcome.reason : "", new RegExp(`^the partition table of /dev/vda: .*${code}`));
    assert.equal(storeOn(desk.kernel()).read().view, trial);
  }
});

test("a disk that cannot be opened, and one that somebody else changes", () => {
  const desk = new Desk();
  const kernel = desk.kernel();
  kernel.failOn({ call: "open", match: /^open\("\/dev\/vda"/, code: "ENXIO" });
  const reading = storeOn(kernel).read();
  assert.is(reading.condition, "unreadable");
  assert.match(reading.reason ?? "", /ENXIO/);
  const locked = desk.kernel();
  locked.lock(locked.open("/dev/vda", 0));
  const outcome = storeOn(locked).write(trial);
  assert.match("reason" in outcome ? outcome.reason : "", /\/dev\/vda is locked by another program/);
});

test("slots are found by what the table says of them", () => {
  const desk = new Desk();
  const { pair } = desk;
  if (typeof pair.primary === "string") throw new Error(pair.primary);
  const table = pair.primary;
  const by = (...references: string[]) =>
    slotsInTable(
      { table },
      references.map((text, index) => ({ name: `s${index}`, bootname: `s${index}`, reference: parseReference(text) })),
      "/dev/vda",
    );
  const found = by("PARTLABEL=root-a", `PARTUUID=${guid(3)}`, "/dev/vda4");
  assert.equal([found.slots.map(({ number }) => number), found.faults], [[2, 3, 4], []]);
  const missing = by("PARTLABEL=root-c", "/dev/vdb4", "/dev/vda40", "LABEL=root");
  assert.equal(missing.slots, []);
  assert.is(missing.faults.length, 4);
  assert.is(missing.faults[0], "slot s0 (PARTLABEL=root-c) is not in it");
  assert.equal(readEntries(table).length, 4);
});

test("the disk of a partition, and of itself", () => {
  const kernel = new Desk().kernel();
  assert.is(diskOf(kernel, "/dev/vda2"), "/dev/vda");
  assert.is(diskOf(kernel, "/dev/vda"), "/dev/vda");
  assert.is(diskOf(kernel, "/dev/vdz1"), null);
});

test.run();
