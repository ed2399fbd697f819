/** The steps that write: an image is found, and a slot made to hold it. */
import { BLOCK } from "../../boot/image/verity.ts";
import type { ImageId, SlotName } from "../../boot/record/record.ts";
import { armInstalled, beginStep, withdrawFor } from "../../boot/recovery/changes.ts";
import { recoveryOf } from "../../boot/recovery/known.ts";
import { type LadderFacts, type LadderStep, MOST_IMAGES, type Search, targetFor } from "../../boot/recovery/ladder.ts";
import type { StepOutcome, ToldStep, TriedStep } from "../../boot/recovery/step.ts";
import { type Policy, policyOf } from "../../boot/selection/policy.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { BadMedium, type Converged } from "../converge/converge.ts";
import { WriteFailed } from "../converge/open-slot.ts";
import { SourceError } from "../converge/source.ts";
import { KernelError } from "../kernel/kernel.ts";
import { DeviceFailure } from "../sequence/devices.ts";
import type { RecoveryDesk } from "./desk.ts";
import { findImages } from "./find-images.ts";
import type { FoundImage } from "./found-image.ts";
import { makeSlotHold } from "./make-slot-hold.ts";
import { SlotSource } from "./slot-source.ts";

export type PutStep = Extract<LadderStep, { do: "repair" | "reinstall" }>;

/** What came of a step. `booted`: its slot is armed. */
export interface PutResult {
  outcome: StepOutcome;
  /** What was put where; for `booted`. */
  slot: SlotName;
  reason: string;
}

/** What {@link putImage} shares with the ladder's decision. */
export interface PutFacts extends LadderFacts {
  badTargets: Set<SlotName>;
  unreached: boolean;
}

/** Puts the step's image, or the best that is found, into a slot, and arms the slot. Fills in what `told` tells of it. */
export async function putImage(desk: RecoveryDesk, step: PutStep, facts: PutFacts, told: ToldStep): Promise<PutResult> {
  return new Putting(desk, step, facts, told).run();
}

class Putting {
  readonly #desk: RecoveryDesk;
  readonly #step: PutStep;
  readonly #facts: PutFacts;
  readonly #told: ToldStep;
  readonly #policy: Policy;
  readonly #reasons: string[] = [];
  /** Images that were put into a slot in this step, or could not be. */
  readonly #images = new Set<ImageId>();

  constructor(desk: RecoveryDesk, step: PutStep, facts: PutFacts, told: ToldStep) {
    this.#desk = desk;
    this.#step = step;
    this.#facts = facts;
    this.#told = told;
    this.#policy = policyOf(desk.boot.control);
  }

  async run(): Promise<PutResult> {
    const step = this.#step;
    this.#facts.unreached = false;
    const searches: Search[] = step.do === "repair" ? [{ imageIds: [step.imageId], except: [] }] : step.searches;
    for (const search of searches) {
      // Nothing that the search before this one gave is asked for once more.
      const except = [...search.except, ...this.#images];
      for await (const found of findImages(this.#desk, { ...search, except }, (reason) => this.#reasons.push(reason))) {
        const result = await this.#take(found).finally(() => {
          // Also what came of it while it was judged.
          this.#told.networkBytes += found.source.transferred;
          return found.close();
        });
        if (result !== null) return result;
        if (this.#isEnough()) break;
      }
    }
    const reason = this.#reasons.length === 0 ? "no image was found" : [...new Set(this.#reasons)].join("; ");
    return { outcome: this.#images.size === 0 ? "passed" : "failed", slot: step.slot, reason };
  }

  #isEnough(): boolean {
    const { rung } = this.#step;
    const tried = recoveryOf(this.#desk.counters.record).tried.filter((step) => step.rung === rung);
    return this.#step.do === "reinstall" && tried.length >= MOST_IMAGES;
  }

  /** Null where it came to nothing, and the next image may be of use. */
  async #take(found: FoundImage): Promise<PutResult | null> {
    const { rung } = this.#step;
    const imageId = found.seal.manifest.rootHash;
    for (;;) {
      const slot = this.#targetOf(found);
      if (slot === null) return null;
      try {
        return await this.#put(found, { rung, slot, imageId });
      } catch (error) {
        this.#desk.signal.throwIfAborted();
        if (!(error instanceof Error)) throw error;
        this.#reasons.push(`${found.name}: ${error.message}`);
        this.#desk.screen.say(`${found.name}: ${error.message}`);
        if (error instanceof SourceError && found.place === "mirror") this.#facts.unreached = true;
        if (!isOfTarget(error)) return null;
        this.#facts.badTargets.add(slot);
        // Elsewhere the same image may be taken.
        if (this.#step.do === "repair") return null;
      } finally {
        this.#images.add(imageId);
      }
    }
  }

  #targetOf(found: FoundImage): SlotName | null {
    const { badTargets } = this.#facts;
    if (this.#step.do === "repair") return badTargets.has(this.#step.slot) ? null : this.#step.slot;
    const own = found.source instanceof SlotSource ? found.source.slot : null;
    if (own !== null && !badTargets.has(own)) return own;
    return targetFor(this.#desk.counters.record, found.seal.manifest.rootHash, this.#policy, this.#facts);
  }

  async #put(found: FoundImage, step: TriedStep & { imageId: ImageId }): Promise<PutResult> {
    const { counters, screen } = this.#desk;
    const { slot, imageId } = step;
    const { version } = found.seal.manifest;
    if (this.#step.do === "reinstall" && this.#isNews(step)) counters.change(beginStep(counters.record, step, false));
    screen.show({ trying: `${step.rung}: image ${version} from ${found.name} into slot ${slot}` });
    this.#told.slot = slot;
    const withdraw = () => {
      this.#desk.signal.throwIfAborted();
      counters.change(withdrawFor(counters.record, slot, imageId));
    };
    const { seal, layout, source } = found;
    const converged = await makeSlotHold(this.#desk, slot, { seal, layout, source }, withdraw);
    this.#desk.signal.throwIfAborted();
    const written = writtenBytes(converged);
    this.#told.writtenBytes += written;
    // A footer alone may have been written: one that was never there is no damage.
    const isWhole = written === 0 && slotOf(counters.record, slot).damaged === null;
    if (this.#step.do === "repair" && isWhole)
      return { outcome: "passed", slot, reason: `image ${version} is whole in slot ${slot}: there is nothing to repair` };
    this.#told.installed = { version, imageId, source: found.name, place: found.place };
    counters.change(armInstalled(counters.record, step, this.#policy));
    return { outcome: "booted", slot, reason: doneText(step, found, written) };
  }

  /** Whether the record does not know yet that this image is being put there. */
  #isNews({ rung, slot, imageId }: TriedStep): boolean {
    const last = recoveryOf(this.#desk.counters.record).tried.at(-1);
    return last === undefined || last.rung !== rung || last.slot !== slot || last.imageId !== imageId;
  }
}

/** Whether it is the slot that an image cannot be put into, whatever the image is. */
function isOfTarget(error: Error): boolean {
  return (
    error instanceof WriteFailed ||
    error instanceof BadMedium ||
    error instanceof DeviceFailure ||
    error instanceof Refusal ||
    error instanceof KernelError
  );
}

function doneText({ rung, slot }: TriedStep, found: FoundImage, written: number): string {
  const { version } = found.seal.manifest;
  if (written === 0) return `slot ${slot} holds image ${version} whole, nothing was to be written`;
  return `image ${version} was ${rung === "repair" ? "repaired" : "written"} in slot ${slot} from ${found.name}, ${written} bytes`;
}

function writtenBytes({ changed, zero, target, donors, source }: Converged): number {
  const blocks = zero + target + source + donors.reduce((sum, count) => sum + count, 0);
  return changed ? blocks * BLOCK : 0;
}
