/** The boot record beside a bootloader's store of which nothing can be made: PID 1 goes on with the record, a command says so. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import type { StoreReading, StoreView } from "../../boot/stores/view.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import type { RecordKeeper } from "../../init/store/boot-record.ts";
import type { LoaderStore } from "../../init/store/loader-store/loader-store.ts";
import { MirroredRecord } from "../../init/store/loader-store/mirrored-record.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };
const fresh = freshRecord(policy);
const good = { priority: 1, tries: 3, good: null };
const view: StoreView = { slots: { a: { ...good, priority: 2 }, b: good }, nonce: null };

class MemoryKeeper implements RecordKeeper {
  record: BootRecord = fresh;
  readonly path = null;
  readonly writable = true;
  readonly unwritableReason = null;
  readRecord() {
    return { condition: "valid", record: this.record, sequence: 1, nextCopy: 0, reason: null } as const;
  }
  read() {
    return { record: this.readRecord(), journal: [] };
  }
  write(record: BootRecord) {
    this.record = record;
    return { written: true } as const;
  }
  appendJournal() {
    return { written: true } as const;
  }
  updateJournal() {
    return { written: true } as const;
  }
  close() {}
}

type Step = "read" | "foresee" | "write";

class FaultyStore implements LoaderStore {
  readonly kind = "grubenv";
  readonly place = "nowhere";
  readonly #fault: () => never;
  readonly #at: Step;
  constructor(at: Step, error: Error) {
    this.#at = at;
    this.#fault = () => {
      throw error;
    };
  }
  read(): StoreReading {
    return this.#at === "read" ? this.#fault() : { condition: "valid", view, reason: null };
  }
  foresee(wanted: StoreView): StoreView {
    return this.#at === "foresee" ? this.#fault() : wanted;
  }
  write() {
    return this.#at === "write" ? this.#fault() : ({ written: true } as const);
  }
  raw() {
    return [];
  }
}

function opened(at: Step, error: Error, isPid1: boolean) {
  const keeper = new MemoryKeeper();
  const warnings: string[] = [];
  const traits = { mostTries: 3, countsGood: true, hasNonce: true };
  const rules = { policy, chooser: "loader", traits, store: "grubenv-0", ...(isPid1 ? { started: "a" } : {}) } as const;
  const reached = { store: new FaultyStore(at, error), missing: null };
  const record = new MirroredRecord(new RecordingKernel({}), keeper, reached, rules, (warning) => warnings.push(warning));
  return { keeper, warnings, record };
}

const changed = { ...fresh, uncleanEnds: 7 };

for (const at of ["read", "foresee", "write"] as const) {
  for (const error of [new RangeError("too small"), new TypeError("undefined is no view"), new BadInput("no slot")]) {
    test(`${error.constructor.name} to ${at}: PID 1 counts in the record, and tells`, () => {
      const { keeper, warnings, record } = opened(at, error, true);
      assert.equal(record.read().record.record, fresh);
      assert.equal(record.write(changed), { written: true });
      assert.is(keeper.record.uncleanEnds, 7);
      assert.match(`${record.reading.reason} ${warnings.join()}`, new RegExp(`an error of slipway's own: ${error.message}`));
    });

    test(`${error.constructor.name} to ${at}: a command fails with it`, () => {
      const { record } = opened(at, error, false);
      assert.throws(
        () => {
          record.read();
          record.write(changed);
        },
        (thrown: unknown) => thrown === error,
      );
    });
  }
}

test.run();
