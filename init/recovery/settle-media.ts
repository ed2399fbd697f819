import { list } from "../devices/scan.ts";
import { takeUevents } from "../devices/wait.ts";
import { writeSetting } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import type { Launch } from "../sequence/launch.ts";
import type { RecoveryDesk } from "./desk.ts";

/** How often the kernel looks whether something was put into a drive, milliseconds: never, unless somebody (udev, in a system) says so. */
const LOOK_INTO_DRIVES = { path: "/sys/module/block/parameters/events_dfl_poll_msecs", value: "2000\n" };

/** What devices come by that take a while: sticks wait a second for their medium, and hubs and cards for theirs. */
const SLOW_BUSES = ["/sys/bus/usb/devices", "/sys/class/mmc_host"];
/** As long as nothing has come for this time, nothing more is expected, milliseconds. */
const QUIET = 3000;
/** They are waited for no longer, milliseconds. */
const LONGEST_SETTLING = 10_000;
/** Longest time between two turns of the event loop, milliseconds. */
const SLICE = 250;

/** Boots whose media were waited for: whatever comes later makes itself heard. */
const settled = new WeakSet<Launch>();

/**
 * Loads the drivers of what is there, and waits, once in a boot, until no more media come by the buses that are slow to tell of
 * them: 10 s at most, and not at all where there is no such bus.
 *
 * @throws the reason of the desk's signal where that is aborted meanwhile
 */
export async function settleMedia({ boot, signal }: RecoveryDesk): Promise<void> {
  const { kernel, modules } = boot;
  const isFirst = !settled.has(boot);
  settled.add(boot);
  if (isFirst) lookIntoDrives(kernel);
  const socket = kernel.openUevents();
  try {
    modules?.loadForHardware();
    if (!isFirst || SLOW_BUSES.every((bus) => list(kernel, bus).length === 0)) return;
    const beganMs = kernel.now().bootMs;
    let lastMs = beganMs;
    for (let nowMs = beganMs; nowMs - lastMs < QUIET && nowMs - beganMs < LONGEST_SETTLING; nowMs = kernel.now().bootMs) {
      if (kernel.poll([socket], SLICE).length > 0) {
        takeUevents(kernel, socket, modules);
        lastMs = kernel.now().bootMs;
      }
      await boot.breathe();
      signal.throwIfAborted();
    }
  } finally {
    kernel.close(socket);
  }
}

function lookIntoDrives(kernel: Kernel): void {
  try {
    writeSetting(kernel, LOOK_INTO_DRIVES.path, LOOK_INTO_DRIVES.value);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}
