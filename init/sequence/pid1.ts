import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { showOnConsoles } from "./console.ts";
import { whyNotInInitramfs } from "./initramfs.ts";
import { Log } from "./log.ts";
import { launch } from "./sequence.ts";

/** Between an error that nothing caught and the restart, milliseconds: long enough to read it. */
const LAST_PAUSE = 10_000;

/** What an error that nothing caught ends in: a restart with its reason on the console and in the kernel's log. */
function restartBecause(kernel: Kernel, log: Log, what: string, error: unknown): void {
  const text = error instanceof Error ? `${error.message} (${error.stack?.split("\n")[1]?.trim() ?? "no stack"})` : String(error);
  log.error(`${what}: ${text}; restarting in ${LAST_PAUSE / 1000} s`);
  showOnConsoles(kernel, `\nslipway: ${what}: ${text}\nslipway: restarting in ${LAST_PAUSE / 1000} s\n`);
  kernel.poll([], LAST_PAUSE);
  kernel.reboot("restart");
}

/**
 * The whole life of slipway as PID 1. Whatever happens in it ends in the next init or in a restart: a PID 1 that returned
 * or threw would be a kernel panic without a reason.
 *
 * @param firstLineNs when the executable's first line ran, on the clock of Bun.nanoseconds()
 */
export async function runAsPid1(firstLineNs: number): Promise<void> {
  const evaluatedNs = Bun.nanoseconds();
  const kernel = linuxKernel();
  const refused = whyNotInInitramfs(kernel);
  if (refused !== null) {
    console.error(`slipway: this is not the PID 1 of an initrd: ${refused}`);
    process.exitCode = 3;
    return;
  }
  const log = new Log(kernel);
  process.on("uncaughtException", (error) => restartBecause(kernel, log, "an error that nothing caught", error));
  process.on("unhandledRejection", (error) => restartBecause(kernel, log, "a rejection that nothing caught", error));
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      log.error(`${signal}: restarting`);
      kernel.reboot("restart");
    });
  }
  kernel.setCtrlAltDel("signal");
  try {
    await launch(kernel, log, process.env.SLIPWAY_PREINIT ?? "", { firstLineNs, evaluatedNs, nowNs: Bun.nanoseconds });
  } catch (error) {
    restartBecause(kernel, log, "the boot failed", error);
  }
}
