import { z } from "zod";
import { covered, endOf, ownMs, rounded } from "../../boot/timeline/parts.ts";
import type { BootFacts } from "./facts.ts";

/** A part of slipway's own boot without the parts that lie in it, milliseconds. */
export interface Part {
  name: string;
  lengthMs: number;
}

const Report = z.object({
  trial: z.boolean(),
  generation: z.string().nullable(),
  degraded: z.array(z.object({ path: z.string(), reason: z.string() })),
  timeline: z
    .array(z.object({ name: z.string(), startMs: z.number(), lengthMs: z.number(), open: z.literal(true).optional() }))
    .min(1),
});

/**
 * The parts that slipway noted in boot.json, each without those that lie in it, and `between`: what lies in none. The handover,
 * which goes on when slipway writes that, ends with the start of the next init. Throws Error where the boot was not an
 * ordinary one: a trial, or one without its declared state, does other work.
 * @param keepsState false: the image declares nothing that lives longer than a boot
 */
export function timelineOf(facts: BootFacts, keepsState = true): Part[] {
  if (facts.report === null) throw new Error("slipway left no /run/slipway/boot.json");
  const { trial, generation, degraded, timeline } = Report.parse(JSON.parse(facts.report));
  if (trial) throw new Error("the slot was on trial: the disk to measure on is not committed");
  if ((generation !== null) !== keepsState || degraded.length > 0)
    throw new Error(`state was not laid as declared: ${degraded.map(({ path, reason }) => `${path}: ${reason}`).join("; ")}`);
  const parts = timeline.map((part) => (part.open ? { ...part, lengthMs: rounded(facts.execBootMs - part.startMs) } : part));
  const first = Math.min(...parts.map(({ startMs }) => startMs));
  const end = Math.max(...parts.map(endOf));
  return [
    ...parts.map((part) => ({ name: part.name, lengthMs: ownMs(part, parts) })),
    { name: "between", lengthMs: rounded(end - first - covered(parts)) },
  ];
}
