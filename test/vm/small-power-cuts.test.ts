/**
 * The power fails at random moments of a boot. SLIPWAY_SEED repeats a run's moments: they are shares of the time that the
 * first boot took, so that they are about, not exactly, the same.
 */

import { test } from "uvu";
import * as assert from "uvu/assert";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { raised, slotOf, withSlot } from "../../boot/selection/slots.ts";
import { randomNumbers } from "../samples/random.ts";
import { recordOn } from "./support/disk-file.ts";
import { changeRecord, commitOn, twoSlots, validRecord } from "./support/record-on-disk.ts";
import { part, smallMachine, startSmall, toEnd } from "./support/small-machine.ts";

const long = process.env.SLIPWAY_TIER === "long";
const cuts = long ? 20 : 3;
const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}; SLIPWAY_SEED=${seed} cuts at the same moments`);

const random = randomNumbers(seed);

const script = `report home cat /home/log
report etc cat /etc/log
report id cat /etc/machine-id
echo $(cat /etc/small-root/facts) | tee -a /home/log >>/etc/log
sync
`;
const machine = await smallMachine({
  slots: { a: { facts: "v1", script }, b: { facts: "v2", script } },
});

/** As an install does: b holds an image that was never tried. Without `trial`, b has none left. */
function setTrial(trial: boolean): void {
  const state = { state: "trial" as const, tries: trial ? 3 : 0, reason: trial ? null : "left out", damaged: null };
  changeRecord(machine.disk, twoSlots, (record) => {
    const changed = withSlot(record, "b", state);
    return { ...(trial ? raised(changed, "b") : changed), quarantined: [] };
  });
}

let bootMs = 0;
let id = "";
/** How often slot a's system began, which writes a word each time. */
let written = 0;

test("a first boot, and its commit", async () => {
  const running = await startSmall(machine);
  const told = await toEnd(running);
  bootMs = running.ms;
  assert.is(told.root, "v1");
  id = part(told, "id");
  written = 1;
  commitOn(machine.disk, "a");
  setTrial(true);
});

/** Cuts the power in a boot at `share` of its usual time, and checks what is on the disk. */
async function cutAt(share: number): Promise<void> {
  const before = validRecord(machine.disk);
  const running = await startSmall(machine);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, share * bootMs - running.ms)));
  await running.cutPower();
  const { reading, journal } = recordOn(machine.disk);
  assert.is(reading.condition, "valid");
  const after = validRecord(machine.disk);
  const counted = (after.attempt?.number ?? 0) - (before.attempt?.number ?? 0);
  assert.ok(counted === 0 || counted === 1, `${counted} attempts counted`);
  const slot = after.attempt?.slot ?? "";
  assert.is(slotOf(after, slot).tries, slotOf(before, slot).tries - counted, `tries of ${slot}`);
  assert.equal(after.lastCommitted, before.lastCommitted);
  assert.ok(journal.length > 0);
  if (running.results.has("small root up: v1\n")) written += 1;
}

for (let number = 1; number <= cuts; number++) {
  const share = 0.3 + 0.75 * random();
  const twice = long && number % 3 === 1;
  test(`cut ${number}: at ${share.toFixed(3)} of a boot${twice ? ", and again" : ""}, then the machine boots`, async () => {
    await cutAt(share);
    if (twice) await cutAt(0.3 + 0.75 * random());
    const told = await toEnd(await startSmall(machine));
    const { slot, degraded, warnings } = told.report;
    assert.ok(slot === "a" || slot === "b");
    assert.equal(degraded, []);
    assert.is(part(told, "id"), id, "the machine keeps its id");
    assert.equal(warnings, [UNPROVEN]);
    // Words of slot a only: what a trial wrote went with its generation. A cut may have come before a word was durable.
    for (const place of ["home", "etc"]) {
      assert.match(part(told, place), /^(v1\n?)+$/, `slot ${slot} sees state in /${place} that is not the committed one`);
      assert.ok(part(told, place).split("v1").length - 1 <= written);
    }
    if (slot === "a") {
      written += 1;
      commitOn(machine.disk, "a"); // as a good boot does: cuts alone use up a committed slot's tries
    }
    setTrial(number % 2 === 0);
  });
}

test.run();
