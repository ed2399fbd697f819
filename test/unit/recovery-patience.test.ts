import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { device } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { GivenUp, Stuck, whilePatient } from "../../init/recovery/patience.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import { Watchdog } from "../../init/sequence/watchdog.ts";
import { sampleControl } from "../samples/control-file.ts";

/** A boot whose clock goes on by `stepMs` with each call to the kernel. */
function boot(stepMs: number): { launch: Launch; kernel: RecordingKernel; fed: () => number } {
  const kernel = new RecordingKernel({ stepMs });
  kernel.plant("/dev", { watchdog: device("character", 10, 130) });
  const control = { ...sampleControl(), digest: "" };
  const launch = new Launch(kernel, new Log(kernel), control, parseCommandLine(""));
  launch.watchdog = Watchdog.start(kernel, { timeout: 30, after: "keep" }).watchdog;
  const fed = () => kernel.trace.split("\n").filter((line) => line.includes("WDIOC_KEEPALIVE")).length;
  return { launch, kernel, fed };
}

async function failure(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test("what ends is what the work gives, or throws", async () => {
  const { launch } = boot(0);
  assert.is(await whilePatient(launch, 10, async () => 42), 42);
  const error = await failure(
    whilePatient(launch, 10, async () => {
      throw new TypeError("x is not a function");
    }),
  );
  assert.instance(error, TypeError);
});

test("the watchdog is fed while the work waits, and within long work that tells that it gets on", async () => {
  const { launch, fed } = boot(1000);
  await whilePatient(launch, 1000, () => sleep(1200));
  assert.ok(fed() >= 1, `${fed()} times`);
  const before = fed();
  await whilePatient(launch, 1000, async ({ advanced }) => {
    for (let piece = 0; piece < 5; piece++) advanced();
  });
  assert.ok(fed() >= before + 4);
});

test("work that gets no further is given up with its reason, whatever it throws then", async () => {
  const { launch } = boot(2000);
  const error = await failure(
    whilePatient(
      launch,
      3,
      ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    ),
  );
  assert.instance(error, GivenUp);
  assert.is(error instanceof Error && error.message, "nothing moved for 3 s");
});

test("work that gets on is not given up, however long it takes", async () => {
  const { launch, kernel } = boot(1000);
  await whilePatient(launch, 8, async ({ signal, advanced }) => {
    for (let piece = 0; piece < 12; piece++) {
      await sleep(150);
      signal.throwIfAborted();
      advanced();
    }
  });
  assert.ok(kernel.clocks.bootMs > 8000);
});

test("work that does not let go either is told to be stuck, and the watchdog is fed no more", async () => {
  const { launch, kernel, fed } = boot(15_000);
  const error = await failure(whilePatient(launch, 3, () => new Promise(() => {})));
  assert.instance(error, Stuck);
  const before = fed();
  const waited = kernel.clocks.bootMs;
  await sleep(1100);
  assert.is(fed(), before);
  assert.is(kernel.clocks.bootMs, waited);
});

test.run();
