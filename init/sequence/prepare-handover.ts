import { type BootReport, RUN } from "../../boot/report.ts";
import type { Selection } from "../../boot/selection/select.ts";
import { makeDirectories, readText, writeVolatile } from "../kernel/files.ts";
import type { Counters, Skipped } from "./counters.ts";
import type { Launch } from "./launch.ts";
import type { ReadySlot } from "./slot.ts";
import { detachState } from "./state.ts";

/** Everything that is left to do before the first step that cannot be undone. */
export function prepareHandover(
  boot: Launch,
  counters: Counters,
  ready: ReadySlot,
  selection: Selection,
  passed: Skipped[],
): void {
  detachState(boot, ready.state);
  const skipped = [...selection.skipped, ...passed.filter(({ slot }) => !selection.skipped.some((other) => other.slot === slot))];
  try {
    writeForSystem(boot, counters, ready, selection.why, skipped);
  } catch (error) {
    // A full /run is no reason to leave a slot that boots.
    boot.warn(`the system is not told how it was booted: ${error instanceof Error ? error.message : error}`);
  }
  counters.handOver(ready.state.dataFilesystem);
  boot.log.notice(`handing over to ${ready.init} in slot ${ready.slot} (${selection.why}), attempt ${counters.attempt}`);
  boot.log.restoreLimit();
  boot.watchdog?.handOver(boot.control.watchdog?.after ?? "keep");
}

/** Files below /run that tell the system what happened, and make systemd take part. */
function writeForSystem(boot: Launch, counters: Counters, ready: ReadySlot, why: string, skipped: Skipped[]): void {
  const { kernel, control } = boot;
  makeDirectories(kernel, RUN.directory);
  const report: BootReport = {
    schema: 1,
    controlFormat: 1,
    attempt: counters.attempt,
    slot: ready.slot,
    imageId: ready.imageId,
    slotDevice: ready.device,
    trial: counters.trial,
    why,
    skipped,
    rollback: counters.rollbackFor(ready.slot, skipped),
    record: { condition: counters.condition, writable: counters.writable, device: counters.device },
    generation: ready.state.generation,
    degraded: ready.state.degraded,
    warnings: boot.warnings,
    timeline: boot.timeline,
  };
  writeVolatile(kernel, RUN.report, `${JSON.stringify(report)}\n`);
  writeVolatile(kernel, RUN.control, readText(kernel, "/etc/slipway/control.json"));
  if (counters.trial) writeVolatile(kernel, RUN.uncommitted, `slot ${ready.slot}, attempt ${counters.attempt}\n`);
  // An empty setting first: systemd would add the unit's own time to this one.
  writeDropIn(boot, "system/slipway-trial-deadline.timer.d", `[Timer]\nOnActiveSec=\nOnActiveSec=${control.trialDeadline}s\n`);
  if (boot.watchdog !== null && control.watchdog?.after === "systemd") {
    writeDropIn(boot, "system.conf.d", `[Manager]\nRuntimeWatchdogSec=${control.watchdog.timeout}s\n`);
  }
}

function writeDropIn(boot: Launch, directory: string, text: string): void {
  const path = `/run/systemd/${directory}`;
  makeDirectories(boot.kernel, path);
  writeVolatile(boot.kernel, `${path}/50-slipway.conf`, text);
}
