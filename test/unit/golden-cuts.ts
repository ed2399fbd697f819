/** Boots that are cut short at every point. */
import * as assert from "uvu/assert";
import type { World } from "./golden-world.ts";

const unsyncedFates = ["kept", "lost"] as const;

/**
 * Runs the boot that `world` stands before with the power cut after every number of effects, what was not synced kept or
 * lost, and calls `after` with the boot that follows. Returns how many cuts there were. `stride` leaves some out: of two, one
 * number has its unsynced data kept and the next lost, which is what the first tier has time for.
 */
export async function cutEverywhere(
  world: World,
  tornBytes: number,
  after: (text: string, counted: boolean) => Promise<void>,
  stride = process.env.SLIPWAY_TIER === "long" ? 1 : 2,
): Promise<number> {
  const back = world.checkpoint();
  const whole = await world.boot();
  const total = whole.kernel.effects;
  const counts = whole.kernel.trace.split("\n").findIndex((line) => /^write\("\/dev\/vda1", record/.test(line));
  assert.ok(whole.end.startsWith("exec") && counts >= 0 && total > 20, whole.end);
  let cuts = 0;
  for (const [index, unsynced] of unsyncedFates.entries()) {
    for (let effects = index % stride; effects < total; effects += stride) {
      cuts++;
      back();
      const kernel = world.kernel();
      kernel.crashAfter(effects, tornBytes, unsynced);
      const cut = await world.boot(kernel);
      const text = `cut after ${effects} of ${total} effects, unsynced ${unsynced}, torn ${tornBytes}`;
      assert.is(cut.end, "power cut", text);
      await after(text, effects > counts);
    }
  }
  back();
  return cuts;
}
