import { z } from "zod";
import type { BootFacts } from "./facts.ts";

/** A part of slipway's own boot, milliseconds. */
export interface Part {
  name: string;
  lengthMs: number;
}

const Report = z.object({
  trial: z.boolean(),
  generation: z.string().nullable(),
  degraded: z.array(z.object({ path: z.string(), reason: z.string() })),
  timeline: z.array(z.object({ name: z.string(), startMs: z.number(), lengthMs: z.number() })).min(1),
});

/**
 * The parts that slipway noted in boot.json, and what they leave: `handover`, from the end of the last part to the start
 * of the next init, and `between`, what lies between two parts. Throws Error where the boot was not an ordinary one: a
 * trial, or one without its declared state, does other work.
 * @param keepsState false: the image declares nothing that lives longer than a boot
 */
export function timelineOf(facts: BootFacts, keepsState = true): Part[] {
  if (facts.report === null) throw new Error("slipway left no /run/slipway/boot.json");
  const { trial, generation, degraded, timeline } = Report.parse(JSON.parse(facts.report));
  if (trial) throw new Error("the slot was on trial: the disk to measure on is not committed");
  if ((generation !== null) !== keepsState || degraded.length > 0)
    throw new Error(`state was not laid as declared: ${degraded.map(({ path, reason }) => `${path}: ${reason}`).join("; ")}`);
  const parts = timeline.map(({ name, lengthMs }) => ({ name, lengthMs }));
  const first = timeline[0]?.startMs ?? 0;
  const end = timeline.reduce((latest, { startMs, lengthMs }) => Math.max(latest, startMs + lengthMs), 0);
  const noted = parts.reduce((sum, { lengthMs }) => sum + lengthMs, 0);
  return [
    ...parts,
    { name: "between", lengthMs: Math.max(0, end - first - noted) },
    { name: "handover", lengthMs: Math.round(facts.execBootMs - end) },
  ];
}
