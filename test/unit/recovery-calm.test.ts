import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord, SlotRecord } from "../../boot/record/record.ts";
import { slotToCalm } from "../../boot/recovery/calm.ts";
import { NO_RECOVERY } from "../samples/control-file.ts";
import { controlFile } from "./golden-machine.ts";
import { World } from "./golden-world.ts";
import { report, sealed, signedControl } from "./sealed-world.ts";
import { imageA, imageB, policy, recordOf } from "./selection-fixtures.ts";

const used = "tries used up without a good boot";
const spent = (a: Partial<SlotRecord> = {}, change: Partial<BootRecord> = {}) =>
  recordOf({ a: { tries: 0, reason: used, ...a }, b: { tries: 0 } }, { uncleanEnds: 3, ...change });
const tried = { asked: null, tried: [{ rung: "repair" as const, slot: "a", imageId: imageA }], current: null };

test("which slot gets another try as it is: the one that was committed last, where unclean ends are all that is known", () => {
  const none = new Set<string>();
  for (const [name, record, failed, wanted] of [
    ["power cuts", spent(), none, "a"],
    ["more of them", spent({}, { uncleanEnds: 12 }), none, "a"],
    ["few of them", spent({}, { uncleanEnds: 2 }), none, null],
    ["it had its try", spent({}, { exhausted: 1 }), none, null],
    ["a recovery has begun", spent({}, { recovery: tried }), none, null],
    ["one is asked for", spent({}, { recovery: { asked: "repair", tried: [], current: null } }), none, null],
    ["it failed in this boot", spent(), new Set(["a"]), null],
    ["another failed in this boot", spent(), new Set(["b"]), "a"],
    ["it was marked bad", spent({ reason: "marked bad by operator" }), none, null],
    ["it failed for a reason", spent({ reason: `${used}; last: no init` }), none, null],
    ["it is damaged", spent({ damaged: "block 7 is not the image's" }), none, null],
    ["it has tries", spent({ tries: 1 }), none, null],
    ["it is on trial", spent({ state: "trial" }), none, null],
    ["it holds another image", spent({ imageId: imageB }), none, null],
    ["nothing was ever committed", spent({}, { lastCommitted: null }), none, null],
    ["its slot is gone", spent({}, { lastCommitted: { slot: "c", imageId: imageA } }), none, null],
  ] as const) {
    assert.is(slotToCalm(record, policy, failed), wanted, name);
  }
});

test("power that fails in every boot: no state is left for that once it holds, and a system that fails all the same is recovered", async () => {
  const v1 = await sealed(1, { tree: { "usr/lib/slipway/control.json": controlFile().text } });
  const recovery = { ...NO_RECOVERY, ladder: ["previous-generation" as const, "reinstall-fresh" as const] };
  const control = { ...signedControl(), recovery, operators: controlFile().control.operators };
  const world = new World({ a: v1, control });
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  world.change(
    (record) =>
      ({
        ...record,
        slots: { ...record.slots, b: { ...(record.slots.b ?? record.slots.a), state: "empty", imageId: null, tries: 0 } },
      }) as BootRecord,
  );
  for (let cut = 0; cut < policy.tries.committed; cut++) {
    const boot = await world.boot();
    assert.is(report(boot).recovery, null, `boot ${cut}`);
  }
  const kernel = world.kernel();
  const before = kernel.clocks.bootMs;
  const boot = await world.boot(kernel);
  assert.is(boot.end, "exec /sbin/init");
  assert.ok(kernel.clocks.bootMs - before >= 60_000, "the power had to hold");
  assert.is(report(boot).slot, "a");
  assert.is(report(boot).generation, "000001");
  assert.equal(report(boot).recovery?.steps, []);
  const next = await world.boot();
  assert.is(report(next).recovery?.rung, "reinstall-fresh", "the try was not good either");
});

test.run();
