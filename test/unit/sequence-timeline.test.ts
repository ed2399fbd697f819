/** How PID 1 notes its own times. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { Timeline } from "../../init/sequence/timeline.ts";

/** A timeline whose clock is moved by hand. */
function timeline(startMs: number) {
  const kernel = new RecordingKernel({ startMs, stepMs: 0 });
  return { noted: new Timeline(kernel), pass: (ms: number) => kernel.poll([], ms) };
}

test("what came before is put on the kernel's clock, each part where the last one ended", () => {
  const { noted } = timeline(2000);
  // The process began at 1800 ms by Bun's clock, of which now 200 ms have passed.
  noted.begin("1000000000 1750000500", { firstLineNs: 100e6, evaluatedNs: 160e6, nowNs: () => 200e6 });
  assert.equal(noted.told(), [
    { name: "preinit", startMs: 1000, lengthMs: 750.001 },
    { name: "runtime", startMs: 1750.001, lengthMs: 149.999 },
    { name: "evaluate", startMs: 1900, lengthMs: 60 },
    { name: "start", startMs: 1960, lengthMs: 40 },
  ]);
});

test("times of preinit that cannot be right are not noted", () => {
  for (const told of ["", "1000", "x y", "2000000 1000000", "NaN NaN"]) {
    const { noted } = timeline(2000);
    noted.begin(told, null);
    assert.equal(noted.told(), [], told);
  }
});

test("a clock of the process that lags behind preinit's makes no part negative", () => {
  const { noted } = timeline(2000);
  noted.begin("1000000000 1900000000", { firstLineNs: 0, evaluatedNs: 0, nowNs: () => 200e6 });
  assert.ok(noted.told().every(({ lengthMs }) => lengthMs >= 0));
});

test("a part that fails is noted, one that goes on is open with its time so far, and they come in order of their starts", async () => {
  const { noted, pass } = timeline(100);
  await noted
    .part("image", () => {
      pass(5);
      throw new Error("no image");
    })
    .catch(() => {});
  await noted.part("outer", async () => {
    pass(1);
    await noted.part("inner", () => pass(2));
    pass(4);
    assert.equal(noted.told().slice(1), [
      { name: "outer", startMs: 105, lengthMs: 7, open: true },
      { name: "inner", startMs: 106, lengthMs: 2 },
    ]);
  });
  assert.equal(noted.told(), [
    { name: "image", startMs: 100, lengthMs: 5 },
    { name: "outer", startMs: 105, lengthMs: 7 },
    { name: "inner", startMs: 106, lengthMs: 2 },
  ]);
});

test("parts at the same time are noted each with its own", async () => {
  const { noted, pass } = timeline(0);
  const slow = noted.part("devices", async () => {
    await Promise.resolve();
    await Promise.resolve();
  });
  pass(3);
  await noted.part("modules", () => pass(4));
  await slow;
  const [devices, modules] = noted.told();
  assert.is(devices?.name, "devices");
  assert.equal(modules, { name: "modules", startMs: 3, lengthMs: 4 });
});

test.run();
