/** Whether the list of hot pages still says what a boot touches. */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { hotPagesOf } from "../../init/builder/initrd/hot-pages.ts";
import { hotPagesIn } from "../../init/builder/initrd/own-files.ts";
import { guestDist, project } from "../../qemu/places.ts";
import { touchedPages, watchedInitrd, watchTouchedPages } from "../../qemu/touched-pages.ts";
import { smallControl, smallSystem } from "./support/small-image.ts";
import { smallMachine, startSmall } from "./support/small-machine.ts";

test("a first try touches few pages of the executable that are not laid together; else npm run trace-start", async () => {
  const lists = hotPagesIn(`${project}/init/builder/initrd`);
  const runs = hotPagesOf(readFileSync(`${guestDist()}/slipway`), lists);
  assert.ok(runs, "there is a list for this runtime");
  const listed = runs.reduce((sum, { start, end }) => sum + end - start, 0);
  const machine = await smallMachine({ slots: { a: { facts: "v1" } } });
  const initrd = await watchedInitrd(await smallControl(smallSystem(["a"])), lists);
  const run = await startSmall(machine, { initrd, append: watchTouchedPages });
  const missed = await touchedPages(run);
  await run.cutPower();
  const share = listed / (listed + missed.length);
  console.log(`${listed} pages are laid together, a boot touched ${missed.length} others: ${(share * 100).toFixed(1)} %`);
  assert.ok(missed.includes(0), "the page with the header stays in the executable, and the kernel reads it");
  assert.ok(share > 0.9, `pages that were touched and are not in the list: ${missed.join(" ")}`);
});

test.run();
