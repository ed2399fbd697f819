/** The report of a recovery: posted before the handover where a network comes up soon, else left to the system that is booted. */

import { PLAIN } from "../../boot/network/source-settings.ts";
import { sourceUrl } from "../../boot/network/source-url.ts";
import { hostnameIn, machineIdIn, recoveryReportText } from "../../boot/recovery/report-text.ts";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import type { Skipped } from "../../boot/selection/skipped.ts";
import { proxiesToTry } from "../../state-ops/proxy-url.ts";
import { O } from "../kernel/constants.ts";
import { KernelError } from "../kernel/kernel.ts";
import { LIMITS, type Limits } from "../network/limits.ts";
import { postJson } from "../network/post.ts";
import { readBootId } from "../sequence/boot-id.ts";
import type { Counters } from "../sequence/counters.ts";
import { NEW_ROOT } from "../sequence/image.ts";
import type { Launch } from "../sequence/launch.ts";
import type { ReadySlot } from "../sequence/slot.ts";
import { openThroughMounts } from "../state/beneath.ts";
import { version } from "../version.ts";
import type { RecoveryDesk } from "./desk.ts";

/** What a report is made and posted with. */
export type ReportDesk = Pick<RecoveryDesk, "boot" | "counters" | "network">;

/** For everything, milliseconds: a system that could run is not kept waiting. */
const LONGEST_POST = 10_000;

/** Milliseconds between two feedings of the watchdog. */
const FEED_EVERY = 500;

/** Shorter than ordinary ones: the running system tries again for as long as it takes. */
const QUICK: Limits = {
  ...LIMITS,
  connectMs: 4000,
  headMs: 5000,
  stallMs: 5000,
  retry: { ...LIMITS.retry, attempts: 2, firstAttempts: 2 },
};

/** What became of a report. */
export interface Reported {
  told: ToldRecovery;
  /** For the system to post; null where it was taken, or nobody is to be told. */
  text: string | null;
}

/** Reports the recovery that led to the boot of `ready`, whose state is laid, where somebody is to be told. */
export async function reportRecovery(
  desk: ReportDesk,
  told: ToldRecovery,
  ready: ReadySlot,
  skipped: readonly Skipped[],
): Promise<Reported> {
  const { boot, counters } = desk;
  if (boot.control.recovery.report === null) return { told, text: null };
  const text = writeReport(boot, counters, told, ready, skipped);
  // A further try of what an earlier boot installed: the network is not worth its time.
  const reportedTo = told.steps.length === 0 ? null : await boot.part("report", () => postReport(desk, text));
  return { told: { ...told, reportedTo }, text: reportedTo === null ? text : null };
}

/** The report of the boot of `ready`, whose state is laid. */
function writeReport(
  boot: Launch,
  counters: Counters,
  told: ToldRecovery,
  ready: ReadySlot,
  skipped: readonly Skipped[],
): string {
  const { unixMs, bootMs } = boot.kernel.now();
  const { imageId, manifest, proof } = ready.image;
  return recoveryReportText({
    machineId: machineIdIn(readLaid(boot, "etc/machine-id")),
    hostname: hostnameIn(readLaid(boot, "etc/hostname")),
    system: boot.control.system,
    slipway: version,
    bootId: readBootId(boot.kernel).bootId ?? null,
    attempt: counters.attempt,
    nowUnixMs: unixMs,
    nowBootMs: bootMs,
    booted: { slot: ready.slot, imageId, version: manifest?.version ?? null, trial: counters.trial, proof },
    record: counters.record,
    skipped,
    told,
  });
}

/**
 * Posts `text` to the control file's `recovery.report`, by every way to the network until it is taken. Returns where it went;
 * null where nobody is to be told, or nobody took it, which is told. Never throws, and takes {@link LONGEST_POST} at most.
 */
export async function postReport(desk: ReportDesk, text: string, longestMs = LONGEST_POST): Promise<string | null> {
  const { boot } = desk;
  if (boot.control.recovery.report === null) return null;
  const controller = new AbortController();
  let trouble = "no way to the network came up";
  const work = tell(desk, boot.control.recovery.report, text, controller.signal, (reason) => {
    trouble = reason;
  }).catch((error: unknown) => {
    trouble = reasonOf(error);
    return null;
  });
  // whatever the work waits for keeps nobody longer than that
  const taker = await Promise.race([work, waited(boot, longestMs, controller.signal)]);
  controller.abort(new Error("the report took too long"));
  if (taker !== null) boot.log.notice(`the recovery was reported to ${taker}`);
  else boot.log.warning(`the recovery is not reported yet: ${trouble}; the system that is booted tries again`);
  return taker;
}

/** The name of the URL once somebody took the report; null where nobody did. */
async function tell(
  { boot, network }: ReportDesk,
  url: string,
  text: string,
  signal: AbortSignal,
  failed: (reason: string) => void,
): Promise<string | null> {
  const { proxy, authorities } = boot.control.recovery;
  const { name } = sourceUrl(url);
  const opened = await network();
  if (opened === null) return null;
  for await (const way of opened.ways(LONGEST_POST, signal)) {
    for (const through of proxiesToTry(way.proxy, proxy)) {
      if (signal.aborted) return null;
      try {
        const context = { kernel: boot.kernel, limits: QUICK, signal, recovery: { proxy: through, authorities } };
        await postJson(url, PLAIN, text, context);
        return name;
      } catch (error) {
        failed(reasonOf(error));
      }
    }
  }
  return null;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Null after that time, in which the chores are done; or once nobody waits any more. */
async function waited(boot: Launch, milliseconds: number, signal: AbortSignal): Promise<null> {
  for (let left = milliseconds; left > 0 && !signal.aborted; left -= FEED_EVERY) {
    boot.chores();
    await LIMITS.sleep(Math.min(left, FEED_EVERY), signal);
  }
  return null;
}

/** No file of those that are read is longer. */
const LONGEST_FILE = 4096;

/** Text of a small file of the system that is to be booted; null where it cannot be had. State is data: no link is followed. */
function readLaid(boot: Launch, path: string): string | null {
  const { kernel } = boot;
  try {
    const root = kernel.open(NEW_ROOT, O.RDONLY | O.DIRECTORY);
    try {
      const fd = openThroughMounts(kernel, root, path, O.RDONLY | O.NONBLOCK);
      try {
        const { kind, size } = kernel.status(fd);
        return kind === "file" && size <= LONGEST_FILE ? new TextDecoder().decode(kernel.read(fd, Number(size), 0n)) : null;
      } finally {
        kernel.close(fd);
      }
    } finally {
      kernel.close(root);
    }
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return null;
  }
}
