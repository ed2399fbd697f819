/** What explain says of a boot in which recovery begins, and that the boot does just that. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { withSlot } from "../../boot/selection/slots.ts";
import { gatherFacts } from "../../init/explain/gather.ts";
import { planBoot } from "../../init/explain/plan.ts";
import { planText } from "../../init/explain/print.ts";
import { RUNGS, type Rung } from "../../state-ops/recovery.ts";
import { NO_RECOVERY } from "../samples/control-file.ts";
import { World } from "./golden-world.ts";
import { report, signedControl, v1 } from "./sealed-world.ts";

async function world(ladder: readonly Rung[], tries: number, sources: string[] = []): Promise<World> {
  const control = { ...signedControl(), recovery: { ...NO_RECOVERY, ladder: [...ladder], sources } };
  const made = new World({ a: v1, control });
  await made.boot();
  made.commitAndShutDown("a", v1.id, { rollbackIndex: 5, revokesBelow: null });
  made.change((record) => withSlot(withSlot(record, "a", { tries }), "b", { state: "empty", imageId: null, tries: 0 }));
  return made;
}

async function explained(of: World): Promise<{ text: string; steps: string[]; cause: string }> {
  const kernel = of.kernel();
  kernel.plant("/", { mnt: {} });
  const plan = await planBoot(gatherFacts(kernel, { control: null, commandLine: null }));
  if (plan.end.do !== "recover") throw new Error(`it plans to ${plan.end.do}`);
  return { text: planText(plan), steps: plan.end.steps, cause: plan.end.cause };
}

/** "repair: what is damaged …" is the step "repair". */
const rungOf = (sentence: string) => sentence.slice(0, sentence.indexOf(":"));

test("with sources it is said how long state is kept where none can be reached", async () => {
  const waits = /reinstall-fresh: .*; where no source can be reached only once the machine has paused for about ten minutes/;
  assert.match((await explained(await world(RUNGS, 0, ["https://updates.example/stable"]))).text, waits);
  assert.not.match((await explained(await world(RUNGS, 0))).text, waits);
});

test("no slot is left: the steps in order, as the boot takes them", async () => {
  const spent = await world(RUNGS, 0);
  const { text, steps, cause } = await explained(spent);
  assert.is(cause, "no slot boots");
  assert.equal(steps.map(rungOf), RUNGS);
  assert.match(text, /^A recovery begins: no slot boots\.$/m);
  assert.match(text, /safe-mode: slot a gets one try with memory in the place of its persistent state/);
  assert.match(text, /reinstall: image any other, into slot b, which is empty/);
  assert.match(text, /what recovery finds on media and with its sources: nobody looked/);
  const taken = report(await spent.boot()).recovery?.steps.map(({ rung }) => rung) ?? [];
  assert.ok(taken.length > 0);
  assert.equal(steps.map(rungOf).slice(0, taken.length), taken);
});

test("somebody asks: before any slot is tried, and only for what was asked for", async () => {
  const healthy = await world(RUNGS, 10);
  healthy.commandLine = "quiet slipway.recover";
  const { steps, cause } = await explained(healthy);
  assert.is(cause, "slipway.recover asks for it");
  assert.equal(steps.map(rungOf), ["repair", "reinstall"]);
  assert.match(steps[1] ?? "", new RegExp(`image ${v1.id.slice(0, 12)}, then any other`));
});

test("one that was cut off goes on, and says so", async () => {
  const healthy = await world(RUNGS, 10);
  const tried = [{ rung: "reinstall", slot: "b", imageId: v1.id } as const];
  healthy.change((record) => ({ ...record, recovery: { asked: null, tried, current: null } }));
  const { steps, cause } = await explained(healthy);
  assert.is(cause, "one that was cut off goes on");
  assert.match(steps[0] ?? "", new RegExp(`^reinstall: image ${v1.id.slice(0, 12)}, into slot b`));
});

test("where recovery is off the machine holds, as ever", async () => {
  const kernel = (await world([], 0)).kernel();
  kernel.plant("/", { mnt: {} });
  assert.is((await planBoot(gatherFacts(kernel, { control: null, commandLine: null }))).end.do, "hold");
});

test("only unclean ends are known against the committed slot: it is said that it gets a try as it is, as the boot does", async () => {
  const cut = await world(["safe-mode"], 0);
  cut.change((record) => ({ ...withSlot(record, "a", { reason: "tries used up without a good boot" }), uncleanEnds: 3 }));
  assert.equal((await explained(cut)).steps, [
    "once the power has held for 60 s, slot a gets one more try as it is, since only unclean ends are known against it",
    "safe-mode: slot a gets one try with memory in the place of its persistent state",
  ]);
  assert.is(report(await cut.boot()).recovery?.rung, null);
});

test.run();
