import { test } from "uvu";
import * as assert from "uvu/assert";
import { freshRecord } from "../../boot/record/store.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import type { CommittedSeal } from "../../boot/selection/floors.ts";
import { whyBelowFloor } from "../../boot/selection/floors.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { selectSlot } from "../../boot/selection/select.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import type { ControlTrust } from "../../state-ops/control.ts";
import { type LoaderKind, newLoader } from "./model-loader.ts";
import {
  type Content,
  contentOf,
  type Event,
  events,
  type Kind,
  keyOf,
  runningSlot,
  undisturbed,
  type World,
} from "./selection-world.ts";

const long = process.env.SLIPWAY_TIER === "long";

interface Scope {
  slots: string[];
  depth: number;
  kinds: Kind[];
  decays: Kind[];
  /** Of the images; default: they have none, and nobody has to sign. */
  seals?: CommittedSeal[];
  /** A bootloader chooses; default: slipway does. */
  loader?: { kind: LoaderKind; mirrored: boolean };
}

const signed: ControlTrust = { mode: "signed", keys: [], threshold: 1, rollbackFloor: 0, kernelSignature: "ignored" };

function policyFor(slots: string[], trust: ControlTrust): Policy {
  return { slots, tries: { trial: 2, committed: 3 }, trust };
}

/** A flashed machine: a healthy first slot, whatever in the others, no record yet. */
function starts(policy: Policy, kinds: Kind[], seal: CommittedSeal | undefined, loader: Scope["loader"]): World[] {
  return kinds.map((kind) => ({
    ...(loader ? { loader: newLoader(loader.kind, loader.mirrored, policy) } : {}),
    record: freshRecord(policy),
    content: new Map(
      policy.slots.map((slot, index): [string, Content] => [
        slot,
        { kind: index === 0 ? "healthy" : kind, imageId: `${slot}1`, committed: false, ...(seal ? { seal } : {}) },
      ]),
    ),
    running: false,
  }));
}

/** Whether a slot holds an image that can be booted and committed: what is older than all fallbacks or revoked cannot. */
function isHealthy(world: World, policy: Policy): boolean {
  const { record } = beginBoot(world.record, policy);
  return policy.slots.some((slot) => {
    const { kind, seal } = contentOf(world, slot);
    return kind === "healthy" && (seal === undefined || whyBelowFloor(record, seal.rollbackIndex, policy.trust) === null);
  });
}

/** What must hold in every state. */
function checkRecord(world: World, policy: Policy): void {
  const { record } = world;
  const priorities = policy.slots.map((slot) => slotOf(record, slot).priority).sort();
  assert.equal(
    priorities,
    policy.slots.map((_, index) => index + 1),
  );
  for (const name of policy.slots) {
    const slot = slotOf(record, name);
    const content = contentOf(world, name);
    const most = slot.state === "committed" ? policy.tries.committed : policy.tries.trial;
    assert.ok(slot.tries >= 0 && slot.tries <= most, `slot ${name} has ${slot.tries} tries, ${slot.state}`);
    assert.ok(slot.credits <= 3 && (slot.state === "committed" || slot.credits === 0));
    assert.ok(slot.state !== "committed" || slot.imageId !== content.imageId || content.committed, `${name} was never committed`);
  }
  const { slot } = selectSlot(record, { preferred: null, failed: new Map(), recordWritable: false }, policy);
  assert.ok(slot === null || slotOf(record, slot).state === "committed", "a trial was chosen without a record to count in");
}

/** Promise P1: the most boots until a healthy slot runs and is committed; Infinity where that may never happen. */
function boundOf(world: World, policy: Policy, bounds: Map<string, number>): number {
  const key = keyOf(world, policy);
  const known = bounds.get(key);
  if (known !== undefined) return known;
  bounds.set(key, Number.POSITIVE_INFINITY);
  const after = undisturbed(world, policy);
  if (after.length === 0) checkUpdatable(world, policy);
  const most = Math.max(0, ...after.map((next) => boundOf(next, policy, bounds) + (world.running ? 0 : 1)));
  bounds.set(key, most);
  return most;
}

/** A machine that runs well can be updated: some slot takes another image. */
function checkUpdatable(world: World, policy: Policy): void {
  const names = events(world, policy, ["healthy"], []).map(({ name }) => name);
  const running = runningSlot(world);
  const free = policy.slots.filter((slot) => slot !== running && names.includes(`write healthy to ${slot}`));
  assert.ok(
    free.some((slot) => names.includes(`withdraw ${slot}`) && names.includes(`activate ${slot}`)),
    "no slot can be updated",
  );
}

interface Visit {
  world: World;
  event: string;
  from: Visit | null;
}

function story(visit: Visit | null): string {
  const names: string[] = [];
  for (let step = visit; step !== null; step = step.from) names.unshift(step.event);
  return names.join("\n  ");
}

function explore({ slots, depth, kinds, decays, seals, loader }: Scope): {
  visited: number;
  events: number;
  reached: number;
  bound: number;
} {
  const policy = policyFor(slots, seals === undefined ? { mode: "unsigned" } : signed);
  const seen = new Set<string>();
  const bounds = new Map<string, number>();
  let frontier: Visit[] = [];
  let followed = 0;
  let worst = 0;
  const visit = (event: Event, from: Visit | null, next: Visit[]) => {
    const key = keyOf(event.after, policy);
    if (seen.has(key)) return;
    seen.add(key);
    const here = { world: event.after, event: event.name, from };
    try {
      checkRecord(event.after, policy);
      if (isHealthy(event.after, policy)) {
        const bound = boundOf(event.after, policy, bounds);
        assert.ok(Number.isFinite(bound), "a healthy slot is never reached");
        worst = Math.max(worst, bound);
      }
    } catch (error) {
      throw new Error(
        `${error instanceof Error ? error.message : error}\nafter:\n  ${story(here)}\n${JSON.stringify(event.after.record)}`,
      );
    }
    next.push(here);
  };
  for (const world of starts(policy, kinds, seals?.[0], loader)) visit({ name: "flashed", after: world }, null, frontier);
  let level = 0;
  for (; level < depth && frontier.length > 0; level += 1) {
    const next: Visit[] = [];
    for (const from of frontier) {
      const all = events(from.world, policy, kinds, decays, seals);
      assert.ok(all.length > 0, `nothing can follow:\n  ${story(from)}`);
      followed += all.length;
      for (const event of all) visit(event, from, next);
    }
    frontier = next;
  }
  return { visited: seen.size, events: followed, reached: level, bound: worst };
}

function report(name: string, scope: Scope): void {
  const started = performance.now();
  const { visited, events: followed, reached, bound } = explore(scope);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${name}: ${visited} states, ${followed} events, ${reached} deep, at most ${bound} boots to a healthy slot, ${seconds} s`,
  );
  assert.ok(visited > 1000, "the model explored next to nothing");
  // A loader that does not learn what PID 1 knows costs the restarts that it is given.
  assert.ok(bound <= (scope.loader ? 9 : 8) * scope.slots.length, `up to ${bound} boots until a healthy slot ran`);
}

test("two slots, every sequence of up to 40 events", () => {
  report("two slots", {
    slots: ["a", "b"],
    depth: 40,
    kinds: ["healthy", "broken", "refused", "stuck", "hangs", "unfit"],
    decays: ["broken", "hangs", "unfit"],
  });
});

test("two slots whose state may be degraded, every sequence of up to 40 events", () => {
  const kinds: Kind[] = ["healthy", "degraded", "unfit"];
  report("degraded", { slots: ["a", "b"], depth: 40, kinds, decays: ["degraded"] });
});

test("two slots with floors: older images, and one that revokes them", () => {
  report("floors", {
    slots: ["a", "b"],
    depth: long ? 24 : 14,
    kinds: ["healthy", "unfit"],
    decays: ["broken"],
    seals: [
      { rollbackIndex: 1, revokesBelow: null },
      { rollbackIndex: 2, revokesBelow: null },
      { rollbackIndex: 2, revokesBelow: 2 },
    ],
  });
});

test("three slots, every sequence of up to 10 events", () => {
  report("three slots", { slots: ["a", "b", "c"], depth: 10, kinds: ["healthy", "broken", "unfit"], decays: ["unfit"] });
});

const loaders: NonNullable<Scope["loader"]>[] = [
  { kind: "counts", mirrored: true },
  { kind: "counts", mirrored: false },
  { kind: "trusts-good", mirrored: true },
  { kind: "stuck", mirrored: true },
  { kind: "stuck", mirrored: false },
  { kind: "silent", mirrored: false },
];
for (const loader of loaders) {
  const name = `two slots under a loader (${loader.kind}), ${loader.mirrored ? "whose store is written" : "whose store nobody writes"}`;
  test(name, () => {
    const kinds: Kind[] = ["healthy", "broken", "refused", "hangs"];
    report(name, { slots: ["a", "b"], depth: long ? 24 : 7, kinds, decays: ["broken", "unfit"], loader });
  });
}

test.run();
