/**
 * The world of the ladder's model: what lies in the slots and with the sources, what becomes of a system that is booted from it,
 * and a machine that does as boot/recovery and boot/selection say.
 */
import * as assert from "uvu/assert";
import type { BootRecord, ImageId, SlotName } from "../../boot/record/record.ts";
import { armInstalled, armOnce, beginPass, beginStep, wishOf, withdrawFor } from "../../boot/recovery/changes.ts";
import { interruptedStep, isOneTry, isSameStep, recoveryOf } from "../../boot/recovery/known.ts";
import {
  type LadderFacts,
  type LadderStep,
  type LeftSlot,
  MOST_IMAGES,
  nextStep,
  rungsAsked,
  targetFor,
} from "../../boot/recovery/ladder.ts";
import type { TriedStep } from "../../boot/recovery/step.ts";
import { countTry, type Failure, failAttempt, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import { giveUp, LONGEST_PAUSE } from "../../boot/selection/give-up.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { selectSlot } from "../../boot/selection/select.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import type { Rung, StateWish } from "../../state-ops/recovery.ts";

/** What an image is worth: `crashes` after the handover, whatever its state; `refused`: PID 1 cannot boot it. */
export type Worth = "good" | "crashes" | "refused";

/** What lies in a slot. `damaged`: its proof fails. Null: nothing that anybody could tell. */
export interface Content {
  imageId: ImageId;
  damaged: boolean;
}

export interface World {
  record: BootRecord;
  slots: Map<SlotName, Content | null>;
  images: ReadonlyMap<ImageId, Worth>;
  /** Images that a source has, best first. */
  sources: readonly ImageId[];
  /** For so many passes no source can be reached. Left out: they always can. */
  outage?: number;
  /** Which states let a good image run. Ordinary state is `fresh` once it was set aside. */
  states: { ordinary: boolean; previous: boolean };
  /** Slots that nothing can be written to. */
  broken: ReadonlySet<SlotName>;
}

/** How one boot ended. */
export type End = "runs" | "crash" | "restart" | "cut";

class Cut extends Error {}

/** What a step may not do twice in a pass. */
export interface Seen {
  steps: TriedStep[];
  holds: number;
}

/** The most steps that a pass may take: each rung's, once. */
export const mostSteps = (slots: number) => 3 * slots + 2 * (MOST_IMAGES + 1);

/** One machine, boot after boot. `cutAt` numbers the durable writes that the power fails before. */
export class Machine {
  writes = 0;
  /** Of the pass under way. */
  readonly seen: Seen = { steps: [], holds: 0 };

  constructor(
    readonly world: World,
    readonly policy: Policy,
    readonly ladder: readonly Rung[],
    readonly cutAt: ReadonlySet<number>,
  ) {}

  #write(record: BootRecord): BootRecord {
    this.writes++;
    if (this.cutAt.has(this.writes)) throw new Cut();
    this.world.record = record;
    return record;
  }

  boot(): End {
    try {
      return new Booting(this).run();
    } catch (error) {
      if (!(error instanceof Cut)) throw error;
      return "cut";
    }
  }

  write(record: BootRecord): BootRecord {
    return this.#write(record);
  }
}

class Booting {
  readonly #machine: Machine;
  readonly #failed = new Map<SlotName, string>();
  readonly #left = new Map<SlotName, LeftSlot>();
  readonly #facts: LadderFacts & { badTargets: Set<SlotName>; ended: boolean; unreached: boolean };
  #record: BootRecord;
  /** The boot has ended its pass: a hold that restarts nothing may come again. */
  #holds = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#record = beginBoot(machine.world.record, machine.policy).record;
    this.#facts = { left: this.#left, badTargets: new Set(), ended: false, unreached: false, longestPause: LONGEST_PAUSE };
  }

  run(): End {
    const { ladder } = this.#machine;
    const interrupted = interruptedStep(this.#record);
    let rungs: readonly Rung[] | null = interrupted === null ? null : rungsAsked(ladder, interrupted.rung);
    for (;;) {
      let slot = rungs === null ? this.#choose() : null;
      const isRecovered = slot === null;
      if (slot === null) {
        slot = this.#recover(rungs ?? ladder, rungs !== null);
        if (slot === null) {
          if (rungs === null && this.#holds > 2) return "restart";
          rungs = null;
          continue;
        }
      }
      const end = this.#attempt(slot, isRecovered);
      if (end !== null) return end;
    }
  }

  #choose(): SlotName | null {
    const facts = { preferred: null, failed: this.#failed, recordWritable: true };
    return selectSlot(this.#record, facts, this.#machine.policy).slot;
  }

  #set(record: BootRecord): void {
    this.#record = this.#machine.write(record);
  }

  #attempt(slot: SlotName, isRecovered: boolean): End | null {
    const { policy, world } = this.#machine;
    assert.ok(slotOf(this.#record, slot).tries > 0, `slot ${slot} is booted without tries${isRecovered ? " by recovery" : ""}`);
    this.#set(countTry(this.#record, slot));
    const content = world.slots.get(slot) ?? null;
    if (content === null || content.damaged) return this.#fail(slot, { kind: "proof", reason: "damaged" }, "counted");
    this.#record = identifyImage(this.#record, slot, content.imageId, policy).record;
    const worth = world.images.get(content.imageId);
    if (worth === "refused") return this.#fail(slot, { kind: "boot", reason: "no init" }, "image");
    const wish = wishOf(this.#record, slot, content.imageId);
    this.#set(reachHandover(this.#record));
    if (wish === "fresh") world.states = { ordinary: true, previous: true };
    return worth === "good" && runsWith(world, wish) ? "runs" : "crash";
  }

  #fail(slot: SlotName, failure: Failure, stage: LeftSlot["stage"]): null {
    this.#failed.set(slot, failure.reason);
    this.#left.set(slot, { ...failure, stage });
    this.#set(failAttempt(this.#record, failure));
    return null;
  }

  /** As the engine: null where a pass is over. */
  #recover(rungs: readonly Rung[], isOptional: boolean): SlotName | null {
    const { policy } = this.#machine;
    for (;;) {
      const step = nextStep(this.#record, rungs, policy, this.#facts);
      if (step === null) break;
      const slot = this.#carryOut(step, rungs);
      if (slot !== null) {
        this.#failed.delete(slot);
        this.#left.delete(slot);
        return slot;
      }
    }
    if (isOptional) return null;
    this.#holds++;
    this.#machine.seen.holds++;
    this.#machine.seen.steps = [];
    this.#set(beginPass(giveUp(this.#record, policy).record));
    this.#failed.clear();
    this.#left.clear();
    this.#facts.badTargets.clear();
    this.#facts.ended = false;
    this.#facts.unreached = false;
    return null;
  }

  /** What the sources have for whoever asks them now. */
  #asked(): readonly ImageId[] {
    const { world, seen } = this.#machine;
    const isReached = seen.holds >= (world.outage ?? 0);
    if (!isReached) this.#facts.unreached = true;
    return isReached ? world.sources : [];
  }

  /** Each durable write before what it is about. */
  #carryOut(step: LadderStep, rungs: readonly Rung[]): SlotName | null {
    const tried = { rung: step.rung, slot: step.slot, imageId: step.imageId };
    const again = !this.#facts.ended && isSameStep(interruptedStep(this.#record), tried);
    this.#facts.ended = false;
    this.#set(step.do === "boot" ? armOnce(this.#record, tried) : beginStep(this.#record, tried, again));
    this.#see(tried, again, rungs);
    if (step.do === "boot") return step.slot;
    const slot = step.do === "repair" ? this.#put(step.slot, step.imageId, step) : this.#reinstall(step);
    if (slot === null) {
      const last = recoveryOf(this.#record).tried.at(-1);
      if (step.do === "reinstall" && last?.imageId) this.#set(beginStep(this.#record, { ...tried, imageId: null }, false));
      this.#facts.ended = true;
    }
    return slot;
  }

  #reinstall(step: Extract<LadderStep, { do: "reinstall" }>): SlotName | null {
    const { world, policy } = this.#machine;
    this.#facts.unreached = false;
    const inSlots = [...world.slots.values()].flatMap((content) => (content === null ? [] : [content.imageId]));
    const seen = new Set<ImageId>();
    for (const { imageIds, except } of step.searches) {
      for (const imageId of [...inSlots, ...this.#asked()]) {
        const isWanted = (imageIds === null || imageIds.includes(imageId)) && !except.includes(imageId) && !seen.has(imageId);
        if (!isWanted) continue;
        seen.add(imageId);
        for (;;) {
          const own = [...world.slots].find(([, content]) => content?.imageId === imageId && !content.damaged)?.[0];
          const slot =
            own !== undefined && !this.#facts.badTargets.has(own) ? own : targetFor(this.#record, imageId, policy, this.#facts);
          if (slot === null) break;
          const news = { rung: step.rung, slot, imageId };
          if (!isSameStep(recoveryOf(this.#record).tried.at(-1) ?? null, news)) {
            this.#set(beginStep(this.#record, news, false));
            if (step.imageId === null) this.#see(news, false, null);
          }
          if (this.#put(slot, imageId, step) !== null) return slot;
          if (!this.#facts.badTargets.has(slot)) break;
        }
      }
    }
    return null;
  }

  /** Makes the slot hold the image, from what slots and sources have. */
  #put(slot: SlotName, imageId: ImageId, step: LadderStep): SlotName | null {
    const { world, policy } = this.#machine;
    const there = world.slots.get(slot) ?? null;
    const isThere = there?.imageId === imageId;
    const isWhole = isThere && !there.damaged;
    const others = [...world.slots].some(([name, content]) => name !== slot && content?.imageId === imageId && !content.damaged);
    if (!isWhole && !others && !this.#asked().includes(imageId)) return null;
    if (!isWhole && world.broken.has(slot)) {
      this.#facts.badTargets.add(slot);
      return null;
    }
    if (!isThere) {
      this.#set(withdrawFor(this.#record, slot, imageId));
      world.slots.set(slot, null);
    }
    if (step.do === "repair" && isWhole && slotOf(this.#record, slot).damaged === null) return null;
    world.slots.set(slot, { imageId, damaged: false });
    this.#set(armInstalled(this.#record, { rung: step.rung, slot, imageId }, policy));
    return slot;
  }

  /** No step twice, never back, and an end. `rungs` is null for what a search has found. */
  #see(step: TriedStep, again: boolean, rungs: readonly Rung[] | null): void {
    const { seen, policy } = this.#machine;
    if (again) return;
    const text = () => [...seen.steps, step].map(({ rung, slot, imageId }) => `${rung} ${slot} ${imageId}`).join("; ");
    const isSearch = step.imageId === null;
    if (!isSearch)
      assert.not.ok(
        seen.steps.some((known) => isSameStep(known, step)),
        `twice in a pass: ${text()}`,
      );
    if (rungs !== null && seen.steps.length > 0) {
      const last = seen.steps.at(-1);
      const [from, to] = [rungs.indexOf(last?.rung ?? step.rung), rungs.indexOf(step.rung)];
      assert.ok(from <= to, `back in a pass: ${text()}`);
    }
    seen.steps.push(step);
    assert.ok(seen.steps.length <= mostSteps(policy.slots.length) + MOST_IMAGES, `no end: ${text()}`);
    if (isOneTry(step.rung)) assert.is.not(step.imageId, null);
  }
}

export function runsWith({ states }: World, wish: StateWish): boolean {
  if (wish === "ordinary") return states.ordinary;
  return wish === "previous" ? states.previous : true;
}

/** Whether there is any way to a running system with what the ladder allows, in as many passes as it takes. */
export function canBeHelped(world: World, ladder: readonly Rung[], policy: Policy): boolean {
  const reinstalls = ladder.some((rung) => rung === "reinstall" || rung === "reinstall-fresh");
  const writable = policy.slots.some((slot) => !world.broken.has(slot));
  const whole = new Set<ImageId>();
  for (const [slot, content] of world.slots) {
    // What a source has may be put in the place of any image but the one that was committed last.
    const mayBeLost =
      reinstalls && world.sources.length > 0 && (world.record.lastCommitted?.slot !== slot || world.broken.size > 0);
    if (content === null || mayBeLost) continue;
    if (!content.damaged) whole.add(content.imageId);
    const hasBlocks =
      world.sources.includes(content.imageId) ||
      [...world.slots.values()].some((other) => other?.imageId === content.imageId && !other.damaged);
    const known = slotOf(world.record, slot).imageId === content.imageId && slotOf(world.record, slot).state !== "empty";
    if (content.damaged && hasBlocks && known && ladder.includes("repair") && !world.broken.has(slot)) whole.add(content.imageId);
  }
  if (reinstalls && writable) for (const imageId of world.sources) whole.add(imageId);
  const good = [...whole].some((imageId) => world.images.get(imageId) === "good");
  if (!good) return false;
  return (
    world.states.ordinary ||
    (world.states.previous && ladder.includes("previous-generation")) ||
    ladder.includes("safe-mode") ||
    ladder.includes("reinstall-fresh")
  );
}
