/** Images whose init fails, and state that makes every init fail: the ladder climbs until a system runs. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { commitSlot } from "../../boot/selection/running.ts";
import { inspectData } from "./support/disk-file.ts";
import { changeRecord, twoSlots, validRecord } from "./support/record-on-disk.ts";
import { commitBoth, KEEPING, publish, recoverySystem, serve, signedImage } from "./support/recovery-ground.ts";
import { smallControl, smallImage } from "./support/small-image.ts";
import { boot, part, smallMachine, type Told } from "./support/small-machine.ts";

const served = await serve();
test.after(() => served.stop());
const net = [{}];
const few = "tries: { trial: 1, committed: 1 }\n";

test("an image whose init fails in both slots: another release is installed, with the state as it was", async () => {
  const system = await recoverySystem(`sources: ["${served.url}/stable/"]\nladder: [repair, reinstall, reinstall-fresh]`, few);
  const control = await smallControl(system);
  const failing = signedImage("v1", 3, { ending: "crash" });
  const images = [await smallImage(failing, control), await smallImage(signedImage("v2", 4), control)];
  await publish(served.www, "stable", images);
  const machine = await smallMachine({ system, slots: { a: failing, b: failing }, slotSize: "48M" });
  commitBoth(machine, readFileSync(images[0] ?? ""));
  const told: Told[] = [];
  for (let number = 1; number <= 3; number++) told.push(await boot(machine, { net, expectPanic: true }));
  assert.equal(
    told.map(({ root, report }) => [root, report.slot, report.recovery?.rung ?? null]),
    [
      ["v1", "a", null],
      ["v1", "b", null],
      ["v2", told[2]?.report.slot, "reinstall"],
    ],
  );
  const [first, , last] = told;
  if (first === undefined || last === undefined) throw new Error("three boots");
  assert.is(part(last, "machine-id"), part(first, "machine-id"));
  assert.is(part(last, "notes"), "written by v1");
  assert.match(JSON.stringify(last.report.recovery?.steps), /nothing to repair|whole/);
  assert.is(validRecord(machine.disk).slots[last.report.slot]?.state, "trial");
});

/** Fails where it finds what an earlier boot of any image left in its state; leaves it at its first boot. */
const poisoned = `${KEEPING}
report poison sh -c '[ -e /var/lib/poison ] && echo poisoned || echo clean'
[ -e /var/lib/poison ] || { echo ruined >/var/lib/poison; sync; }
`;

test("state that makes every init fail, and no source: the rungs in their order, until it is set aside", async () => {
  const system = await recoverySystem("network: off\nmedia: false", few);
  const control = await smallControl(system);
  const v1 = signedImage("v1", 3, { script: poisoned });
  const machine = await smallMachine({ system, slots: { a: v1, b: v1 }, slotSize: "48M" });
  commitBoth(machine, readFileSync(await smallImage(v1, control)));
  const rungs: (string | null)[] = [];
  const ids = new Set<string>();
  let told = await boot(machine);
  for (let boots = 1; boots <= 8; boots++) {
    const { recovery } = told.report;
    rungs.push(recovery?.rung ?? null);
    ids.add(part(told, "machine-id"));
    const clean = part(told, "poison") === "clean";
    assert.is(
      clean,
      boots === 1 || recovery?.rung === "safe-mode" || recovery?.rung === "reinstall-fresh",
      JSON.stringify(rungs),
    );
    if (recovery?.rung === "reinstall-fresh") break;
    told = await boot(machine);
  }
  console.log(`rungs, boot by boot: ${rungs.map((rung) => rung ?? "-").join(", ")}`);
  assert.is(rungs.at(-1), "reinstall-fresh");
  assert.ok(rungs.includes("safe-mode"), JSON.stringify(rungs));
  assert.is(ids.size, 1, "the machine got another id on the way");
  // What was set aside is still there.
  const generations = await inspectData(machine.disk, "ls -p /gens");
  assert.ok((generations.match(/\/0{3,}\d+\//g) ?? []).length >= 2, generations);
  // As its system would: the fresh state is the machine's from here on.
  const { slot, imageId } = told.report;
  changeRecord(machine.disk, twoSlots, (record) => commitSlot(record, slot, imageId, twoSlots, Date.now()));
  assert.is(validRecord(machine.disk).recovery, undefined);
});

test.run();
