/** A machine's generations as data: what PID 1 decides is carried out on it one durable step after another. */
import { planCollection } from "../../state-ops/collection.ts";
import { type GenerationFact, type GenerationFacts, type GenerationOrders, NO_ORDERS } from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { planWork } from "../../state-ops/generation-work.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";

/** What the stores of a generation hold, by id. */
export type Content = Readonly<Record<string, string>>;

export interface Slot {
  imageId: string;
  committed: boolean;
}

export class GenerationsWorld {
  pointers: Record<string, number | null>;
  generations: GenerationFact[] = [];
  readonly contents = new Map<number, Content>();
  slots: Record<string, Slot> = {};
  lastCommitted: GenerationFacts["committed"] = null;
  orders: GenerationOrders = NO_ORDERS;
  /** A recovery's step was carried out in the boot that follows: whatever was tried before, this is no further try. */
  isFirstTry = false;
  /** Of the next boots. */
  wish: GenerationFacts["wish"] = "ordinary";
  /** The slot whose system runs; null while the machine is off. */
  running: string | null = null;
  attempt = 0;
  #last: { slot: string; imageId: string; ended: "clean" | "unclean" } | null = null;

  constructor(readonly names: readonly string[]) {
    this.pointers = Object.fromEntries(names.map((name) => [name, null]));
  }

  facts(slot: string): GenerationFacts {
    const { imageId, committed } = this.#slot(slot);
    const ofThis = this.#last?.slot === slot && this.#last.imageId === imageId;
    return {
      ...{
        slot,
        imageId,
        controlDigest: "sha256:c",
        trial: !committed,
        left: null,
        attempt: this.attempt,
        orders: this.orders,
        wish: this.wish,
      },
      ...{ previousEnd: ofThis && !this.isFirstTry ? (this.#last?.ended ?? "none") : "none", committed: this.lastCommitted },
      ...{ pointers: { ...this.pointers }, generations: [...this.generations] },
    };
  }

  /** Boots `slot`; the power fails after `steps` durable steps, or not at all. Returns the plan, null after a power cut. */
  boot(slot: string, steps = Number.POSITIVE_INFINITY): { plan: GenerationPlan; facts: GenerationFacts } | null {
    this.attempt++;
    const facts = this.facts(slot);
    const plan = planGeneration(facts);
    this.isFirstTry = false;
    const all = this.#steps(facts, plan);
    for (const step of all.slice(0, steps)) step();
    const { imageId } = this.#slot(slot);
    this.#last = { slot, imageId, ended: "unclean" };
    if (steps < all.length) return null;
    this.running = slot;
    return { plan, facts };
  }

  #steps(facts: GenerationFacts, plan: GenerationPlan): (() => void)[] {
    const work = planWork(facts, plan);
    const { slot, imageId } = facts;
    const target = plan.do === "continue" ? plan.generation : plan.to;
    const pin = (number: number, pinned: GenerationFact["pinned"]) => () => {
      this.generations = this.generations.map((entry) => (entry.number === number ? { ...entry, pinned } : entry));
    };
    const factory = () => {
      this.pointers = Object.fromEntries(this.names.map((name) => [name, null]));
      this.generations = [];
    };
    const build = () => {
      const parent = plan.do === "clone" ? plan.parent : null;
      const meta = {
        schema: 1 as const,
        number: target,
        parent,
        imageId,
        slot,
        controlDigest: "sha256:c",
        attempt: this.attempt,
      };
      const standIn = plan.do === "continue" ? undefined : plan.standIn;
      this.generations.push({
        number: target,
        complete: true,
        meta,
        pinned: null,
        ...(standIn === undefined ? {} : { standIn }),
      });
      const source = plan.do === "clone" ? (this.contents.get(plan.from) ?? {}) : {};
      const without = plan.do === "clone" ? plan.without : [];
      const kept = Object.entries(source).filter(([id]) => !without.includes(id));
      this.contents.set(target, Object.fromEntries(kept));
    };
    const confirm = (number: number) => () => {
      this.generations = this.generations.map(({ standIn, ...entry }) =>
        standIn === undefined || entry.number === number ? entry : { ...entry, standIn },
      );
    };
    return [
      ...(work.factory ? [factory] : []),
      ...work.confirm.map(confirm),
      ...work.pins.map(({ number, ...words }) => pin(number, { ...words, attempt: this.attempt })),
      ...(plan.do === "continue" ? [] : work.collect.map((number) => () => this.#delete(number))),
      ...(plan.do === "continue" ? [] : [build]),
      () => {
        this.pointers = { ...this.pointers, [slot]: target };
      },
      ...(work.unpin === null ? [] : [pin(work.unpin, null)]),
      () => {
        this.orders = NO_ORDERS;
      },
    ];
  }

  #delete(number: number): void {
    this.generations = this.generations.filter((entry) => entry.number !== number);
  }

  /** What the running system sees. */
  state(): Content {
    const pointer = this.running === null ? null : this.pointers[this.running];
    return this.contents.get(pointer ?? 0) ?? {};
  }

  write(id: string, text: string): void {
    if (this.running === null) return;
    const pointer = this.pointers[this.running] ?? 0;
    this.contents.set(pointer, { ...this.contents.get(pointer), [id]: text });
  }

  commit(): void {
    if (this.running === null) return;
    const slot = this.#slot(this.running);
    slot.committed = true;
    this.lastCommitted = { slot: this.running, imageId: slot.imageId, attempt: this.attempt };
  }

  end(how: "clean" | "unclean"): void {
    this.running = null;
    if (this.#last !== null) this.#last = { ...this.#last, ended: how };
  }

  /** `slipway state gc`; with `spare` also what is kept only until space is needed. */
  collect(spare: boolean): void {
    const { collect, underPressure } = planCollection({
      ...{ pointers: this.pointers, generations: this.generations, committed: this.lastCommitted },
    });
    for (const { number } of [...collect, ...(spare ? underPressure : [])]) this.#delete(number);
  }

  #slot(name: string): Slot {
    const slot = this.slots[name];
    if (slot === undefined) throw new Error(`no slot ${name}`);
    return slot;
  }
}
