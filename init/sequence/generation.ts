import type { ControlFile } from "../../state-ops/control.ts";
import { lostState } from "../../state-ops/data-use.ts";
import { type GenerationFacts, NO_ORDERS } from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { generationNotes, planWork } from "../../state-ops/generation-work.ts";
import { generationName } from "../../state-ops/layout.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { planRequests, type RequestPlan } from "../../state-ops/request-plan.ts";
import type { Descriptor, KernelError } from "../kernel/kernel.ts";
import type { OnProgress } from "../state/beneath.ts";
import type { BuildOrder } from "../state/build-generation.ts";
import { readGenerations } from "../state/data-filesystem.ts";
import { isFull, type PreparedGeneration, prepareGeneration, resetInPlace } from "../state/generations.ts";
import { forgetRequests, readRequests, resetShared } from "../state/requests.ts";
import { cloneTold } from "./clone-told.ts";
import { failureText, mayBeRepaired } from "./data.ts";
import type { Launch } from "./launch.ts";
import type { OpenData } from "./open-data.ts";

/** Who gets a generation, and what the counters know of it. */
export interface GenerationRequest
  extends Pick<GenerationFacts, "slot" | "imageId" | "attempt" | "trial" | "previousEnd" | "committed" | "left" | "wish"> {
  /** Root of the image, over which nothing is laid yet. */
  newRoot: Descriptor;
  /** UUID that the boot record knows of the data filesystem. */
  knownData: string | null;
}

export interface MadeGeneration {
  /** "000017" */
  name: string;
  /** Relative to the data filesystem's root: "gens/000017". */
  path: string;
  /** What became of the state, one sentence each. */
  notes: string[];
}

/**
 * Gives the slot its generation: what the running system asked for is carried out, the generation made or gone on with, and
 * the requests forgotten once all of that is durable. A power cut before does it all again. Throws KernelError or Error
 * where no generation can be made.
 */
export async function makeGeneration(
  launch: Launch,
  data: OpenData,
  request: GenerationRequest,
  imageControl: ControlFile,
): Promise<MadeGeneration> {
  const { kernel } = launch;
  const { slot } = request;
  const onProgress = () => launch.chores();
  // Without a checker, or after it, what cannot be read is damaged, and the closest state there is takes its place.
  const onUnreadable = (error: KernelError): void => {
    if (mayBeRepaired(launch, data, error)) throw error;
  };
  const asked = readRequests(kernel, data.root, onUnreadable);
  const requests = planRequests(asked.requests, imageControl.operators, slot);
  const slots = launch.control.slots.map((definition) => definition.name);
  const found = readGenerations(kernel, data.root, slots, onUnreadable);
  const facts = { ...factsOf(request, imageControl), ...found, orders: requests.orders };
  const { plan, prepared, notes } = await prepare(launch, data, request, imageControl, facts);
  const warnings = [...asked.warnings, ...prepared.warnings, ...resetShared(kernel, data.root, requests.shared, onProgress)];
  if (asked.found) warnings.push(...forgetRequests(kernel, data.root));
  for (const warning of warnings) launch.warn(warning);
  const lost = lostState(plan, data.facts.uuid, request.knownData);
  if (lost !== null) launch.note(lost);
  return { name: generationName(prepared.number), path: prepared.path, notes: [...toldOf(launch, requests), ...notes] };
}

function factsOf(
  request: GenerationRequest,
  imageControl: ControlFile,
): Omit<GenerationFacts, "pointers" | "generations" | "orders"> {
  const { slot, imageId, trial, previousEnd, committed, left, attempt, wish } = request;
  return { slot, imageId, trial, previousEnd, committed, left, attempt, wish, controlDigest: imageControl.digest };
}

function toldOf(launch: Launch, { notes }: RequestPlan): string[] {
  for (const note of notes) launch.log.notice(note);
  return notes;
}

interface Prepared {
  plan: GenerationPlan;
  prepared: PreparedGeneration;
  notes: string[];
}

/**
 * Where what was asked cannot be done, the slot gets the generation that it has without: a request must not cost the boot, nor
 * be tried again at every one. Stores that were to begin anew are then emptied where they are, which gives the space back.
 */
async function prepare(
  launch: Launch,
  data: OpenData,
  request: GenerationRequest,
  imageControl: ControlFile,
  facts: GenerationFacts,
): Promise<Prepared> {
  const plan = planGeneration(facts);
  const work = planWork(facts, plan);
  launch.log.debug(`state: ${plan.do} generation: ${plan.why}`);
  if (plan.reason !== null) launch.warn(plan.reason);
  const told = cloneTold(launch, data.root, plan, imageControl.operators);
  const { slot, imageId, newRoot, attempt } = request;
  const { operators, digest: controlDigest } = imageControl;
  const order = { plan, work, slot, imageId, controlDigest, attempt, operators, newRoot, adapt: await adapterFor(plan) };
  try {
    const prepared = prepareGeneration(launch.kernel, data.root, order, told);
    return { plan, prepared, notes: [...generationNotes(facts, plan, work), ...prepared.notes] };
  } catch (error) {
    const { factory, without, carry } = facts.orders;
    if (factory || (without.length === 0 && carry === null) || mayBeRepaired(launch, data, error)) throw error;
    const unasked = await prepare(launch, data, request, imageControl, { ...facts, orders: NO_ORDERS });
    const why = isFull(error) ? "there was no space" : failureText(data.facts.device, error);
    return { ...unasked, notes: [...unasked.notes, ...notAsAsked(launch, data, facts, { unasked, why }, told)] };
  }
}

/** Most boots go on with a generation that is there, and need nothing that makes one out of another. */
async function adapterFor({ do: what }: GenerationPlan): Promise<BuildOrder["adapt"]> {
  if (what !== "continue") return (await import("../state/merge/adapt.ts")).adaptGeneration;
  return () => {
    throw new Error("a generation that is gone on with is adapted to no image");
  };
}

/** Returns notes. `why`: the request could not be carried out as it was meant. */
function notAsAsked(
  launch: Launch,
  data: OpenData,
  facts: GenerationFacts,
  { unasked, why }: { unasked: Prepared; why: string },
  onProgress: OnProgress,
): string[] {
  const { without, carry } = facts.orders;
  const kept = facts.wish === "ordinary" ? "the slot keeps its own state" : "recovery takes another state";
  const inPlace = unasked.plan.do === "continue";
  if (inPlace) resetInPlace(launch.kernel, data.root, unasked.prepared.number, without, onProgress);
  return [
    ...(carry === null ? [] : [`${kept} instead of that of generation ${generationName(carry)}: ${why}`]),
    ...(without.length === 0 ? [] : [inPlace ? `reset without a new generation: ${why}` : `nothing was reset: ${why}`]),
  ];
}
