/**
 * Random lives of a machine whose bootloader has a store of its own: slipway's operations, the loader's counting, RAUC's tools,
 * installs by either, and power cuts before, between and after the writes of store and record.
 */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import { giveUp } from "../../boot/selection/give-up.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { activate, commitSlot, endCleanly, markBad, rollBack, withdraw } from "../../boot/selection/running.ts";
import { selectSlot } from "../../boot/selection/select.ts";
import { notBootable, slotOf } from "../../boot/selection/slots.ts";
import { type MergeFacts, mergeStore } from "../../boot/stores/merge.ts";
import { projectRecord } from "../../boot/stores/project.ts";
import type { StoreView } from "../../boot/stores/view.ts";
import { isStoreFirst, sameView } from "../../boot/stores/write-order.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type MemoryStore, STORE_KINDS, type StoreKind, type Tool, traitsOfKind } from "../samples/loader-store.ts";

const long = process.env.SLIPWAY_TIER === "long";

const NONCE = "0123456789abcdef";

interface Case {
  kind: StoreKind;
  chooser: "slipway" | "loader";
  tries: Policy["tries"];
  slots: string[];
}

/** Where the power goes in a write of both. */
type Cut = "never" | "first" | "between" | "last";

class PowerCut extends Error {}

class Machine {
  readonly #case: Case;
  readonly policy: Policy;
  readonly slots: { name: string; bootname: string }[];
  readonly #store: MemoryStore;
  onDisk: { record: BootRecord; base: StoreView | null };
  /** What is in the slots. */
  readonly content: Map<SlotName, string>;
  /** Slot and image of which somebody said that they are good, while they ran. */
  readonly good = new Set<string>();
  /** In the running system: the slot; null while it is off. */
  running: SlotName | null = null;
  cut: Cut = "never";
  #images = 0;
  #unixMs = 1;

  constructor(of: Case) {
    this.#case = of;
    this.policy = { slots: of.slots, tries: of.tries, trust: { mode: "unsigned" } };
    this.slots = of.slots.map((name) => ({ name, bootname: name.toUpperCase() }));
    this.#store = of.kind.make(this.slots);
    this.onDisk = { record: freshRecord(this.policy), base: null };
    this.content = new Map(of.slots.map((name) => [name, this.#newImage()]));
    this.sync(this.onDisk.record);
  }

  #newImage(): string {
    this.#images += 1;
    return this.#images.toString(16).padStart(64, "0");
  }

  facts(started?: SlotName | null): MergeFacts {
    const { chooser, kind } = this.#case;
    const facts = { policy: this.policy, chooser, traits: traitsOfKind(kind), unixMs: this.#unixMs };
    return started === undefined ? facts : { ...facts, started };
  }

  seen(): StoreView | null {
    return this.#store.view();
  }

  /** The record as it is taken up: what others changed is in it. */
  read(started?: SlotName | null): BootRecord {
    this.#unixMs += 1;
    const { record, base } = this.onDisk;
    const seen = this.seen();
    if (base === null || seen === null) return record;
    const facts = this.facts(started);
    const { record: merged } = mergeStore(record, base, seen, facts);
    this.#checkMerge(record, merged, started);
    return merged;
  }

  #checkMerge(before: BootRecord, after: BootRecord, started: SlotName | null | undefined): void {
    for (const name of this.policy.slots) {
      const [was, is] = [slotOf(before, name), slotOf(after, name)];
      assert.ok(was.state !== "committed" || is.state === "committed", `merging took the commit of slot ${name} away`);
      if (is.state === "committed" && was.state !== "committed") this.checkCommitted(after, name);
      assert.ok(is.tries <= this.policy.tries[is.state === "committed" ? "committed" : "trial"]);
    }
    if (started !== undefined && this.#onlyCounted) {
      for (const name of this.policy.slots) {
        assert.ok(slotOf(after, name).tries <= slotOf(before, name).tries, `counting gave slot ${name} tries`);
      }
    }
  }

  /** Since the last write of both nothing but the loader's count changed anything. */
  #onlyCounted = false;

  checkCommitted(record: BootRecord, name: SlotName): void {
    const { imageId } = slotOf(record, name);
    assert.ok(imageId !== null && this.good.has(`${name} ${imageId}`), `slot ${name} is committed, and nobody said so`);
  }

  /** Writes both as init/store/loader-store does. Throws PowerCut where the power goes. */
  sync(record: BootRecord, base: StoreView | null = this.onDisk.base): void {
    const seen = this.seen();
    const view = projectRecord(record, NONCE, base === null ? null : seen, this.facts());
    const foreseen = this.#store.foresee(view);
    // Attributes that give up all slots are zeros, as those that nobody wrote.
    const next = Object.keys(foreseen.slots).length === 0 ? view : foreseen;
    const writeStore = () => this.#store.write(view);
    const writeRecord = () => {
      this.onDisk = { record, base: next };
    };
    const order = isStoreFirst(this.onDisk, record, next, this.facts()) ? [writeStore, writeRecord] : [writeRecord, writeStore];
    const at = { never: 9, first: 0, between: 1, last: 2 }[this.cut];
    this.cut = "never";
    this.#onlyCounted = false;
    for (const [index, write] of [...order, () => {}].entries()) {
      if (index === at) throw new PowerCut();
      write();
    }
    this.#onlyCounted = true;
    this.checkSettled(record);
  }

  /** What was written says nothing new when it is read, and is written once. */
  checkSettled(record: BootRecord): void {
    const { base } = this.onDisk;
    const seen = this.seen();
    assert.ok(base !== null);
    if (seen === null) {
      assert.ok(Object.values(base.slots).every(({ priority }) => priority === 0));
      return;
    }
    assert.ok(sameView(base, seen), this.#store.text());
    const { record: again, changes } = mergeStore(record, seen, seen, this.facts(null));
    assert.is(again, record);
    assert.equal(changes, []);
    const twice = this.#store.foresee(projectRecord(record, NONCE, seen, this.facts()));
    assert.equal(twice, seen, "it would be written again at the next boot");
    if (
      this.#case.chooser === "loader" &&
      this.policy.slots.some((name) => notBootable(record, name, this.policy.trust) === null)
    ) {
      assert.is.not(this.#store.first(), null, `the loader starts nothing: ${this.#store.text()}`);
    }
  }

  /** A boot as far as the running system, or as where the power goes. */
  boot(diesEarly: boolean): void {
    this.running = null;
    const counts = this.#case.chooser === "loader";
    const started = counts ? this.#store.start() : null;
    if (diesEarly) return;
    const named = this.slots.find(({ bootname }) => bootname === started)?.name ?? null;
    const read = this.read(counts ? named : null);
    let { record } = beginBoot(read, this.policy);
    const base = this.onDisk.base === null ? null : this.seen();
    const facts = { preferred: counts ? named : null, failed: new Map(), recordWritable: true };
    const { slot } = selectSlot(record, facts, this.policy);
    if (slot === null) {
      // A fall-back that is known to nobody: one that is tried for ever.
      this.sync(giveUp(record, this.policy).record, base);
      return;
    }
    record = countTry(record, slot);
    this.sync(record, base);
    record = identifyImage(record, slot, this.content.get(slot) ?? "", this.policy).record;
    this.sync(record);
    this.sync(reachHandover(record));
    this.running = slot;
  }

  /** A change by slipway's commands. */
  change(change: (record: BootRecord, running: SlotName) => BootRecord): void {
    if (this.running === null) return;
    const record = this.read();
    let next: BootRecord;
    try {
      next = change(record, this.running);
    } catch (error) {
      if (error instanceof Refusal) return;
      throw error;
    }
    this.sync(next, this.onDisk.base === null ? null : this.seen());
  }

  isGood(name: SlotName): void {
    this.good.add(`${name} ${this.content.get(name)}`);
  }

  other(): SlotName {
    return this.policy.slots.find((name) => name !== this.running) ?? "";
  }

  rauc(what: Tool, name: SlotName): void {
    this.#onlyCounted = false;
    this.#store.tool(what, name.toUpperCase());
  }

  newContent(name: SlotName): void {
    this.content.set(name, this.#newImage());
  }
}

const steps = [
  "boot",
  "boot",
  "early crash",
  "commit",
  "commit",
  "end cleanly",
  "install",
  "rollback",
  "mark bad",
  "rauc mark-good booted",
  "rauc mark-good booted",
  "rauc mark-bad booted",
  "rauc mark-bad other",
  "rauc mark-good other",
  "rauc mark-active other",
  "rauc mark-active booted",
  "rauc install",
] as const;

function step(machine: Machine, what: (typeof steps)[number]): void {
  const { policy, running } = machine;
  if (what === "boot" || what === "early crash") {
    machine.boot(what === "early crash");
    return;
  }
  if (running === null) return;
  const image = () => machine.content.get(running) ?? "";
  switch (what) {
    case "commit":
      machine.isGood(running);
      machine.change((record, slot) => commitSlot(record, slot, image(), policy, 1));
      return;
    case "end cleanly":
      machine.change((record) => endCleanly(record, policy, { credit: true, unixMs: 1 }));
      machine.running = null;
      return;
    case "rollback":
      machine.change((record, slot) => rollBack(record, slot, policy, "asked for").record);
      return;
    case "mark bad":
      machine.change((record) => markBad(record, machine.other(), "asked for", policy));
      return;
    case "install": {
      const target = machine.other();
      let isWithdrawn = false;
      machine.change((record, slot) => {
        const withdrawn = withdraw(record, target, slot);
        isWithdrawn = true;
        return withdrawn;
      });
      if (!isWithdrawn) return;
      machine.newContent(target);
      machine.change((record, slot) => activate(record, target, machine.content.get(target) ?? "", slot, policy));
      return;
    }
    case "rauc mark-good booted":
      machine.isGood(running);
      machine.rauc("markGood", running);
      return;
    case "rauc mark-bad booted":
      machine.rauc("markBad", running);
      return;
    case "rauc mark-bad other":
      machine.rauc("markBad", machine.other());
      return;
    case "rauc mark-good other":
      machine.rauc("markGood", machine.other());
      return;
    case "rauc mark-active other":
      machine.rauc("markActive", machine.other());
      return;
    case "rauc mark-active booted":
      // It writes what mark-good writes, and the order.
      machine.isGood(running);
      machine.rauc("markActive", running);
      return;
    case "rauc install":
      machine.rauc("markBad", machine.other());
      machine.newContent(machine.other());
      machine.rauc("markActive", machine.other());
      return;
  }
}

const cuts: Cut[] = ["never", "never", "never", "first", "between", "last"];

function live(of: Case, life: readonly { what: (typeof steps)[number]; cut: Cut }[]): void {
  const machine = new Machine(of);
  for (const { what, cut } of life) {
    machine.cut = cut;
    try {
      step(machine, what);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      machine.running = null;
    }
    machine.cut = "never";
    for (const name of of.slots) {
      if (slotOf(machine.onDisk.record, name).state === "committed") machine.checkCommitted(machine.onDisk.record, name);
    }
  }
  // Whatever was done: it comes up again, and what it says settles.
  machine.boot(false);
  if (machine.running === null) machine.boot(false);
  assert.is.not(machine.running, null, "it does not come up again");
}

const life = fc.array(fc.record({ what: fc.constantFrom(...steps), cut: fc.constantFrom(...cuts) }), { maxLength: 24 });

for (const kind of STORE_KINDS) {
  for (const chooser of ["slipway", "loader"] as const) {
    for (const tries of [
      { trial: 3, committed: 10 },
      { trial: 1, committed: 2 },
      { trial: 5, committed: 5 },
    ]) {
      test(`${kind.name}, chooser: ${chooser}, ${tries.trial} and ${tries.committed} tries: any life`, () => {
        const numRuns = long ? 20_000 : 300;
        fc.assert(
          fc.property(life, fc.constantFrom(2, 3), (told, most) =>
            live({ kind, chooser, tries, slots: ["a", "b", "c"].slice(0, most) }, told),
          ),
          { numRuns, includeErrorInReport: true },
        );
      });
    }
  }
}

test.run();
