/**
 * Loaders that give all slots their boots back once none has any, as RAUC's script for U-Boot and U-Boot's bootmeth_rauc do: with
 * images that never come up PID 1 has to come to an end of it all the same.
 */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import { followLoader, meetLoader } from "../../boot/selection/follow.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { commitSlot } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { mergeStore } from "../../boot/stores/merge.ts";
import { projectRecord } from "../../boot/stores/project.ts";
import type { StoreView } from "../../boot/stores/view.ts";
import { type MemoryStore, STORE_KINDS, type StoreKind, traitsOfKind } from "../samples/loader-store.ts";

const NONCE = "0123456789abcdef";
const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };
const slots = policy.slots.map((name) => ({ name, bootname: name.toUpperCase() }));
const imageOf = (name: SlotName) => (name === "a" ? "1" : "2").repeat(64);

function tried(record: BootRecord, name: SlotName): BootRecord {
  return reachHandover(identifyImage(countTry(record, name), name, imageOf(name), policy).record);
}

class Machine {
  readonly #store: MemoryStore;
  readonly #rules;
  record = freshRecord(policy);
  #base: StoreView | null = null;

  constructor(kind: StoreKind, committed: readonly SlotName[]) {
    this.#store = kind.make(slots);
    this.#rules = { policy, chooser: "loader", traits: traitsOfKind(kind) } as const;
    for (const name of committed) this.record = commitSlot(tried(this.record, name), name, imageOf(name), policy, 1);
    this.#write(this.record);
  }

  #write(record: BootRecord): void {
    this.#store.write(projectRecord(record, NONCE, this.#base === null ? null : this.#store.view(), this.#rules));
    this.record = record;
    this.#base = this.#store.view();
  }

  /** What the loader starts; with nothing left those that it may start get their boots back, or all where it may start none. */
  #start(): SlotName | null {
    if (this.#store.first() === null) {
      const able = slots.filter(({ name }) => (this.#store.view()?.slots[name]?.priority ?? 0) > 0);
      for (const { bootname } of able.length > 0 ? able : slots) this.#store.tool("markGood", bootname);
    }
    const started = this.#store.start();
    return slots.find(({ bootname }) => bootname === started)?.name ?? null;
  }

  /** A boot whose system hangs, or which never comes as far as PID 1. True: it recovers. */
  boot(diesEarly: boolean): boolean {
    const named = this.#start();
    const seen = this.#store.view();
    if (diesEarly || seen === null || this.#base === null) return false;
    const merged = mergeStore(this.record, this.#base, seen, { ...this.#rules, unixMs: 1, started: named });
    const record = meetLoader(beginBoot(merged.record, policy).record, named, policy);
    const facts = { word: null, named, failed: new Map(), recordWritable: true, lastReasons: new Map() };
    const { slot, leaves } = followLoader(record, facts, policy, "valid");
    if (slot === null && leaves === null) return true;
    const counted = slot === null ? record : countTry(record, slot);
    this.#write(counted);
    if (slot !== null) this.#write(reachHandover(identifyImage(counted, slot, imageOf(slot), policy).record));
    return false;
  }
}

for (const kind of STORE_KINDS.filter((candidate) => traitsOfKind(candidate).countsGood)) {
  for (const committed of [[], ["b"], ["b", "a"]]) {
    test(`${kind.name}, ${committed.length} slots committed: it recovers, and nobody's image is committed`, () => {
      // Three in a row are a slot's all: what follows is as if the one before had been called good, and the power had gone then.
      const dies = fc
        .array(fc.constantFrom([false], [true, false], [true, true, false]), { maxLength: 12 })
        .map((parts) => parts.flat());
      const machine = () => new Machine(kind, committed);
      fc.assert(
        fc.property(dies, (early) => {
          const life = machine();
          let boots = 0;
          while (!life.boot(early[boots] ?? false)) {
            boots += 1;
            assert.ok(boots < 80, "it never recovers");
            for (const name of policy.slots) {
              assert.is(slotOf(life.record, name).state === "committed", committed.includes(name), `slot ${name}`);
            }
          }
        }),
        { numRuns: 300, includeErrorInReport: true },
      );
    });
  }
}

test.run();
