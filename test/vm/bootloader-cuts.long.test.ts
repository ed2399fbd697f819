/** QEMU is killed at instants all over an install of a bootloader; the machine starts again, settles it, and installs another one. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { COMMIT, DIRECTORIES, install, orderShown, readyMachine, STATUS, statusOf } from "./support/bootloader-ground.ts";
import { part } from "./support/small-machine.ts";

const [FACTORY_A, FACTORY_B] = DIRECTORIES;

test("the power goes at any instant of an install: the machine starts, and the next install works", async () => {
  const machine = await readyMachine();
  const whole = await machine.copy().start(`say installing\n${install("one")}say installed\n`);
  await whole.expectResult("installing");
  const from = whole.ms;
  await whole.expectResult("installed");
  const length = whole.ms - from;
  await whole.exited;
  const cuts = 3;
  for (let cut = 1; cut <= cuts; cut++) {
    const copy = machine.copy();
    const started = await copy.start(`say installing\n${install("one")}say installed\n`);
    await started.expectResult("installing");
    await new Promise((resolve) => setTimeout(resolve, (length * cut) / (cuts + 1)));
    await started.cutPower();
    const next = await copy.run(`${STATUS}${COMMIT}report after slipway bootloader status --json\n${install("two")}`);
    const text = `cut ${cut} of ${cuts}: ${JSON.stringify(statusOf(next))}`;
    assert.ok(["factory a", "one"].includes(next.loaders.join()), text);
    const after = statusOf(next, "after");
    assert.equal([after.trial, after.wrong], [null, []], text);
    assert.is(after.committed?.path, next.loaders[0] === "one" ? `${FACTORY_B}/000001` : FACTORY_A, text);
    assert.match(part(next, "install"), /all was read back/, text);
    if (cut < cuts) continue;
    const last = await copy.run(`${COMMIT}${STATUS}`);
    assert.equal(last.loaders, ["two"], text);
    assert.is(orderShown(last).length, 2, text);
  }
});

test.run();
