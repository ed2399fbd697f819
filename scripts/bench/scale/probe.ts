/** What work costs this process: processor time, memory at its peak, kernel calls. */
import { readFileSync, writeFileSync } from "node:fs";
import type { Measure, Sample } from "./growth.ts";

/** Costs of `work`. The peak is what the process takes more than before, in KiB; `calls` counts kernel calls, if any are counted. */
export function probe(work: () => void, calls: () => number = () => 0): Partial<Record<Measure, number>> {
  Bun.gc(true);
  // Forgets the peak until now: proc(5).
  writeFileSync("/proc/self/clear_refs", "5");
  const [memory, counted, began, cpu] = [memoryKiB("VmRSS"), calls(), performance.now(), process.cpuUsage()];
  work();
  const { user, system } = process.cpuUsage(cpu);
  const costs = { cpuMs: (user + system) / 1000, wallMs: performance.now() - began };
  const peakKiB = Math.max(0, memoryKiB("VmHWM") - memory);
  const made = calls() - counted;
  return { ...costs, peakKiB, ...(made > 0 ? { calls: made } : {}) };
}

/** A line of /proc/PID/status in KiB; 0 where the process is no more. */
export function memoryKiB(name: "VmRSS" | "VmHWM", pid: number | "self" = "self"): number {
  try {
    return Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Tells one run. */
export function tell(sample: Sample): void {
  console.log(JSON.stringify(sample));
}
