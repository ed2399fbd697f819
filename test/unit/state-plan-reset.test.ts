import { test } from "uvu";
import * as assert from "uvu/assert";
import { Refusal } from "../../state-ops/outcome.ts";
import { planReset, type ResetOrder } from "../../state-ops/plan-reset.ts";
import { NO_REQUESTS, type StateRequests } from "../../state-ops/requests.ts";
import { sampleOperator } from "../samples/operator.ts";

const operators = [
  sampleOperator("/etc", { via: "overlay" }),
  sampleOperator("/etc/alias", { via: "symlink", target: "/var/alias" }),
  sampleOperator("/etc/machine-id", { state: "identity", seed: "none", kind: "file" }),
  sampleOperator("/etc/secret", { state: null, via: "mask" }),
  sampleOperator("/home", { state: "shared", reason: "people" }),
  sampleOperator("/var/tmp", { state: "ephemeral", via: "tmpfs" }),
  sampleOperator("/var/tmp/kept", {}),
];
const carry = { slot: "b", generation: 3 };
const stores = (...ids: string[]): StateRequests => ({ ...NO_REQUESTS, reset: { what: "stores", ids } });
const factory = (identity: boolean): StateRequests => ({ ...NO_REQUESTS, reset: { what: "factory", identity } });
const at = (path: string, identity = false): ResetOrder => ({ path, identity });
const all = (identity = false): ResetOrder => ({ factory: true, identity });

const planned: {
  what: string;
  order: ResetOrder;
  pending?: StateRequests;
  asks: StateRequests["reset"];
  lost: string[];
  kept: string[];
  notes: RegExp;
}[] = [
  {
    what: "an operator and those below it, identity kept",
    order: at("/etc"),
    asks: { what: "stores", ids: ["etc"] },
    lost: ["/etc"],
    kept: ["/etc/machine-id"],
    notes: /^$/,
  },
  {
    what: "identity along with what is around it",
    order: at("/etc", true),
    asks: { what: "stores", ids: ["etc", "etc-machine-id"] },
    lost: ["/etc", "/etc/machine-id"],
    kept: [],
    notes: /^$/,
  },
  {
    what: "identity that is named",
    order: at("/etc/machine-id", true),
    asks: { what: "stores", ids: ["etc-machine-id"] },
    lost: ["/etc/machine-id"],
    kept: [],
    notes: /^$/,
  },
  {
    what: "a path inside of an operator: all of it",
    order: at("/home/ada/notes"),
    asks: { what: "stores", ids: ["home"] },
    lost: ["/home"],
    kept: [],
    notes: /\/home\/ada\/notes lies in \/home, which begins anew as a whole/,
  },
  {
    what: "on top of another",
    order: at("/home"),
    pending: stores("etc", "zoo"),
    asks: { what: "stores", ids: ["etc", "home", "zoo"] },
    lost: ["/home"],
    kept: [],
    notes: /^$/,
  },
  {
    what: "what is asked for already",
    order: at("/home"),
    pending: stores("home"),
    asks: { what: "stores", ids: ["home"] },
    lost: ["/home"],
    kept: [],
    notes: /^$/,
  },
  {
    what: "within a factory reset",
    order: at("/home"),
    pending: factory(false),
    asks: { what: "factory", identity: false },
    lost: ["/home"],
    kept: [],
    notes: /pending already/,
  },
  {
    what: "everything",
    order: all(),
    asks: { what: "factory", identity: false },
    lost: ["/etc", "/home", "/var/tmp/kept"],
    kept: ["/etc/machine-id"],
    notes: /every slot is lost/,
  },
  {
    what: "everything and identity",
    order: all(true),
    asks: { what: "factory", identity: true },
    lost: ["/etc", "/etc/machine-id", "/home", "/var/tmp/kept"],
    kept: [],
    notes: /every slot/,
  },
  {
    what: "everything, after some of it",
    order: all(),
    pending: stores("etc"),
    asks: { what: "factory", identity: false },
    lost: ["/etc", "/home", "/var/tmp/kept"],
    kept: ["/etc/machine-id"],
    notes: /every slot/,
  },
  {
    what: "everything, after everything and identity",
    order: all(),
    pending: factory(true),
    asks: { what: "factory", identity: true },
    lost: ["/etc", "/etc/machine-id", "/home", "/var/tmp/kept"],
    kept: [],
    notes: /asked for before, and stays so/,
  },
];

for (const { what, order, pending = NO_REQUESTS, asks, lost, kept, notes } of planned) {
  test(`a reset of ${what}`, () => {
    const plan = planReset(operators, order, { ...pending, carry });
    assert.equal(plan.requests, { schema: 1, reset: asks, carry }, "and what else was asked stays");
    assert.equal(
      plan.lost.map(({ path }) => path),
      lost,
    );
    assert.equal(
      plan.kept.map(({ path }) => path),
      kept,
    );
    assert.match(plan.notes.join("; "), notes);
  });
}

const refused: { what: string; order: ResetOrder; pending?: StateRequests; words: RegExp }[] = [
  { what: "the image's own", order: at("/usr/lib"), words: /nothing is kept at \/usr\/lib: .*slipway state explain \/usr\/lib/ },
  { what: "what is masked", order: at("/etc/secret/x"), words: /cannot be written/ },
  {
    what: "memory, naming what is kept below it",
    order: at("/var/tmp/x"),
    words: /\/var\/tmp is ephemeral.*kept below it are \/var\/tmp\/kept/,
  },
  { what: "a link, naming its target", order: at("/etc/alias"), words: /a link to \/var\/alias; reset \/var\/alias instead/ },
  {
    what: "identity that is not named",
    order: at("/etc/machine-id"),
    words: /is identity \(app\/state\.yaml:3\), .*--identity \/etc\/machine-id/,
  },
  {
    what: "identity while a factory reset keeps it",
    order: at("/etc", true),
    pending: factory(false),
    words: /--factory --identity.*--cancel/,
  },
];

for (const { what, order, pending = NO_REQUESTS, words } of refused) {
  test(`no reset of ${what}`, () => {
    assert.throws(
      () => planReset(operators, order, pending),
      (error: unknown) => error instanceof Refusal && words.test(error.message),
    );
  });
}

test.run();
