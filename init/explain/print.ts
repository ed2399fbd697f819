import type { BootRecord } from "../../boot/record/record.ts";
import { byPriority, slotOf } from "../../boot/selection/slots.ts";
import { generationName } from "../../state-ops/layout.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import type { StateStep } from "../../state-ops/state-plan.ts";
import { holdScreen } from "../sequence/hold.ts";
import { leaveScreen } from "../sequence/loader-choice.ts";
import { effectLine } from "./effect-line.ts";
import type { BootPlan, Effect, HandoverPlan, RecordPlan, RecoverPlan, SlotPlan, StatePlan } from "./plan-shape.ts";

const indent = (lines: string[], by = 3): string[] => lines.map((line) => (line === "" ? "" : `${" ".repeat(by)}${line}`));
const effects = (list: readonly Effect[]): string[] => indent(list.map(effectLine), 6);

/** A numbered part: the numbers are those of a whole boot, so a part may come more than once, and one may be missing. */
function part(number: number, title: string, lines: string[], changes: readonly Effect[] = []): string[] {
  return ["", `${number}. ${title}`, ...indent(lines), ...effects(changes)];
}

/** The plan as people read it: what would be done, in order, and why. */
export function planText(plan: BootPlan): string {
  const { start, devices } = plan;
  const commandLine = start.commandLine === "" ? "no word on the kernel command line" : `command line: ${start.commandLine}`;
  return [
    `What PID 1 would do on this machine (system ${plan.system}). Nothing is changed by looking.`,
    summary(plan),
    ...part(1, "Preinit", ["mounts /proc, /sys and /dev, and the runtime at /runtime"]),
    ...part(2, "Start", [commandLine, ...start.obeyed, `watchdog: ${start.watchdog}`], start.effects),
    ...part(3, "Devices", devicesLines(plan)),
    ...(plan.record === null ? [] : part(4, "Boot record", recordLines(plan.record), plan.record.effects)),
    ...plan.attempts.flatMap((attempt, index) => attemptParts(attempt, plan.attempts.slice(0, index), devices.recordDevice)),
    ...endPart(plan.end),
    ...list("Warnings", plan.warnings),
    ...list("Not known", plan.unknown),
    "",
  ].join("\n");
}

function summary({ end, attempts }: BootPlan): string {
  if (end.do === "hold") return "No slot boots.";
  if (end.do === "leave") return "The slot that the bootloader chose does not boot: the machine restarts, and it chooses again.";
  if (end.do === "recover") return `A recovery begins: ${end.cause}.`;
  const attempt = attempts.at(-1);
  const standing = attempt?.attempt.trial ? "on trial" : "committed";
  const rollback = end.report.rollback;
  const instead = rollback === null ? "" : ` It is a rollback from slot ${rollback.from} (${rollback.reason}).`;
  return `Slot ${end.slot} boots, ${standing}, from ${end.report.slotDevice} with ${end.init}.${instead}`;
}

function devicesLines({ devices }: BootPlan): string[] {
  const waited = devices.waitedSeconds === 0 ? [] : [`waits ${devices.waitedSeconds} s in all for devices`];
  return [devices.disk === null ? `no disk: ${devices.why}` : `disk ${devices.disk}: ${devices.why}`, ...waited];
}

function recordLines(record: RecordPlan): string[] {
  const { device, condition, reason, writable, previous, taken } = record;
  const where = device === null ? "there is none" : `${device} is ${condition}`;
  const why = reason === null ? "" : ` (${reason})`;
  const written = device === null || writable ? "" : ", and cannot be written";
  const before =
    previous === null
      ? "no attempt before waits for its end"
      : `attempt ${previous.attempt} on slot ${previous.slot}${previous.trial ? ", a trial," : ""} ended ${previous.ended === "clean" ? "cleanly" : "uncleanly"} after stage ${previous.stage}`;
  const inARow = `${taken.uncleanEnds} unclean ${taken.uncleanEnds === 1 ? "end" : "ends"} in a row`;
  const fresh = condition === "valid" ? [] : ["all slots are tried in the control file's order, as trials"];
  return [`${where}${why}${written}`, ...fresh, before, ...(taken.uncleanEnds > 0 ? [inARow] : []), ...slotTable(taken)];
}

function slotTable(record: BootRecord): string[] {
  const rows = byPriority(record).map((name) => {
    const { state, tries, imageId, damaged, reason } = slotOf(record, name);
    const why = damaged === null ? (reason ?? "") : `damaged: ${damaged}`;
    return [name, state, String(tries), imageId?.slice(0, 12) ?? "-", why];
  });
  const all = [["SLOT", "STATE", "TRIES", "IMAGE", ""], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function attemptParts(plan: SlotPlan, before: readonly SlotPlan[], recordDevice: string | null): string[] {
  const { slot, why, skipped, attempt, effects: changes, failure, state } = plan;
  const { number, trial, triesBefore, triesAfter, counted } = attempt;
  const told = new Set(before.map((entry) => entry.slot));
  const others = skipped.filter((entry) => !told.has(entry.slot));
  const tries = `${triesBefore} to ${triesAfter} tries`;
  const lines = [
    ...others.map((entry) => `not slot ${entry.slot}: ${entry.reason}`),
    `slot ${slot}: ${why}`,
    counted
      ? `attempt ${number}${trial ? ", a trial" : ""}: from ${tries}, durable on ${recordDevice} before anything of the slot is used`
      : `attempt ${number}${trial ? ", a trial" : ""}: not counted, since the boot record cannot be written`,
  ];
  const left = failure === null ? [] : [...indent([`slot ${slot} fails: ${failure.reason}`]), ...effects(changes.leave)];
  const reached = state !== null || failure?.stage === "state";
  return [
    ...part(4, before.length === 0 ? "Select" : "Select again, in the same boot", lines, changes.count),
    ...part(5, `Image in slot ${slot}`, plan.checks, changes.image),
    ...(reached ? part(6, `State of slot ${slot}`, state === null ? [] : stateLines(state), changes.state) : []),
    ...left,
  ];
}

function stateLines(state: StatePlan): string[] {
  const generation = state.generation === null ? state.why : `${generationSentence(state.generation)}: ${state.why}`;
  const reason = state.generation?.reason ?? null;
  const steps = state.steps.map((step) => {
    return [`/${step.path}`, step.do, contentOf(step)];
  });
  const widths = [0, 1].map((column) => Math.max(0, ...steps.map((row) => (row[column] ?? "").length)));
  const table = steps.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [
    ...(state.data === null ? [] : [`data filesystem ${state.data.device}`]),
    generation,
    ...(reason === null || state.notes.some((note) => note.startsWith(reason)) ? [] : [reason]),
    ...state.notes,
    ...table,
  ];
}

/** Where what is seen at a step's path is. */
function contentOf(step: StateStep): string {
  switch (step.do) {
    case "bind":
      return step.formerStore === null ? step.store : `${step.store}, or ${step.formerStore} where it is`;
    case "overlay":
      return step.upper;
    case "symlink":
      return `to ${step.target}`;
    case "readonly":
      return "the image's own";
    case "mask":
      return "nothing";
    default:
      return "memory";
  }
}

function generationSentence(plan: GenerationPlan): string {
  switch (plan.do) {
    case "continue":
      return `goes on with generation ${generationName(plan.generation)}`;
    case "clone":
      return `clones generation ${generationName(plan.from)} to ${generationName(plan.to)}`;
    case "create":
      return `makes generation ${generationName(plan.to)} from the image`;
  }
}

function handoverPart(end: HandoverPlan): string[] {
  return part(7, "Hand over", [`to ${end.init} in slot ${end.slot}`], end.effects);
}

function endPart(end: BootPlan["end"]): string[] {
  switch (end.do) {
    case "hand-over":
      return handoverPart(end);
    case "recover":
      return recoverPart(end);
    case "hold":
      return shownPart("No slot left", holdScreen(end), end.effects);
    case "leave":
      return shownPart("Left to the bootloader", leaveScreen(end.skipped), end.effects);
  }
}

function recoverPart({ skipped, steps, effects }: RecoverPlan): string[] {
  const slots = skipped.map(({ slot, reason }) => `slot ${slot}: ${reason}`);
  const tried =
    steps.length === 0
      ? ["nothing is left to be tried: it holds, and begins anew"]
      : ["tries, until one boots:", ...indent(steps)];
  return part(8, "Recovery", [...slots, ...tried], effects);
}

function shownPart(title: string, screen: string, effects: Effect[]): string[] {
  const lines = screen.split("\n").filter((line) => line !== "");
  return part(8, title, ["shown on every console:", ...indent(lines)], effects);
}

function list(title: string, entries: string[]): string[] {
  return entries.length === 0 ? [] : ["", title, ...indent(entries)];
}
