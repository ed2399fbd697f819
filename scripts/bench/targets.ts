/** What slipway is to reach beside its peers, and whether it does. */
import { type Measured, ratio, spread } from "./measured.ts";
import type { PeerName } from "./peers.ts";

export interface Target {
  /** "kernel start to exec, of busybox" */
  what: string;
  limit: number;
  /** Null where it was not measured. */
  measured: number | null;
  unit: "" | " MiB" | " KiB";
}

const times: [PeerName, number][] = [
  ["busybox", 1],
  ["initramfs-tools", 0.75],
  ["dracut", 0.35],
];
const leastMemoryMiB = 200;
const heldMoreKiB = 2048;

/** @param memory false: only the times, as when instructions are counted */
export function targetsOf(measured: readonly Measured[], memory = true): Target[] {
  const toReach: Target[] = times.map(([reference, limit]) => ({
    what: `kernel start to exec, of ${reference}`,
    limit,
    measured: ratio(measured, "slipway", reference, "kernelToExecMs"),
    unit: "",
  }));
  if (!memory) return toReach;
  const [ours, busybox] = ["slipway", "busybox"].map((name) => measured.find((peer) => peer.name === name));
  const more =
    ours === undefined || busybox === undefined
      ? null
      : spread(ours, "heldAfterKiB").median - spread(busybox, "heldAfterKiB").median;
  return [
    ...toReach,
    { what: "least memory", limit: leastMemoryMiB, measured: ours?.leastMemoryMiB ?? null, unit: " MiB" },
    { what: "held after the handover, more than busybox", limit: heldMoreKiB, measured: more, unit: " KiB" },
  ];
}

/** "kernel start to exec, of busybox: 1.82, not above 1.00: not met" */
export function targetLine({ what, limit, measured, unit }: Target): string {
  const told = (value: number) => `${unit === "" ? value.toFixed(2) : value.toFixed(0)}${unit}`;
  if (measured === null) return `${what}: not measured, not above ${told(limit)}`;
  return `${what}: ${told(measured)}, not above ${told(limit)}: ${measured <= limit ? "met" : "not met"}`;
}
