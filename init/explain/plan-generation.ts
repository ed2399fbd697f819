import { lostState } from "../../state-ops/data-use.ts";
import type { GenerationFacts } from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { type GenerationWork, generationNotes, planWork } from "../../state-ops/generation-work.ts";
import { GENERATION, generationName, generationPath, LAYOUT, slotPointer, temporaryGeneration } from "../../state-ops/layout.ts";
import { MERGE_REPORT } from "../../state-ops/merge/report.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { NO_REQUEST_PLAN, planRequests, type RequestPlan } from "../../state-ops/request-plan.ts";
import { DATA_PLACE } from "../sequence/data.ts";
import { sameImage } from "../state/merge/adapt.ts";
import { droppedRequests, parseRequestsText } from "../state/requests.ts";
import type { DataContent } from "./facts.ts";
import type { Effect } from "./plan-shape.ts";
import type { PlannedState } from "./planned-data.ts";

export interface PlannedGeneration {
  plan: GenerationPlan | null;
  /** Relative to the data filesystem's root. */
  path: string;
  why: string;
  notes: string[];
}

/** A generation whose number nobody knows. */
export function unknownGeneration(order: PlannedState, reason: string): PlannedGeneration {
  order.unknown.push(`which generation slot ${order.slot} gets: ${reason}`);
  return { plan: null, path: `${LAYOUT.generations}/UNKNOWN`, why: `the generation is unknown: ${reason}`, notes: [] };
}

/** The slot's generation: where it is, and what is made durable of it and of the others, as sequence/generation.ts does it. */
export function planSlotGeneration(
  order: PlannedState & Pick<GenerationFacts, "wish">,
  content: DataContent,
  image: { digest: string; operators: Parameters<typeof planRequests>[1] },
  uuid: string,
): PlannedGeneration {
  const { slot, imageId, trial, previousEnd, committed, left, attempt, wish } = order;
  const slots = order.control.slots.map(({ name }) => name);
  const pointers = Object.fromEntries(slots.map((name) => [name, content.pointers[name] ?? null]));
  const requests = requestsOf(order, content, image.operators);
  const facts: GenerationFacts = {
    ...{ slot, imageId, trial, previousEnd, committed, left, attempt, wish, pointers },
    ...{ controlDigest: image.digest, generations: content.generations, orders: requests.orders },
  };
  const plan = planGeneration(facts);
  const work = planWork(facts, plan);
  if (plan.reason !== null) order.warnings.push(plan.reason);
  order.effects.push(...generationEffects(facts, plan, work));
  if (merges(facts, plan)) {
    order.unknown.push("which paths both the image and somebody here changed: slipway state merge --dry-run tells");
  }
  const lost = lostState(plan, uuid, order.knownData);
  if (lost !== null) order.stateNotes.push(lost);
  const notes = [...requests.notes, ...generationNotes(facts, plan, work)];
  return { plan, path: generationPath(numberOf(plan)), why: plan.why, notes };
}

function requestsOf(order: PlannedState, { requests }: DataContent, operators: Parameters<typeof planRequests>[1]): RequestPlan {
  if (requests === null) return NO_REQUEST_PLAN;
  const read = parseRequestsText(requests);
  if (typeof read !== "string") return planRequests(read, operators, order.slot);
  order.warnings.push(droppedRequests(read));
  return NO_REQUEST_PLAN;
}

/** The generation that a plan ends with. */
function numberOf(plan: GenerationPlan): number {
  return plan.do === "continue" ? plan.generation : plan.to;
}

/** "000017"; null where it is unknown or there is none. */
export function generationLabel(plan: GenerationPlan | null): string | null {
  return plan === null ? null : generationName(numberOf(plan));
}

/** Whether the plan's clone is of another image's generation. */
function merges(facts: GenerationFacts, plan: GenerationPlan): boolean {
  if (plan.do !== "clone") return false;
  const source = facts.generations.find((entry) => entry.number === plan.from)?.meta ?? null;
  return source !== null && !sameImage(facts, source);
}

/** The renames that make things real; what is built aside before them counts for nothing. */
function generationEffects(facts: GenerationFacts, plan: GenerationPlan, work: GenerationWork): Effect[] {
  const { slot, attempt, pointers, generations } = facts;
  const number = numberOf(plan);
  const on = (path: string) => `${DATA_PLACE}/${path}`;
  const rename = (from: string, to: string, exclusive: boolean): Effect => ({
    do: "rename",
    from: on(from),
    to: on(to),
    exclusive,
  });
  const trash = (path: string): Effect => rename(path, `${LAYOUT.trash}/${path.slice(path.lastIndexOf("/") + 1)}`, true);
  const pin = (at: number): Effect => {
    const place = generationPath(at);
    return rename(`${place}/.new-${GENERATION.pinned}`, `${place}/${GENERATION.pinned}`, false);
  };
  const inUse = Object.entries(pointers).filter(([, pointer]) => pointer !== null);
  const reset = [...inUse.map(([name]) => slotPointer(name)), ...generations.map((entry) => generationPath(entry.number))];
  const pointed = work.factory ? null : (pointers[slot] ?? null);
  return [
    ...(work.factory ? reset.map(trash) : []),
    ...work.pins.map((entry) => pin(entry.number)),
    ...work.collect.map((entry) => trash(generationPath(entry))),
    ...(merges(facts, plan) ? [{ do: "write" as const, path: MERGE_REPORT, text: "" }] : []),
    ...(plan.do === "continue" ? [] : [rename(temporaryGeneration(number, `attempt-${attempt}`), generationPath(number), true)]),
    ...(pointed === number ? [] : [rename(`${slotPointer(slot)}.tmp`, slotPointer(slot), false)]),
  ];
}
