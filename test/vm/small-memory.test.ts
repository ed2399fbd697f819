/** How much memory a machine needs for the initrd, from the loader to the next init. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { boot, part, smallMachine, startSmall } from "./support/small-machine.ts";

const script = "report kept cat /home/kept; echo kept >>/home/kept; sync";
const machine = await smallMachine({
  slots: { a: { facts: "v1", remove: ["/sbin/init", "/bin/sh"] }, b: { facts: "v2", script } },
});

test("256 MiB are enough for a boot that passes over a slot and lays persistent state", async () => {
  const told = await boot(machine, { memoryMiB: 256 });
  assert.is(told.root, "v2");
  assert.is(told.report.rollback?.from, "a");
  assert.match(told.report.rollback?.reason ?? "", /^no init in the root: /);
  assert.is(told.report.generation, "000001");
  assert.equal(told.report.degraded, []);
  assert.not.match(told.console, /Out of memory|oom-kill/);
  const total = Number(/^MemTotal: +(\d+) kB/m.exec(part(told, "memory"))?.[1]);
  assert.ok(total > 0 && total < 256 * 1024, `${total} kB`);
});

/** Whether a machine with so much memory comes to its next init. Where it does not, it must end by itself and say why. */
async function boots(memoryMiB: number): Promise<boolean> {
  const run = await startSmall(machine, {
    memoryMiB,
    disks: [{ file: throwAwayCopy(machine.disk) }],
    append: "panic=-1",
    expectPanic: true,
  });
  const reached = await run.expectResult("small root ends: ").then(
    () => true,
    () => false,
  );
  const { reason } = await run.exited;
  assert.is.not(reason, "killed", `with ${memoryMiB} MiB the machine neither boots nor ends; the log is ${run.log}`);
  if (!reached) {
    const said = /preinit: the runtime image is truncated|Kernel panic - not syncing|slipway: .*restarting|Out of memory/;
    assert.match(run.console.text, said, `${memoryMiB} MiB; the log is ${run.log}`);
  }
  return reached;
}

if (process.env.SLIPWAY_TIER === "long") {
  test("the least memory that boots; below it a machine ends with a line that says why", async () => {
    let [fails, works] = [96, 256];
    assert.not.ok(await boots(fails));
    while (works - fails > 8) {
      const middle = (fails + works) / 2;
      if (await boots(middle)) works = middle;
      else fails = middle;
    }
    console.log(`least memory that boots a small root: ${works} MiB (${fails} MiB do not)`);
    assert.ok(works < 256);
  });
}

test.run();
