/**
 * What PID 1 would do on a machine of which the facts are known: a plan, and no effects. It takes the same decisions in the
 * same order as the sequence, by the same functions; the tests compare the two.
 */

import { abilitiesOn, UNPROVEN } from "../../boot/image/judge-seal.ts";
import { applyLadder, applyLock, type CommandLine, parseCommandLine } from "../../boot/kernel-command-line.ts";
import { CALM, slotToCalm } from "../../boot/recovery/calm.ts";
import { beginPass, forgetObeyed, goesOnRecovered } from "../../boot/recovery/changes.ts";
import { foreseenSteps } from "../../boot/recovery/foresee.ts";
import { recoveryOf } from "../../boot/recovery/known.ts";
import { isAllowed, type RecoveryRequest, requestedRecovery } from "../../boot/recovery/requested.ts";
import { type BootReport, reportedImage } from "../../boot/report.ts";
import { loaderWord } from "../../boot/selection/follow.ts";
import { policyOf, slotCalled } from "../../boot/selection/policy.ts";
import type { Selection } from "../../boot/selection/select.ts";
import { joinSkipped, rollbackOf, type Skipped } from "../../boot/selection/skipped.ts";
import { isLoaderTold, toldLoader } from "../../boot/stores/told-loader.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { MNT, MS } from "../kernel/constants.ts";
import { builtAt, clockFloor } from "../sequence/clock.ts";
import { ENVIRONMENT, KEPT, RUNTIME } from "../sequence/handover.ts";
import { PAUSE_WITHOUT_RECORD } from "../sequence/hold.ts";
import { NEW_ROOT } from "../sequence/image.ts";
import { systemFiles } from "../sequence/system-files.ts";
import { WATCHDOG } from "../sequence/watchdog.ts";
import { ownArchitecture } from "../version.ts";
import type { BootFacts } from "./facts.ts";
import { generationLabel } from "./plan-generation.ts";
import type { BootPlan, Effect, HandoverPlan, HoldPlan, RecordPlan, RecoverPlan, SlotPlan, StartPlan } from "./plan-shape.ts";
import { planSlot } from "./plan-slot.ts";
import { unmountData } from "./plan-state.ts";
import { PlannedRecord } from "./planned-record.ts";
import type { Planning } from "./planning.ts";
import { type DiskFound, Search } from "./search.ts";

/** Plans a boot. Throws BadInput where the control file is none. */
export async function planBoot(facts: BootFacts): Promise<BootPlan> {
  const control = readControl(facts.control);
  const asked = applyLock(parseCommandLine(facts.commandLine), control.commandLine === "locked");
  const words = applyLadder(asked, control.recovery.ladder);
  const warnings = [...words.warnings, ...(control.trust.mode === "unsigned" ? [UNPROVEN] : [])];
  const unknown: string[] = [];
  const start = planStart(facts, control, words, warnings);
  const search = new Search(control, facts.devices, recordConditions(facts));
  const found = search.findRecord();
  const planned = (rest: Pick<BootPlan, "record" | "attempts" | "end">): BootPlan => ({
    schema: 1,
    system: control.system,
    start,
    devices: { disk: found.disk, why: found.why, recordDevice: found.record?.path ?? null, waitedSeconds: search.waited },
    ...rest,
    warnings: [...new Set(warnings)],
    unknown: [...new Set(unknown)],
  });
  if (found.missing !== null) warnings.push(found.missing);
  if (found.ambiguous !== null) return planned({ record: null, attempts: [], end: holdWithoutRecord(found.ambiguous) });

  const record = plannedRecord(facts, control, words, found, unknown);
  warnings.push(...record.notes);
  noteRunning(facts, record, unknown);
  const recordPlan = planRecord(facts, record);
  const planning: Planning = { facts, control, words, search, record, warnings, stateNotes: [], unknown };
  const attempts: SlotPlan[] = [];
  const passed: Skipped[] = [];
  const request = planRequest(planning);
  for (;;) {
    const { leaves, alarms, ...selection } = record.choose();
    if (request === null) warnings.push(...alarms, ...selection.notes);
    if (request === null && leaves !== null) {
      const effects: Effect[] = [...record.takeEffects(), { do: "restart" }];
      return planned({ record: recordPlan, attempts, end: { do: "leave", skipped: joinSkipped([leaves], passed), effects } });
    }
    const end =
      request !== null || selection.slot === null
        ? (planRecovery(planning, request, selection, passed) ?? planHold(record, selection, passed))
        : await tryIt(planning, selection, passed, attempts);
    if (end !== null) return planned({ record: recordPlan, attempts, end });
  }
}

/** Null where the slot failed. */
async function tryIt(
  planning: Planning,
  selection: Selection,
  passed: Skipped[],
  attempts: SlotPlan[],
): Promise<HandoverPlan | null> {
  const plan = await planSlot(planning, selection, selection.slot ?? "");
  attempts.push(plan);
  if (plan.failure === null) return planHandover(planning, plan, selection, passed);
  passed.push({ slot: plan.slot, reason: plan.failure.reason });
  return null;
}

function recordConditions(facts: BootFacts) {
  const entries = Object.entries(facts.records);
  return new Map(entries.map(([name, { fault, condition }]) => [name, fault === null ? condition : ("unreadable" as const)]));
}

function plannedRecord(
  facts: BootFacts,
  control: ControlFile,
  words: CommandLine,
  { record: device }: DiskFound,
  unknown: string[],
): PlannedRecord {
  const known = device === null ? null : (facts.records[device.name] ?? null);
  if (device !== null && known === null) {
    unknown.push(`what the boot record on ${device.path} says: the facts do not speak of it; taken to be unreadable`);
  }
  const preferred = words.slot && slotCalled(words.slot.name, control.slots);
  const choice = control.chooser === "loader" ? loaderWord(words.slot, control.slots) : null;
  return new PlannedRecord(known, device, policyOf(control), { preferred, choice });
}

/** The record of a machine that runs tells of an attempt that has not ended yet. */
function noteRunning({ machine }: BootFacts, { previous }: PlannedRecord, unknown: string[]): void {
  if (machine.running === null || previous?.attempt !== machine.running.attempt || previous.ended === "clean") return;
  unknown.push(
    `how attempt ${previous.attempt} ends, which runs slot ${previous.slot} now: taken to end as by a power cut; an orderly shutdown ends it cleanly, and may give a try back`,
  );
}

function planStart(facts: BootFacts, control: ControlFile, words: CommandLine, warnings: string[]): StartPlan {
  const { watchdog } = control;
  const effects: Effect[] = [];
  const clock = clockFloor(facts.machine.unixMs, builtAt, 0);
  if (clock !== null) effects.push({ do: "set-clock", unixMs: clock });
  if (watchdog !== null && facts.machine.watchdog) effects.push({ do: "watchdog", timeout: watchdog.timeout });
  if (watchdog !== null && !facts.machine.watchdog) {
    warnings.push(`no watchdog: ${WATCHDOG} gave ENOENT; a hang needs a power cycle`);
  }
  const obeyed = [
    ...(words.slot === null ? [] : [`${words.slot.from}=${words.slot.name}: ${slotWord(control)}`]),
    ...(words.init === null ? [] : [`init=${words.init}: that program is looked for first`]),
    ...(words.initArguments.length === 0 ? [] : [`given to the next init: ${words.initArguments.join(" ")}`]),
    ...(words.adoptData ? ["slipway.data=adopt: another data filesystem than the boot record knows is used"] : []),
    ...(words.breakAt === null ? [] : [`rd.break: a shell before the part "${words.breakAt}"`]),
    ...(words.shell ? ["rd.shell: a shell when no slot boots"] : []),
  ];
  return { commandLine: facts.commandLine.trim(), obeyed, watchdog: watchdogSentence(watchdog, facts), effects };
}

function slotWord({ chooser }: ControlFile): string {
  return chooser === "loader" ? "the bootloader chose that slot" : "that slot is preferred in this boot";
}

function watchdogSentence(watchdog: ControlFile["watchdog"], { machine }: BootFacts): string {
  if (watchdog === null) return "none is declared: a hang needs a power cycle";
  if (!machine.watchdog) return `declared, but there is no ${WATCHDOG}`;
  const after = { systemd: "handed to systemd", keep: "left armed for the next init", stop: "stopped" }[watchdog.after];
  return `${WATCHDOG} with ${watchdog.timeout} s, ${after} at the handover`;
}

function planRecord({ machine }: BootFacts, record: PlannedRecord): RecordPlan {
  const { device, condition, reason, writable, previous } = record;
  const clock = clockFloor(machine.unixMs, builtAt, record.record.lastKnownUnixMs);
  const lifted = clock !== null && clock !== clockFloor(machine.unixMs, builtAt, 0);
  const effects: Effect[] = lifted ? [{ do: "set-clock", unixMs: clock }] : [];
  return { device, condition, reason, writable, previous, taken: record.record, effects };
}

function planHandover(planning: Planning, plan: SlotPlan, selection: Selection, passed: readonly Skipped[]): HandoverPlan {
  const { facts, control, words, record, warnings } = planning;
  const skipped = joinSkipped(selection.skipped, passed);
  const init = plan.init ?? "";
  const verity = plan.proof?.verity ?? null;
  const report: BootReport = {
    schema: 1,
    ...abilitiesOn(ownArchitecture),
    attempt: record.attempt,
    slot: plan.slot,
    imageId: plan.imageId ?? "",
    image: reportedImage(plan.proof?.manifest ?? null),
    proof: plan.proof?.proof ?? "none",
    signers: plan.proof?.signers ?? [],
    verity: verity === null ? null : { device: verity.device, options: verity.options },
    slotDevice: plan.device ?? "",
    trial: record.trial,
    why: selection.why,
    skipped,
    rollback: rollbackOf(record.record, plan.slot, skipped, { last: record.lastAttempts, journal: record.journal }),
    record: { condition: record.condition, writable: record.writable, device: record.device },
    ...(isLoaderTold(control) ? { loader: toldLoader(control, words, null) } : {}),
    generation: generationLabel(plan.state?.generation ?? null),
    data: plan.state?.data ?? null,
    stateNotes: [...planning.stateNotes, ...(plan.state?.notes ?? [])],
    degraded: plan.state?.degraded ?? [],
    warnings: [...new Set(warnings)],
    recovery: goesOnRecovered(record.record, plan.slot, plan.imageId ?? ""),
    timeline: [],
  };
  const watchdogRuns = control.watchdog !== null && facts.machine.watchdog;
  const files = systemFiles(report, { text: facts.control, values: control }, watchdogRuns, plan.state?.safeMode === true, null);
  record.handOver(plan.state?.data?.uuid ?? null, report.degraded.length > 0);
  const effects: Effect[] = [
    ...(plan.state === null || plan.state.data === null ? [] : [unmountData]),
    ...(verity?.arm ?? []),
    ...files.map(({ path, text }): Effect => ({ do: "write", path, text })),
    ...record.takeEffects(),
    ...switchRoot(),
    { do: "execute", program: init, args: [init, ...words.initArguments], environment: ENVIRONMENT },
  ];
  return { do: "hand-over", slot: plan.slot, init, report, effects };
}

/** As the handover does it, without what frees memory and restores the process. */
function switchRoot(): Effect[] {
  const move = (source: string, target: string): Effect => ({ do: "mount", source, target, type: "", flags: MS.MOVE, data: "" });
  return [
    { do: "mount", source: "none", target: "/", type: "", flags: MS.REC | MS.PRIVATE, data: "" },
    ...KEPT.map((name) => move(`/${name}`, `${NEW_ROOT}/${name}`)),
    { do: "unmount", target: RUNTIME, flags: MNT.DETACH },
    move(".", "/"),
    { do: "change-root" },
  ];
}

/** Who asks for a recovery; null where nobody does, or nothing of it is allowed. */
function planRequest({ control, words, record, warnings, unknown }: Planning): RecoveryRequest | null {
  const { ladder, request } = control.recovery;
  const { asked, obeyed } = recoveryOf(record.record);
  if (words.recover === null && obeyed !== undefined) record.change(forgetObeyed(record.record));
  if (asked !== null && !isAllowed(asked, ladder)) {
    warnings.push(`a recovery by ${asked} was asked for: the control file does not allow it`);
    record.change(beginPass(record.record));
  }
  if (request !== null && ladder.length > 0) {
    unknown.push(`whether ${request.path} on ${request.device} asks for a recovery: nobody looked; taken not to`);
  }
  return requestedRecovery(record.record, words.recover, ladder);
}

/** Null where recovery may do nothing. */
function planRecovery(
  { control, record, unknown }: Planning,
  request: RecoveryRequest | null,
  selection: Selection,
  passed: readonly Skipped[],
): RecoverPlan | null {
  const { ladder } = control.recovery;
  if (ladder.length === 0) return null;
  const steps = foreseenSteps(
    record.record,
    request,
    ladder,
    policyOf(control),
    record.left,
    control.recovery.sources.length > 0,
  );
  const calmed = request === null ? slotToCalm(record.record, policyOf(control), new Set(passed.map(({ slot }) => slot))) : null;
  if (calmed !== null) {
    const seconds = Math.min(CALM, control.recovery.longestPause);
    steps.unshift(
      `once the power has held for ${seconds} s, slot ${calmed} gets one more try as it is, since only unclean ends are known against it`,
    );
  }
  unknown.push("what recovery finds on media and with its sources: nobody looked");
  const skipped = request === null ? joinSkipped(passed, selection.skipped) : [];
  const asked = request?.who === null ? "one that was cut off goes on" : `${request?.who} asks for it`;
  return { do: "recover", cause: request === null ? "no slot boots" : asked, skipped, steps, effects: record.takeEffects() };
}

function planHold(record: PlannedRecord, selection: Selection, passed: readonly Skipped[]): HoldPlan {
  const skipped = joinSkipped(passed, selection.skipped);
  const { rearmed, pauseSeconds } = record.giveUp();
  return { do: "hold", reason: null, skipped, rearmed, pauseSeconds, effects: [...record.takeEffects(), { do: "restart" }] };
}

function holdWithoutRecord(reason: string): HoldPlan {
  const pauseSeconds = PAUSE_WITHOUT_RECORD;
  return { do: "hold", reason, skipped: [], rearmed: null, pauseSeconds, effects: [{ do: "restart" }] };
}
