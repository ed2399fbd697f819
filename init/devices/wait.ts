import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { isSettled, matching, type RecordCondition, type Resolved, resolveAll, type Wanted } from "../../boot/devices/resolve.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import type { ModuleLoader } from "./modules.ts";
import { BlockDevices, needsOf, type Scan } from "./scan.ts";
import { drainUevents, type Uevents } from "./uevents.ts";

/** Longest time without a call of `onIdle`, milliseconds: it feeds the watchdog. */
const SLICE_MS = 500;

/**
 * How long a disk that no valid boot record speaks for is waited with, milliseconds: one with a valid record that is slower
 * to appear must win. Costs a first boot this much.
 */
export const GRACE_MS = 1000;

export interface WaitOptions {
  timeoutSeconds: number;
  /** Asks a partition that the boot record's reference names. Called again whenever devices come or go. */
  readRecordCondition(device: BlockDevice): RecordCondition;
  /** Drivers for what appears meanwhile; null: no modules. */
  modules: ModuleLoader | null;
  /** Called at least twice a second. */
  onIdle(): void | Promise<void>;
  /**
   * Called with all devices when what the record's reference means was not there for half of the time, and again when other
   * devices came later: a slow disk that has it must not be forestalled by what is done about it on another. True: something was
   * done, so that it is looked again.
   */
  onMissing?(devices: readonly BlockDevice[]): boolean | Promise<boolean>;
}

/** What there was when the wait ended. */
export interface WaitResult extends Resolved {
  scan: Scan;
  waitedSeconds: number;
}

/**
 * Waits until everything `wanted` is there, or found to be ambiguous, or the time is over; never throws for a device that
 * is missing. Listens to the kernel's uevents before it looks, so that nothing that appears in between is missed, and
 * looks again only at block devices of which a uevent says that they changed. Where something is missing at first, or no valid boot
 * record says that this is the disk, loads what the hardware asks for.
 *
 * Once a disk was chosen, name it in `wanted.disk` of later waits: it then stays chosen, and costs no grace.
 */
export async function waitForDevices(kernel: Kernel, wanted: Wanted, options: WaitOptions): Promise<WaitResult> {
  const references = [...(wanted.disk ? [wanted.disk] : []), wanted.record, ...wanted.others.values()];
  const needs = needsOf(references);
  const startMs = kernel.now().bootMs;
  const missedMs = Math.max(GRACE_MS, options.timeoutSeconds * 500);
  const blocks = new BlockDevices(kernel, needs);
  const judge = (scan: Scan, waitedSeconds: number | null): WaitResult & { certain: boolean } => {
    // A disk that is named needs no record that speaks for it.
    const candidates = wanted.disk === null ? matching(scan.devices, wanted.record) : [];
    const conditions = new Map(candidates.map((device) => [device.name, options.readRecordCondition(device)]));
    const resolved = resolveAll(scan.devices, wanted, conditions, waitedSeconds);
    const certain = wanted.disk !== null || [...conditions.values()].includes("valid");
    return { ...resolved, scan, waitedSeconds: waitedSeconds ?? 0, certain };
  };
  const look = (waitedSeconds: number | null) => judge(blocks.scan(), waitedSeconds);
  const socket = kernel.openUevents();
  let idleMs = startMs;
  try {
    let result = look(null);
    if (options.modules && !(isSettled(result) && result.certain)) {
      options.modules.loadForHardware();
      result = look(null);
    }
    let asked: Scan | null = null;
    for (;;) {
      const waitedMs = kernel.now().bootMs - startMs;
      const waitedSeconds = Math.round(waitedMs / 1000);
      const leftMs = options.timeoutSeconds * 1000 - waitedMs;
      const done = isSettled(result) && (result.certain || waitedMs >= GRACE_MS);
      if (leftMs <= 0) return done ? { ...result, waitedSeconds } : look(waitedSeconds);
      if (options.onMissing && "missing" in result.record && waitedMs >= missedMs && asked !== result.scan) {
        asked = result.scan;
        if (await options.onMissing(result.scan.devices)) {
          result = look(null);
          continue;
        }
      }
      if (kernel.poll([socket], done ? 0 : Math.min(leftMs, SLICE_MS)).length === 0) {
        if (done) return { ...result, waitedSeconds };
      } else {
        const { uevents, lost } = takeUevents(kernel, socket, options.modules);
        if (lost) result = look(null);
        else if (uevents.some(({ subsystem }) => subsystem === "block")) result = judge(blocks.changed(uevents), null);
      }
      // The first turn of the event loop costs as much as all that is done here where nothing has to be waited for.
      if (kernel.now().bootMs - idleMs < SLICE_MS / 2) continue;
      await options.onIdle();
      idleMs = kernel.now().bootMs;
    }
  } finally {
    kernel.close(socket);
  }
}

/** What waits on `socket`, with drivers loaded for what appeared. */
export function takeUevents(kernel: Kernel, socket: Descriptor, modules: ModuleLoader | null): Uevents {
  const taken = drainUevents(kernel, socket);
  if (taken.lost) modules?.loadForHardware();
  for (const { action, modalias } of taken.uevents) {
    if (modalias !== null && action !== "remove") modules?.loadForAlias(modalias);
  }
  return taken;
}
