/** A boot, in the order of README's "A boot in ten lines". Each part is a file beside this one; what is decided is in boot/ and state-ops/. */

import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { UNPROVEN } from "../../boot/image/judge-seal.ts";
import { applyLadder, applyLock, parseCommandLine } from "../../boot/kernel-command-line.ts";
import { joinSkipped, type Skipped } from "../../boot/selection/skipped.ts";
import { readText } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { ChosenSlot } from "./chosen-slot.ts";
import { liftClock } from "./clock.ts";
import { readControl } from "./control.ts";
import { Counters } from "./counters.ts";
import { Devices } from "./devices.ts";
import { switchRoot } from "./handover.ts";
import { holdAndRestart, PAUSE_WITHOUT_RECORD } from "./hold.ts";
import { Launch } from "./launch.ts";
import type { Log } from "./log.ts";
import { NextSlots } from "./next-slots.ts";
import { prepareHandover } from "./prepare-handover.ts";
import { failureOf, type ReadySlot, SlotAttempt } from "./slot.ts";
import type { Started } from "./timeline.ts";
import { Watchdog } from "./watchdog.ts";

/** Where the initrd has the control file that rules slots, keys, boot record and recovery. */
const CONTROL = "/etc/slipway/control.json";

/**
 * Launches the machine. Ends in the next init, or in a restart; throws only what has no better place to go.
 *
 * @param preinit what preinit says of its own times: "STARTED EXECUTED", nanoseconds since kernel start
 * @param started null where it is not known
 */
export async function launch(kernel: Kernel, log: Log, preinit: string, started: Started | null = null): Promise<never> {
  const control = await readControl(readText(kernel, CONTROL));
  const asked = applyLock(parseCommandLine(readText(kernel, "/proc/cmdline")), control.commandLine === "locked");
  const words = applyLadder(asked, control.recovery.ladder);
  const boot = new Launch(kernel, log, control, words);
  boot.timeline.begin(preinit, started);
  for (const warning of words.warnings) boot.warn(warning);
  if (control.trust.mode === "unsigned") boot.alarm(UNPROVEN);
  liftClock(kernel, log, 0);

  const devices = new Devices(boot);
  await boot.part("modules", () => devices.loadModules());
  startWatchdog(boot);
  const recordDevice = await boot.part("devices", () => devices.findRecord()).catch((error) => holdWithoutRecord(boot, error));
  const counters = await boot.part("record", () => openCounters(boot, devices, recordDevice));
  liftClock(kernel, log, counters.record.lastKnownUnixMs);

  let passed: Skipped[] = [];
  const slots = new NextSlots(boot, devices, counters);
  const second = words.kexec === null ? null : await import("./second-stage.ts");
  const takenUp = second?.takeUpAttempt(boot, counters) ?? null;
  for (;;) {
    const chosen = takenUp ?? (await slots.next(passed));
    boot.log.debug(`slot ${chosen.slot}: ${chosen.why}`);
    if (!takenUp && !(await boot.part("count", () => slots.count(chosen)))) continue;
    const attempt = new SlotAttempt(boot, devices, counters, chosen);
    const ready = await trySlot(boot, counters, attempt, slots, chosen, passed);
    if (ready !== null) leave(boot, counters, ready);
    if (takenUp) second?.restartToChoose(boot, takenUp.slot);
    const left = { slot: chosen.slot, reason: counters.failed.get(chosen.slot) ?? "unknown" };
    passed = [...passed.filter(({ slot }) => slot !== left.slot), left];
  }
}

async function openCounters(boot: Launch, devices: Devices, device: BlockDevice | null): Promise<Counters> {
  const { bootRecord } = boot.control;
  if (bootRecord.store === "record" && bootRecord.device !== null) return new Counters(boot, device);
  const { openRecordAndStore } = await import("./loader-store.ts");
  return openRecordAndStore(boot, devices, device);
}

/** Prepares everything up to the handover to the slot that was counted. Null when it failed, with the reason recorded. */
async function trySlot(
  boot: Launch,
  counters: Counters,
  attempt: SlotAttempt,
  slots: NextSlots,
  { why, skipped }: ChosenSlot,
  passed: Skipped[],
) {
  try {
    const ready = await attempt.prepare();
    const left = joinSkipped(skipped, passed);
    const reported = await slots.report(ready, left);
    const loader = await slots.toldLoader();
    await boot.part("handover", () => prepareHandover(boot, counters, ready, { why, skipped: left, reported, loader }));
    return ready;
  } catch (error) {
    attempt.abandon(error);
    return null;
  }
}

/** Leaves for the slot's system. Once that began only a restart helps, so an error is recorded and thrown on. */
function leave(boot: Launch, counters: Counters, ready: ReadySlot): never {
  try {
    return switchRoot(boot.kernel, ready.init, boot.words.initArguments);
  } catch (error) {
    counters.fail(ready.slot, failureOf(error), "handover");
    throw error;
  }
}

/** Starts the hardware's watchdog where the control file wants it. */
function startWatchdog(boot: Launch): void {
  if (boot.control.watchdog === null) return;
  const { watchdog, reason } = Watchdog.start(boot.kernel, boot.control.watchdog);
  boot.watchdog = watchdog;
  if (reason !== "") boot.warn(reason);
}

/** More than one disk could be ours: taking the wrong one would be worse than waiting for somebody to unplug it. */
function holdWithoutRecord(boot: Launch, error: unknown): Promise<never> {
  const reason = error instanceof Error ? error.message : String(error);
  return holdAndRestart(boot, { reason, skipped: [], rearmed: null, pauseSeconds: PAUSE_WITHOUT_RECORD });
}
