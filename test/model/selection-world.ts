import * as assert from "uvu/assert";
import type { BootRecord, ImageId, SlotName } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, failAttempt, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import { type CommittedSeal, whyBelowFloor } from "../../boot/selection/floors.ts";
import { type Following, followLoader, meetLoader } from "../../boot/selection/follow.ts";
import { giveUp } from "../../boot/selection/give-up.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { activate, commitSlot, endCleanly, markBad, refuseNewImage, rollBack, withdraw } from "../../boot/selection/running.ts";
import { type SelectionFacts, selectSlot } from "../../boot/selection/select.ts";
import { byPriority, notBootable, slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { loaderBoots, loaderKey, type ModelLoader, mirror } from "./model-loader.ts";

/**
 * The world of the model: what lies in the slots, and how a machine behaves that does as the record says.
 *
 * healthy: commits when it is let. broken: its proof fails. refused: PID 1 cannot boot it. stuck: hangs within PID 1.
 * hangs: hangs after the handover. unfit: runs, but its health checks never let it commit. degraded: healthy, but with memory in
 * the place of its state, so that only what was committed before goes on.
 */
export type Kind = "healthy" | "broken" | "refused" | "stuck" | "hangs" | "unfit" | "degraded";

export interface Content {
  kind: Kind;
  imageId: ImageId;
  /** Whether this very image was ever committed in this slot: the truth that the record must not overstate. */
  committed: boolean;
  /** What its seal says; left out where there is none. */
  seal?: CommittedSeal;
}

/** Everything that lasts, and whether a system runs (the one of the record's attempt). */
export interface World {
  record: BootRecord;
  content: ReadonlyMap<SlotName, Content>;
  running: boolean;
  /** The bootloader that chooses; left out where slipway does. */
  loader?: ModelLoader;
}

export interface Event {
  name: string;
  after: World;
}

/** What can go wrong with one boot without the slots' fault, or be asked of it. */
interface Circumstance {
  name: string;
  preferred: SlotName | null;
  deviceFails: SlotName | null;
}

export function contentOf(world: World, slot: SlotName): Content {
  const content = world.content.get(slot);
  if (content === undefined) throw new Error(`no slot ${slot} in the model`);
  return content;
}

export function runningSlot(world: World): SlotName {
  if (!world.running || world.record.attempt === null) throw new Error("nothing runs");
  return world.record.attempt.slot;
}

interface Booted {
  writes: BootRecord[];
  running: boolean;
  /** The loader after it chose, before any of the writes reached it. */
  loader?: ModelLoader;
}

/**
 * One boot as PID 1 does it. `writes` are the records it made durable, in order; a power cut leaves the world with any
 * prefix of them.
 */
export function boot(world: World, policy: Policy, { preferred, deviceFails }: Circumstance): Booted {
  const writes: BootRecord[] = [];
  const failed = new Map<SlotName, string>();
  let { record } = beginBoot(world.record, policy);
  const met = world.loader && loaderBoots(world.loader, policy);
  const loader = met ? { loader: met.after } : {};
  if (met) record = meetLoader(record, preferred ?? met.named, policy);
  if (world.record.attempt?.degraded) {
    assert.equal(record.quarantined, world.record.quarantined, "an image was quarantined for its state");
  }
  for (;;) {
    const facts = { preferred, failed, recordWritable: true };
    const { slot, leaves } = met
      ? follow(record, facts, met.named, policy)
      : { ...selectSlot(record, facts, policy), leaves: null };
    if (leaves !== null) return { writes: [...writes, record], running: false, ...loader };
    if (slot === null) {
      const given = giveUp(record, policy);
      assert.is.not(given.rearmed, null, "a machine never gives up");
      assert.ok(given.pauseSeconds >= 5 && given.pauseSeconds <= 600);
      return { writes: [...writes, given.record], running: false, ...loader };
    }
    const before = slotOf(record, slot).tries;
    record = countTry(record, slot);
    writes.push(record);
    use(writes, slot, before);
    const content = contentOf(world, slot);
    if (content.kind === "stuck") return { writes, running: false, ...loader };
    const tooOld = content.seal && deviceFails !== slot && content.kind !== "broken" && refusedAsOld(world, record, slot, policy);
    const failure =
      deviceFails === slot
        ? "device"
        : content.kind === "broken"
          ? "proof"
          : content.kind === "refused" || tooOld
            ? "boot"
            : null;
    if (failure !== "device" && failure !== "proof" && !tooOld) {
      record = identifyImage(record, slot, content.imageId, policy).record;
    }
    if (failure === null) {
      return { writes: [...writes, reachHandover(record, content.kind === "degraded")], running: true, ...loader };
    }
    record = failAttempt(record, { kind: failure, reason: failure });
    writes.push(record);
    failed.set(slot, failure);
  }
}

/** A wish for one boot is the loader's word too: an operator's choice in its menu. */
function follow(record: BootRecord, facts: SelectionFacts, named: SlotName | null, policy: Policy): Following {
  const word = facts.preferred ?? named;
  const following = followLoader(record, { ...facts, word, named: word, lastReasons: new Map() }, policy, "valid");
  const { slot, leaves } = following;
  const isSpent = word !== null && notBootable(record, word, policy.trust) !== null;
  if (slot !== null && word !== null && slot !== word) {
    assert.ok((record.spentNamed ?? 0) > policy.tries.trial, `the loader named ${word}, and ${slot} was booted`);
  }
  if (slot === null && leaves === null) {
    const able = policy.slots.filter((name) => notBootable(record, name, policy.trust) === null && !facts.failed.has(name));
    assert.equal(able, [], "a recovery began while a slot could boot");
  }
  assert.not(isSpent && slot === word, "a slot without tries was booted");
  return following;
}

/** The world after a command, or a part of a boot, changed the record. */
function withRecord(world: World, before: BootRecord, policy: Policy): World {
  const { loader } = world;
  return loader === undefined ? world : { ...world, loader: mirror(loader, before, world.record, policy) };
}

/** Whether the image is below the boot floor. A committed one that was not revoked never is: it is the fallback. */
function refusedAsOld(world: World, record: BootRecord, slot: SlotName, { trust }: Policy): boolean {
  const { committed, seal, imageId } = contentOf(world, slot);
  const index = seal?.rollbackIndex ?? 0;
  const known = slotOf(record, slot);
  const refused = whyBelowFloor(record, index, trust) !== null;
  if (refused && committed && known.state === "committed" && known.imageId === imageId) {
    assert.ok(index < (record.floors?.boot ?? 0), `the committed image in ${slot} is refused, and was not revoked`);
  }
  return refused;
}

/** A try is durable before the slot is used. */
function use(writes: BootRecord[], slot: SlotName, before: number): void {
  const durable = writes.at(-1);
  assert.is(durable?.attempt?.slot, slot);
  assert.is(durable?.attempt?.stage, "counted");
  assert.is(durable?.attempt?.cleanEnd, false);
  assert.ok(before > 0, "a slot without tries was chosen");
  assert.is(durable?.slots[slot]?.tries, before - 1);
}

const PLAIN: Circumstance = { name: "boot", preferred: null, deviceFails: null };

function bootEvents(world: World, policy: Policy): Event[] {
  const plain = boot(world, policy, PLAIN);
  const used = plain.writes.map(({ attempt }) => attempt?.slot);
  // Only what makes a difference: a wish for another slot than the first, a device that is used.
  const asked = policy.slots
    .filter((slot) => slot !== used[0])
    .map((slot) => ({ name: `boot asked for ${slot}`, preferred: slot, deviceFails: null }));
  const failing = policy.slots
    .filter((slot) => used.includes(slot))
    .map((slot) => ({ name: `boot, device of ${slot} fails`, preferred: null, deviceFails: slot }));
  const others = [...asked, ...failing].map((circumstance) => ({
    ...boot(world, policy, circumstance),
    name: circumstance.name,
  }));
  return [{ ...plain, name: PLAIN.name }, ...others].flatMap(({ name, writes, running, loader }) => {
    const booted = { ...world, ...(loader ? { loader } : {}) };
    const cuts = writes.map((record, index) => ({
      name: `${name}, power cut after write ${index + 1} of ${writes.length}`,
      after: withRecord({ ...booted, record, running: false }, world.record, policy),
    }));
    const last = writes.at(-1) ?? world.record;
    const early = loader ? [{ name: `${name}, power cut once the loader has counted`, after: booted }] : [];
    return [...early, ...cuts, { name, after: withRecord({ ...booted, record: last, running }, world.record, policy) }];
  });
}

function withContent(world: World, slot: SlotName, content: Content): World {
  return { ...world, content: new Map([...world.content, [slot, content]]) };
}

/** An id that neither the slot nor the record holds: few of them, so that worlds repeat. */
function newImageId(world: World, slot: SlotName): ImageId {
  const used = [contentOf(world, slot).imageId, slotOf(world.record, slot).imageId];
  const ids = [1, 2, 3].map((number) => `${slot}${number}`);
  return ids.find((id) => !used.includes(id)) ?? `${slot}0`;
}

function permitted(change: () => World): World | null {
  try {
    return change();
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** Promise P2, checked against what is true rather than what the record says. */
function checkNewImage(world: World, slot: SlotName): void {
  const running = runningSlot(world);
  assert.is.not(slot, running, "another image was let into the running slot");
  assert.ok(contentOf(world, running).committed, `slot ${slot} got another image while ${running} was on trial`);
}

/** What an administrator or an updater can ask for in the running system. Writes of slots take three events. */
function commandEvents(world: World, policy: Policy, kinds: Kind[], seals: (CommittedSeal | null)[]): Event[] {
  const running = runningSlot(world);
  const { record } = world;
  const attempts: [string, () => World][] = [
    ["rollback", () => ({ ...world, record: rollBack(record, running, policy, "asked").record })],
  ];
  for (const slot of policy.slots) {
    attempts.push([`mark-bad ${slot}`, () => ({ ...world, record: markBad(record, slot, "asked", policy) })]);
    attempts.push([
      `withdraw ${slot}`,
      () => {
        const after = withdraw(record, slot, running);
        checkNewImage(world, slot);
        return { ...world, record: after };
      },
    ]);
    attempts.push([
      `activate ${slot}`,
      () => {
        const { imageId } = contentOf(world, slot);
        const after = activate(record, slot, imageId, running, policy);
        if (slot !== running) checkNewImage(world, slot);
        assert.ok(contentOf(world, running).committed, "an activation while the running slot is on trial");
        return { ...world, record: after };
      },
    ]);
    for (const kind of kinds) {
      for (const seal of seals) {
        attempts.push([
          seal === null ? `write ${kind} to ${slot}` : `write ${kind} ${JSON.stringify(seal)} to ${slot}`,
          () => {
            refuseNewImage(record, slot, running);
            checkNewImage(world, slot);
            const content = { kind, imageId: newImageId(world, slot), committed: false };
            if (seal === null) return withContent(world, slot, content);
            // Behind the record's back an image may be older than what the record says of its slot, and is refused for ever.
            return withContent({ ...world, record: withdraw(record, slot, running) }, slot, { ...content, seal });
          },
        ]);
      }
    }
  }
  return attempts.flatMap(([name, change]) => {
    const after = permitted(change);
    return after === null ? [] : [{ name, after }];
  });
}

function commit(world: World, policy: Policy): World {
  const slot = runningSlot(world);
  const content = contentOf(world, slot);
  const { floors: before } = world.record;
  const record = commitSlot(world.record, slot, content.imageId, policy, 0, content.seal ?? null);
  assert.ok((record.floors?.boot ?? 0) >= (before?.boot ?? 0), "the boot floor went back");
  assert.ok((record.floors?.install ?? 0) >= (before?.install ?? 0), "the install floor went back");
  return withContent({ ...world, record }, slot, { ...content, committed: true });
}

/** A trial cannot be committed with degraded state, a committed slot is armed again. */
function mayBeGood(world: World): boolean {
  const slot = runningSlot(world);
  const { kind } = contentOf(world, slot);
  return kind === "healthy" || (kind === "degraded" && slotOf(world.record, slot).state === "committed");
}

function end(world: World, policy: Policy, credit: boolean): World {
  return { ...world, running: false, record: endCleanly(world.record, policy, { credit, unixMs: 0 }) };
}

function orders(slots: SlotName[]): SlotName[][] {
  if (slots.length === 0) return [[]];
  return slots.flatMap((first) => orders(slots.filter((slot) => slot !== first)).map((rest) => [first, ...rest]));
}

/** All events that can follow. `kinds` are those of new images, `decays` those that a committed image can turn into. */
export function events(
  world: World,
  policy: Policy,
  kinds: Kind[],
  decays: Kind[],
  seals: (CommittedSeal | null)[] = [null],
): Event[] {
  if (!world.running) {
    const decayed = policy.slots.flatMap((slot) => {
      const content = contentOf(world, slot);
      const others = content.kind === "healthy" ? decays : [];
      return others.map((kind) => ({ name: `${slot} turns ${kind}`, after: withContent(world, slot, { ...content, kind }) }));
    });
    // In every order of the control file: then slots differ by their rank alone, and worlds that do so are one (keyOf).
    const lost = orders(policy.slots).map((slots) => ({
      name: `the record is lost, the control file says ${slots.join(", ")}`,
      after: { ...world, record: freshRecord({ ...policy, slots }) },
    }));
    return [...bootEvents(world, policy), ...decayed, ...lost];
  }
  const cut = { name: "power cut", after: { ...world, running: false } };
  const { kind } = contentOf(world, runningSlot(world));
  if (kind === "hangs") return [cut];
  return [
    cut,
    ...(mayBeGood(world) ? [{ name: "good boot", after: commit(world, policy) }] : []),
    { name: "clean reboot", after: end(world, policy, true) },
    { name: "reboot by a failure action", after: end(world, policy, false) },
    ...commandEvents(world, policy, kinds, seals),
  ].map(({ name, after }) => ({ name, after: withRecord(after, world.record, policy) }));
}

/**
 * What follows when power behaves and nobody interferes; the software of a slot that is not healthy still does its
 * worst. Empty once a healthy slot runs and is committed.
 */
export function undisturbed(world: World, policy: Policy): World[] {
  if (!world.running) {
    const { writes, running, loader } = boot(world, policy, PLAIN);
    const after = { ...world, record: writes.at(-1) ?? world.record, running, ...(loader ? { loader } : {}) };
    return [withRecord(after, world.record, policy)];
  }
  const { kind } = contentOf(world, runningSlot(world));
  if (kind === "hangs") return [{ ...world, running: false }];
  if (!mayBeGood(world)) return [end(world, policy, true), end(world, policy, false), { ...world, running: false }];
  return world.record.attempt?.stage === "good" ? [] : [withRecord(commit(world, policy), world.record, policy)];
}

/**
 * A short text that two worlds share only if what can follow is the same in both, but for the slots' names, for numbers,
 * times and texts. How the last attempt ended changes only texts and counters that selection does not look at, and a
 * slot's reason matters only for the slot that runs.
 */
export function keyOf(world: World, policy: Policy): string {
  const { record } = world;
  const running = world.running ? runningSlot(world) : null;
  const order = byPriority(record);
  const slots = order.map((name) => {
    const slot = slotOf(record, name);
    const content = contentOf(world, name);
    const known = slot.imageId === null ? "-" : slot.imageId === content.imageId ? "=" : "#";
    const given = name === running && slot.reason !== null ? "r" : "";
    const flags = `${slot.damaged === null ? "" : "d"}${given}${content.committed ? "c" : ""}`;
    const { rollbackIndex = "", revokesBelow = "" } = content.seal ?? {};
    const sealed = content.seal ? `i${rollbackIndex}r${revokesBelow}k${slot.rollbackIndex ?? ""}` : "";
    return `${slot.state[0]}${slot.tries}${slot.credits}${known}${content.kind.slice(0, 2)}${flags}${sealed}`;
  });
  const last = running === null ? "off" : `${order.indexOf(running)} ${record.attempt?.stage}`;
  const committed = record.lastCommitted === null ? "" : order.indexOf(record.lastCommitted.slot);
  const floors = record.floors === undefined ? "" : `f${record.floors.boot}`;
  const loader = world.loader === undefined ? "" : ` ${loaderKey(world.loader, order)} ${record.spentNamed ?? 0}`;
  return `${slots.join(" ")} ${last} ${committed} ${record.exhausted % policy.slots.length}${floors}${loader}`;
}
