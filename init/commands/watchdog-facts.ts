import { list } from "../devices/scan.ts";
import { readTextIfThere } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Machine, Places } from "./machine.ts";

export interface WatchdogFacts {
  /** What the control file asks for; null: none. Seconds. */
  declared: { timeout: number; after: "systemd" | "keep" | "stop" } | null;
  /** What the driver calls it, "iTCO_wdt"; null where there is none. */
  device: string | null;
  /** Whether it is a part of the machine, not softdog, which hangs along with the kernel. */
  hardware: boolean;
  /** Whether it runs now; null where the kernel does not tell. */
  running: boolean | null;
  /** One sentence. */
  summary: string;
}

const POWER_CYCLE = "a hang needs a power cycle";

function summary(facts: Omit<WatchdogFacts, "summary">): string {
  const { declared, device, hardware, running } = facts;
  if (device === null) {
    const asked = declared === null ? "none declared, and no" : `${declared.timeout} s declared, but no`;
    return `${asked} watchdog device: ${POWER_CYCLE}`;
  }
  if (declared === null) return `${device} is there, but none is declared (watchdog: in system.yaml): ${POWER_CYCLE}`;
  if (declared.after === "stop") return `${device} guards PID 1 of the initrd only (after: stop): later ${POWER_CYCLE}`;
  if (running === false) return `${device} is there, but does not run: ${POWER_CYCLE}`;
  const what = `${device}, ${declared.timeout} s, ${declared.after === "systemd" ? "fed by systemd" : "kept armed"}`;
  return hardware
    ? what
    : `${what}; it is made of software, so where the kernel itself hangs ${POWER_CYCLE.replace("a hang needs", "it needs")}`;
}

/** What guards this machine against hangs, from sysfs (Documentation/ABI/testing/sysfs-class-watchdog). */
export function watchdogFacts(kernel: Kernel, places: Places, machine: Machine): WatchdogFacts {
  const found = list(kernel, places.watchdogs).map((name) => {
    const read = (file: string) => readTextIfThere(kernel, `${places.watchdogs}/${name}/${file}`)?.trim() ?? null;
    const device = read("identity") ?? name;
    const state = read("state");
    return { device, hardware: device !== "Software Watchdog", running: state === null ? null : state === "active" };
  });
  // The first one is /dev/watchdog.
  const first = found[0] ?? { device: null, hardware: false, running: null };
  const facts = { declared: machine.control.watchdog, ...first };
  return { ...facts, summary: summary(facts) };
}
