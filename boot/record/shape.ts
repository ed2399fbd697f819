import { MOST_SLOTS } from "../../state-ops/control.ts";
import { Fields } from "../../state-ops/fields.ts";
import { isHex } from "../../state-ops/plain-text.ts";
import { RUNGS } from "../../state-ops/recovery.ts";
import { MOST_TRIED, type RecoveryRecord, type TriedStep } from "../recovery/step.ts";
import { REASON_LENGTH } from "./reason.ts";
import type { Attempt, BootRecord, KexecStart, Quarantine, SlotRecord, SlotState, Stage } from "./record.ts";

/** Keeps a record within its area. */
export const MOST_QUARANTINED = 16;
const NAME_LENGTH = 64;
const MOST = Number.MAX_SAFE_INTEGER;
const SLOT_STATES: readonly SlotState[] = ["empty", "trial", "committed"];
const STAGES: readonly Stage[] = ["counted", "image", "state", "handover", "good"];

function shortText(fields: Fields, key: string, limit: number): string {
  const value = fields.text(key);
  return value.length <= limit ? value : fields.fail(key, `a text of at most ${limit} characters`);
}

export function flagOf(fields: Fields, key: string): boolean {
  const value = fields.value(key);
  return typeof value === "boolean" ? value : fields.fail(key, "true or false");
}

export function countOf(fields: Fields, key: string): number {
  return fields.integer(key, 0, MOST);
}

export function nameOf(fields: Fields, key: string): string {
  return shortText(fields, key, NAME_LENGTH);
}

export function reasonOf(fields: Fields, key: string): string {
  return shortText(fields, key, REASON_LENGTH);
}

export function imageIdOf(fields: Fields, key: string): string {
  const value = fields.text(key);
  return isHex(value, 64) ? value : fields.fail(key, "64 hex digits");
}

export function stageOf(fields: Fields, key: string): Stage {
  return fields.oneOf(key, STAGES);
}

function slotRecord(value: unknown, where: string): SlotRecord {
  const keys = ["state", "priority", "tries", "imageId", "credits", "damaged", "reason"];
  const fields = new Fields(value, where, keys, ["rollbackIndex"]);
  return {
    state: fields.oneOf("state", SLOT_STATES),
    priority: fields.integer("priority", 1, MOST_SLOTS),
    tries: countOf(fields, "tries"),
    imageId: fields.nullable("imageId", () => imageIdOf(fields, "imageId")),
    credits: fields.integer("credits", 0, 3),
    damaged: fields.nullable("damaged", () => reasonOf(fields, "damaged")),
    reason: fields.nullable("reason", () => reasonOf(fields, "reason")),
    ...(fields.has("rollbackIndex") ? { rollbackIndex: countOf(fields, "rollbackIndex") } : {}),
  };
}

function slotRecords(fields: Fields): BootRecord["slots"] {
  const value = fields.value("slots");
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fields.fail("slots", "an object");
  const entries = Object.entries(value);
  if (entries.length > MOST_SLOTS) fields.fail("slots", `an object of at most ${MOST_SLOTS} slots`);
  return Object.fromEntries(entries.map(([name, slot]) => [name, slotRecord(slot, `slots.${name}`)]));
}

function attempt(value: unknown): Attempt {
  const fields = new Fields(value, "attempt", ["number", "slot", "imageId", "trial", "stage", "cleanEnd"], ["degraded", "kexec"]);
  return {
    number: fields.integer("number", 1, MOST),
    slot: nameOf(fields, "slot"),
    imageId: fields.nullable("imageId", () => imageIdOf(fields, "imageId")),
    trial: flagOf(fields, "trial"),
    stage: stageOf(fields, "stage"),
    cleanEnd: flagOf(fields, "cleanEnd"),
    ...(fields.has("degraded") ? { degraded: fields.oneOf("degraded", [true]) } : {}),
    ...(fields.has("kexec") ? { kexec: kexecStart(fields.value("kexec")) } : {}),
  };
}

function kexecStart(value: unknown): KexecStart {
  const fields = new Fields(value, "attempt.kexec", ["nonce", "previousEnd"]);
  return { nonce: nameOf(fields, "nonce"), previousEnd: fields.oneOf("previousEnd", ["clean", "unclean", "none"]) };
}

function lastCommitted(value: unknown): NonNullable<BootRecord["lastCommitted"]> {
  const fields = new Fields(value, "lastCommitted", ["slot", "imageId"], ["attempt"]);
  return {
    slot: nameOf(fields, "slot"),
    imageId: imageIdOf(fields, "imageId"),
    ...(fields.has("attempt") ? { attempt: countOf(fields, "attempt") } : {}),
  };
}

function quarantined(fields: Fields): Quarantine[] {
  const list = fields.list("quarantined");
  if (list.length > MOST_QUARANTINED) fields.fail("quarantined", `a list of at most ${MOST_QUARANTINED}`);
  return list.map((value, index) => {
    const entry = new Fields(value, `quarantined[${index}]`, ["imageId", "reason", "attempt"]);
    return { imageId: imageIdOf(entry, "imageId"), reason: reasonOf(entry, "reason"), attempt: countOf(entry, "attempt") };
  });
}

function floors(value: unknown): NonNullable<BootRecord["floors"]> {
  const fields = new Fields(value, "floors", ["install", "boot"]);
  return { install: countOf(fields, "install"), boot: countOf(fields, "boot") };
}

/** Keeps a record within its area. */
export const MOST_CHANNELS = 16;

function channelSerials(fields: Fields): Record<string, number> {
  const value = fields.value("channelSerials");
  if (typeof value !== "object" || value === null || Array.isArray(value)) return fields.fail("channelSerials", "an object");
  const entries = Object.entries(value);
  const sound = entries.every(
    ([name, serial]) => name.length <= NAME_LENGTH && typeof serial === "number" && Number.isSafeInteger(serial) && serial >= 0,
  );
  if (!sound || entries.length > MOST_CHANNELS)
    fields.fail("channelSerials", `at most ${MOST_CHANNELS} names with a whole number`);
  return Object.fromEntries(entries.map(([name, serial]) => [name, Number(serial)]));
}

function triedStep(value: unknown, where: string): TriedStep {
  const fields = new Fields(value, where, ["rung", "slot", "imageId"]);
  return {
    rung: fields.oneOf("rung", RUNGS),
    slot: nameOf(fields, "slot"),
    imageId: fields.nullable("imageId", () => imageIdOf(fields, "imageId")),
  };
}

function recovery(value: unknown): RecoveryRecord {
  const fields = new Fields(value, "recovery", ["asked", "tried", "current"], ["begun", "obeyed"]);
  const tried = fields.list("tried");
  if (tried.length > MOST_TRIED) fields.fail("tried", `a list of at most ${MOST_TRIED}`);
  return {
    asked: fields.nullable("asked", () => fields.oneOf("asked", [...RUNGS, "ladder"])),
    tried: tried.map((step, index) => triedStep(step, `recovery.tried[${index}]`)),
    current: fields.nullable("current", () => triedStep(fields.value("current"), "recovery.current")),
    ...(fields.has("begun") ? { begun: fields.integer("begun", 2, MOST) } : {}),
    ...(fields.has("obeyed") ? { obeyed: fields.oneOf("obeyed", [...RUNGS, "ladder"]) } : {}),
  };
}

function objectOf(fields: Fields, key: string): object {
  const value = fields.value(key);
  return typeof value === "object" && value !== null ? value : fields.fail(key, "an object");
}

/** The boot record that `value` is. Throws BadInput naming the key that is missing, unknown or wrong. */
export function bootRecord(value: unknown): BootRecord {
  const fields = new Fields(
    value,
    "",
    [
      "schema",
      "slots",
      "attempt",
      "lastCommitted",
      "uncleanEnds",
      "exhausted",
      "quarantined",
      "dataFilesystem",
      "lastKnownUnixMs",
    ],
    ["floors", "channelSerials", "recovery", "spentNamed", "trialsAsked", "bootloader", "base"],
  );
  fields.integer("schema", 1, 1);
  return {
    schema: 1,
    slots: slotRecords(fields),
    attempt: fields.nullable("attempt", () => attempt(fields.value("attempt"))),
    lastCommitted: fields.nullable("lastCommitted", () => lastCommitted(fields.value("lastCommitted"))),
    uncleanEnds: countOf(fields, "uncleanEnds"),
    exhausted: countOf(fields, "exhausted"),
    quarantined: quarantined(fields),
    dataFilesystem: fields.nullable("dataFilesystem", () => shortText(fields, "dataFilesystem", NAME_LENGTH)),
    lastKnownUnixMs: countOf(fields, "lastKnownUnixMs"),
    ...(fields.has("floors") ? { floors: floors(fields.value("floors")) } : {}),
    ...(fields.has("channelSerials") ? { channelSerials: channelSerials(fields) } : {}),
    ...(fields.has("base") ? { base: objectOf(fields, "base") } : {}),
    ...(fields.has("recovery") ? { recovery: recovery(fields.value("recovery")) } : {}),
    ...(fields.has("spentNamed") ? { spentNamed: countOf(fields, "spentNamed") } : {}),
    ...(fields.has("trialsAsked") ? { trialsAsked: countOf(fields, "trialsAsked") } : {}),
    ...(fields.has("bootloader") ? { bootloader: objectOf(fields, "bootloader") } : {}),
  };
}
