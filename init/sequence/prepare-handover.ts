import { abilitiesOn } from "../../boot/image/judge-seal.ts";
import { type BootReport, reportedImage } from "../../boot/report.ts";
import type { Skipped } from "../../boot/selection/skipped.ts";
import type { ToldLoader } from "../../boot/stores/told-loader.ts";
import { makeDirectories, readText, writeVolatile } from "../kernel/files.ts";
import type { Reported } from "../recovery/report.ts";
import { ownArchitecture } from "../version.ts";
import type { Counters } from "./counters.ts";
import type { Launch } from "./launch.ts";
import type { ReadySlot } from "./slot.ts";
import { detachState } from "./state.ts";
import { systemFiles } from "./system-files.ts";

/** Why it is this slot that is handed over to. */
export interface HandedSlot {
  why: string;
  skipped: Skipped[];
  /** Null where no recovery led here. */
  reported: Reported | null;
  /** Null where it neither chooses nor has a store. */
  loader: ToldLoader | null;
}

/** Everything that is left to do before the first step that cannot be undone. */
export function prepareHandover(boot: Launch, counters: Counters, ready: ReadySlot, chosen: HandedSlot): void {
  detachState(boot, ready.state);
  ready.image.verity?.arm();
  try {
    writeForSystem(boot, counters, ready, chosen);
  } catch (error) {
    // A full /run is no reason to leave a slot that boots.
    boot.warn(`the system is not told how it was booted: ${error instanceof Error ? error.message : error}`);
  }
  const { data, degraded, notes } = ready.state;
  counters.handOver({ dataFilesystem: data?.uuid ?? null, degraded, notes });
  boot.log.notice(`handing over to ${ready.init} in slot ${ready.slot} (${chosen.why}), attempt ${counters.attempt}`);
  boot.log.restoreLimit();
  boot.watchdog?.handOver(boot.control.watchdog?.after ?? "keep");
}

/** Files below /run that tell the system what happened, and make systemd take part. */
function writeForSystem(
  boot: Launch,
  counters: Counters,
  ready: ReadySlot,
  { why, skipped, reported, loader }: HandedSlot,
): void {
  const { kernel, control } = boot;
  const { verity } = ready.image;
  const report: BootReport = {
    schema: 1,
    ...abilitiesOn(ownArchitecture),
    attempt: counters.attempt,
    slot: ready.slot,
    imageId: ready.image.imageId,
    image: reportedImage(ready.image.manifest),
    proof: ready.image.proof,
    signers: ready.image.signers,
    verity: verity === null ? null : { device: verity.path, options: verity.options },
    slotDevice: ready.device,
    trial: counters.trial,
    why,
    skipped,
    rollback: counters.rollbackFor(ready.slot, skipped),
    record: { condition: counters.condition, writable: counters.writable, device: counters.device },
    ...(loader ? { loader } : {}),
    generation: ready.state.generation,
    data: ready.state.data,
    stateNotes: [...boot.stateNotes, ...ready.state.notes],
    degraded: ready.state.degraded,
    recovery: reported?.told ?? null,
    warnings: boot.warnings,
    timeline: boot.timeline.told(),
  };
  const own = { text: readText(kernel, "/etc/slipway/control.json"), values: control };
  const unreported = reported?.text ?? null;
  for (const { directory, path, text } of systemFiles(report, own, boot.watchdog !== null, ready.state.safeMode, unreported)) {
    makeDirectories(kernel, directory);
    writeVolatile(kernel, path, text);
  }
}
