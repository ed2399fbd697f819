/** Random lives of machines with two and three slots: promises P4 and P5 for the generations of their state. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { committedGenerationNumber, NO_ORDERS, ownPointer } from "../../state-ops/generation-facts.ts";
import { suspectedGeneration } from "../../state-ops/generation-wish.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { randomNumbers } from "../samples/random.ts";
import { type Content, GenerationsWorld } from "./generations-world.ts";

/** What happened in one life, to see that all of it does happen. */
type Counts = Record<string, number>;

class Life {
  readonly world: GenerationsWorld;
  readonly #random: () => number;
  readonly #counts: Counts;
  /** By slot and image, once that was committed: what its state held when its system ended. */
  readonly #left = new Map<string, Content>();
  /** Generations that a rollback left, until their slot boots again. */
  readonly #leftBehind = new Set<number>();
  /** What recoveries set aside, and what it held, until its slot boots with it again. */
  readonly #setAside = new Map<number, Content>();
  /** The system that runs has a state that a recovery made, and was not committed. */
  #onlyTried = false;
  #images = 0;
  #writes = 0;

  constructor(names: string[], seed: number, counts: Counts) {
    this.world = new GenerationsWorld(names);
    this.#random = randomNumbers(seed);
    this.#counts = counts;
    for (const name of names) this.world.slots[name] = { imageId: `image-${this.#images++}`, committed: false };
    this.#boot(names[0] ?? "");
    this.world.commit();
    this.#end("clean");
  }

  #pick<Value>(values: readonly Value[]): Value {
    const value = values[Math.floor(this.#random() * values.length)];
    if (value === undefined) throw new Error("nothing to pick from");
    return value;
  }

  #did(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }

  #key(slot: string): string {
    return `${slot} ${this.world.slots[slot]?.imageId}`;
  }

  #committedContent(): Content | null {
    const { pointers, generations, lastCommitted, contents } = this.world;
    const number = committedGenerationNumber({ pointers, generations, committed: lastCommitted });
    return number === null ? null : (contents.get(number) ?? null);
  }

  /**
   * Boots, after up to two power cuts on the way, and checks what the system is given. P5: a committed slot finds what it
   * left; a try that does not follow on a clean end what is committed.
   */
  #boot(slot: string): void {
    const { world } = this;
    const { factory, without, carry } = world.orders;
    const carried = carry === null ? undefined : world.contents.get(carry);
    const hadCarried = world.generations.some(({ number }) => number === carry);
    let before = this.#committedContent();
    let booted: ReturnType<GenerationsWorld["boot"]> = null;
    for (let cuts = 0; booted === null; cuts++) {
      before = this.#committedContent();
      booted = world.boot(slot, cuts < 2 && this.#random() < 0.3 ? Math.floor(this.#random() * 4) : undefined);
      if (booted !== null) break;
      this.#did("power cut in a boot");
      this.#check();
    }
    const { plan, facts } = booted;
    const expected = facts.trial ? (facts.previousEnd === "clean" ? null : before) : (this.#left.get(this.#key(slot)) ?? null);
    if (plan.do === "continue") {
      this.#leftBehind.delete(plan.generation);
      this.#setAside.delete(plan.generation);
    }
    if (factory) {
      this.#leftBehind.clear();
      this.#setAside.clear();
      this.#did("factory reset");
      assert.equal(world.state(), {});
      this.#left.clear();
    } else if (carry !== null && hadCarried && without.length === 0) {
      this.#did("carry");
      assert.equal(world.state(), carried);
    } else if (without.length > 0) {
      this.#did("reset of a store");
      assert.ok(without.every((id) => !(id in world.state())));
    } else if (expected !== null) {
      this.#did(facts.trial ? "first try of a trial" : "committed slot again");
      assert.equal(world.state(), expected, `attempt ${world.attempt} of ${slot}: ${plan.why}`);
    }
    assert.ok(plan.reason === null || /has no generation|had no pointer/.test(plan.reason), plan.reason ?? "");
  }

  #end(how: "clean" | "unclean"): void {
    const { world } = this;
    const slot = world.running;
    if (slot !== null && world.slots[slot]?.committed && !this.#onlyTried) this.#left.set(this.#key(slot), world.state());
    world.end(how);
    this.#onlyTried = false;
  }

  /**
   * No slot boots, or somebody asks: a slot is booted with another state than its own, up to three times, and committed or not. P6:
   * what it is given is what was wished, and what it does without stays as it is.
   */
  #recover(slot: string): void {
    const { world } = this;
    const wish = this.#pick(["previous", "fresh"] as const);
    world.wish = wish;
    if (this.#random() < 0.2) world.orders = { factory: false, without: [this.#pick(["var", "etc"])], carry: null };
    if (this.#random() < 0.2) world.orders = { ...NO_ORDERS, carry: this.#pick(world.generations).number };
    const suspected = suspectedGeneration(world.facts(slot))?.number ?? null;
    if (suspected !== null) this.#setAside.set(suspected, world.contents.get(suspected) ?? {});
    let before: Content | null = null;
    let isCommitted = false;
    world.isFirstTry = true;
    for (let tries = 1 + Math.floor(this.#random() * 3); tries > 0 && !isCommitted; tries--) {
      const contents = new Map(world.contents);
      let booted: ReturnType<GenerationsWorld["boot"]> = null;
      try {
        while (booted === null) booted = world.boot(slot, this.#random() < 0.3 ? Math.floor(this.#random() * 4) : undefined);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.#did("nothing from before");
        if (suspected !== null) this.#setAside.delete(suspected);
        break;
      }
      this.#onlyTried = true;
      const { plan, facts } = booted;
      const without = facts.orders.without;
      const kept = (content: Content) => Object.fromEntries(Object.entries(content).filter(([id]) => !without.includes(id)));
      this.#did(`${wish}: ${plan.do}`);
      if (facts.previousEnd === "clean") assert.equal(world.state(), kept(before ?? {}), "a try goes on");
      else if (wish === "fresh") assert.equal(world.state(), {}, "the image's own content");
      else if (plan.do === "clone") {
        assert.is.not(plan.from, suspected, "back to what is under suspicion");
        assert.equal(world.state(), kept(contents.get(plan.from) ?? {}));
      } else assert.unreachable(`goes on after an end that was ${facts.previousEnd}`);
      this.#check();
      for (const id of ["var", "etc"]) if (this.#random() < 0.6) world.write(id, `${++this.#writes}`);
      isCommitted = this.#random() < 0.4;
      if (isCommitted) {
        world.commit();
        this.#onlyTried = false;
        this.#did(`${wish}: committed`);
      }
      before = world.state();
      this.#end(this.#random() < 0.5 ? "clean" : "unclean");
    }
    world.wish = "ordinary";
    world.isFirstTry = false;
    world.orders = NO_ORDERS;
    this.#check();
  }

  /** One thing that happens to a machine, then its end. */
  step(): void {
    const { world } = this;
    const committed = world.names.filter((name) => world.slots[name]?.committed);
    const running = world.lastCommitted?.slot ?? committed[0] ?? "";
    const others = world.names.filter((name) => name !== running);
    const event = this.#pick([
      "use",
      "use",
      "update",
      "update",
      "failed update",
      "rollback",
      "gc",
      "full",
      "reset",
      "factory",
      "carry",
      "recovery",
      "recovery of a trial",
    ]);
    switch (event) {
      case "update":
      case "failed update": {
        const slot = this.#pick(others);
        world.slots[slot] = { imageId: `image-${this.#images++}`, committed: false };
        const tries = event === "update" ? 1 + Math.floor(this.#random() * 2) : 3;
        for (let left = tries; left > 0; left--) {
          this.#use(slot, event === "update" && left === 1);
        }
        if (event === "failed update") this.#use(running, true);
        break;
      }
      case "rollback": {
        const slot = committed.find((name) => name !== running);
        if (slot !== undefined) {
          this.#did("rollback");
          const { pointers, generations, lastCommitted } = world;
          const left = ownPointer({ pointers, generations, committed: lastCommitted }, running);
          this.#use(slot, true);
          if (left !== null) this.#leftBehind.add(left);
        }
        break;
      }
      case "gc":
      case "full":
        world.collect(event === "full");
        this.#did(event);
        break;
      case "reset":
        world.orders = { factory: false, without: [this.#pick(["var", "etc"])], carry: null };
        this.#use(running, true);
        break;
      case "factory":
        if (this.#random() < 0.2) {
          world.orders = { factory: true, without: [], carry: null };
          this.#use(running, true);
        }
        break;
      case "carry": {
        const slot = committed.find((name) => name !== running);
        const number = world.pointers[running] ?? null;
        if (slot !== undefined && number !== null) {
          world.orders = { factory: false, without: [], carry: number };
          this.#use(slot, true);
        }
        break;
      }
      case "recovery":
        this.#recover(running);
        break;
      case "recovery of a trial": {
        const slot = this.#pick(others);
        world.slots[slot] = { imageId: `image-${this.#images++}`, committed: false };
        this.#recover(slot);
        if (!world.slots[slot]?.committed) this.#use(running, true);
        break;
      }
      default:
        this.#use(running, true);
    }
    this.#check();
  }

  #use(slot: string, commits: boolean): void {
    this.#boot(slot);
    if (commits) this.world.commit();
    for (const id of ["var", "etc"]) if (this.#random() < 0.6) this.world.write(id, `${++this.#writes}`);
    this.#end(this.#random() < 0.7 ? "clean" : "unclean");
    this.#check();
  }

  /** What holds whenever the power fails. */
  #check(): void {
    const { generations, pointers, lastCommitted, names, slots, contents } = this.world;
    const numbers = new Set(generations.map(({ number }) => number));
    const pinned = generations.filter((entry) => entry.pinned !== null).length;
    if (!this.world.orders.factory) {
      for (const number of this.#leftBehind) assert.ok(numbers.has(number), `generation ${number}, left by a rollback, vanished`);
    }
    for (const [number, content] of this.world.orders.factory ? [] : this.#setAside) {
      assert.ok(numbers.has(number), `generation ${number}, which a recovery set aside, vanished`);
      assert.equal(contents.get(number), content, `generation ${number}, which a recovery set aside, changed`);
    }
    for (const [key, content] of this.#left) {
      const [slot = "", imageId] = key.split(" ");
      if (slots[slot]?.imageId !== imageId || pointers[slot] === null) continue;
      assert.ok(numbers.has(pointers[slot] ?? 0), `slot ${slot} points at ${pointers[slot]}, which is gone`);
      if (key === `${lastCommitted?.slot} ${lastCommitted?.imageId}` && this.world.running === null) {
        const committed = committedGenerationNumber({ pointers, generations, committed: lastCommitted });
        assert.ok(committed !== null || this.world.orders.factory, "the committed generation vanished");
        if (this.world.orders === NO_ORDERS) {
          assert.equal(contents.get(committed ?? 0), content, "the committed state changed while it did not run");
        }
      }
    }
    const unused = generations.filter(({ number, pinned: pin }) => pin === null && !Object.values(pointers).includes(number));
    const trials = names.filter((name) => !slots[name]?.committed);
    const ofTrial = (name: string) =>
      unused.filter(({ meta }) => meta?.slot === name && meta.imageId === slots[name]?.imageId).length;
    const tries = Math.max(0, ...trials.map(ofTrial));
    assert.ok(tries <= 3, `${tries} tries of one trial fill the disk (${pinned} pinned)`);
    const made = unused.filter(({ standIn }) => standIn !== undefined);
    const ofOne = names.map((name) => made.filter(({ meta }) => meta?.slot === name && meta.imageId === slots[name]?.imageId));
    assert.ok(
      ofOne.every((list) => list.length <= 2),
      "what recoveries tried fills the disk",
    );
  }

  /** After a collection few are left of what nobody asked to keep. */
  bound(): void {
    this.world.collect(false);
    const { generations, names } = this.world;
    const free = generations.filter((entry) => entry.pinned === null).length;
    assert.ok(free <= names.length + 3, `${free} generations of ${names.length} slots after a collection`);
    this.world.collect(true);
    const least = this.world.generations.filter((entry) => entry.pinned === null).length;
    assert.ok(least <= names.length + 1, `${least} generations of ${names.length} slots under pressure`);
  }
}

const lives = 1500;

for (const names of [
  ["a", "b"],
  ["a", "b", "c"],
]) {
  test(`${names.length} slots, ${lives} random lives`, () => {
    const counts: Counts = {};
    for (let seed = 0; seed < lives; seed++) {
      const life = new Life(names, seed, counts);
      try {
        for (let step = 0; step < 25; step++) life.step();
        life.bound();
      } catch (error) {
        throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`);
      }
    }
    for (const what of [
      "power cut in a boot",
      "factory reset",
      "carry",
      "reset of a store",
      "first try of a trial",
      "rollback",
      "fresh: create",
      "fresh: continue",
      "fresh: committed",
      "previous: clone",
      "previous: continue",
      "previous: committed",
      "nothing from before",
    ]) {
      assert.ok((counts[what] ?? 0) > lives / 5, `${what} happened ${counts[what]} times`);
    }
    console.log(JSON.stringify(counts));
  });
}

test.run();
