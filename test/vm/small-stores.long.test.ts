/** The boot record beside GRUB's environment block; slipway chooses. */
import { rmSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { freshRecord } from "../../boot/record/store.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { baseOf, storeId } from "../../boot/stores/base.ts";
import { readGrubenv } from "../../boot/stores/grubenv.ts";
import { GRUBENV_DIALECTS } from "../../boot/stores/grubenv-dialects.ts";
import { mergeStore } from "../../boot/stores/merge.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { describePoint, flushBoundaries, reorderings } from "../../qemu/crash-points.ts";
import { bytesOnEsp } from "../../qemu/esp.ts";
import type { ControlBootRecord } from "../../state-ops/control.ts";
import { randomNumbers } from "../samples/random.ts";
import { diskAt, recordBoot, removeScratch } from "./support/crash-replay.ts";
import { recordOn } from "./support/disk-file.ts";
import { ordersFile } from "./support/orders.ts";
import { twoSlots } from "./support/record-on-disk.ts";
import { orderedBoot, storeMachine, storeStory } from "./support/store-story.ts";
import { onExt4, onVfat } from "./support/store-subjects.ts";

test.after(removeScratch);

for (const subject of [onVfat, onExt4]) await storeStory(subject);

test("power cuts at every flush of a commit and an activation, and disks that reorder between: never a block that is neither", async () => {
  const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
  const bootRecord: ControlBootRecord = {
    store: "grubenv",
    device: "PARTLABEL=boot-record",
    grubenv: { device: "PARTLABEL=esp", file: "grub/grubenv", dialect: "slipway" },
  };
  const machine = await storeMachine(onVfat);
  await orderedBoot(machine);
  const { disk } = machine;
  const script = "slipway commit --quick; slipway activate b; sync";
  const recording = await recordBoot(machine, [{ file: ordersFile(script) }]);
  const points = [...flushBoundaries(recording.entries), ...reorderings(recording.entries, 150, randomNumbers(seed))];
  const slots = ["a", "b"].map((name) => ({ name, bootname: name.toUpperCase() }));
  const facts = { policy: twoSlots, chooser: "slipway", traits: traitsOf(bootRecord), unixMs: 1, started: null } as const;
  const seen = new Set<string>();
  for (const point of points) {
    const at = diskAt(recording, point, "at");
    const where = `seed ${seed}, ${describePoint(point, recording.entries)}`;
    const { reading } = recordOn(at);
    assert.is(reading.condition, "valid", where);
    const block = readGrubenv(await bytesOnEsp(at, "grub/grubenv"));
    assert.is(block.variables?.get("theirs"), "kept", where);
    assert.is(block.reason, null, where);
    const record = reading.record ?? freshRecord(twoSlots);
    const base = baseOf(record.base, storeId(bootRecord));
    const view = GRUBENV_DIALECTS.slipway.view(block.variables ?? new Map(), slots);
    const merged = base === null ? record : mergeStore(record, base, view, facts).record;
    const isFirst = slotOf(merged, "b").priority > slotOf(merged, "a").priority;
    seen.add(`a ${slotOf(merged, "a").state}, ${isFirst ? "b" : "a"} first`);
    rmSync(at);
  }
  assert.equal([...seen].sort(), ["a committed, a first", "a committed, b first", "a trial, a first"]);
  console.log(`${points.length} points tried, seed ${seed}, of ${disk}`);
});

test.run();
