/** What became of a trial, and everything that a look at the bootloaders leads to. */
import { bootEntryName } from "../stores/efi-variables.ts";
import { type EditionName, editionNumber, editionText, isSameEdition } from "./edition.ts";
import { type BootloaderFacts, editionOfEntry, foundEditions, placeOf, runningLoader } from "./facts.ts";
import { putRight, type VariableStep, type WantedEditions, wantedEditions } from "./put-right.ts";
import { type BootloaderRecord, withCommittedTrial, withFailedTrial } from "./record.ts";

/**
 * `armed`: the next boot is the trial. `running`: this boot is. `failed`: the trial is over, and the machine came back from it,
 * or never went there.
 */
export type TrialFate = { is: "none" } | { is: "armed" } | { is: "running" } | { is: "failed"; reason: string };

/**
 * The firmware's BootNext holds for one start: whatever the loader on trial does, the start after it is by the first entry of
 * BootOrder again, which no trial changes.
 */
export function trialFate(facts: BootloaderFacts): TrialFate {
  const { trial } = facts.record;
  const { next, entries } = facts.firmware;
  if (trial === null) return { is: "none" };
  const running = runningLoader(facts);
  if (isSameEdition(running.edition, trial.edition)) return { is: "running" };
  const name = bootEntryName(trial.entry);
  const option = entries.get(trial.entry);
  const leads = option !== undefined && isSameEdition(editionOfEntry(facts, option), trial.edition);
  const waits = next === trial.entry && leads;
  if (facts.attempt === trial.attempt) {
    if (waits) return { is: "armed" };
    if (!trial.armed) return { is: "failed", reason: "the install ended before the firmware was told" };
    const lost = leads ? "BootNext" : name;
    return { is: "failed", reason: `the firmware does not know ${lost} any more, or somebody took it away` };
  }
  const came = running.edition === null ? running.told : editionText(running.edition);
  if (waits) return { is: "failed", reason: `the firmware started ${came}, although BootNext is ${name}` };
  if (!trial.armed) return { is: "failed", reason: "the power went before the firmware was told" };
  return { is: "failed", reason: `no system came up by it, and the firmware started ${came} again` };
}

/** What is to be done, in this order: `steps`, then the record; a cut between them is made up for by the next look. */
export interface Settlement {
  fate: TrialFate;
  steps: VariableStep[];
  record: BootloaderRecord;
  wanted: WantedEditions;
  /** What happens, a sentence each. */
  did: string[];
  warnings: string[];
}

/** @param commit whether a trial that runs is good */
export function settle(facts: BootloaderFacts, commit: boolean): Settlement {
  const fate = trialFate(facts);
  const { trial } = facts.record;
  const did: string[] = [];
  const warnings = [...facts.firmware.faults];
  let record = { ...facts.record, lastNumber: highestNumber(facts) };
  if (fate.is === "failed" && trial !== null) {
    record = withFailedTrial(record, fate.reason);
    warnings.push(`the trial of the bootloader ${editionText(trial.edition)} failed: ${fate.reason}`);
  }
  if (fate.is === "running" && trial !== null && commit) {
    record = withCommittedTrial(record);
    did.push(`The bootloader ${editionText(trial.edition)} is committed: it boots first from now on.`);
  }
  const settled = { ...facts, record };
  const wanted = wantedEditions(settled);
  record = adopt(settled, wanted);
  const stale = record.trial === null && facts.firmware.next !== null && facts.firmware.next === trial?.entry;
  const steps: VariableStep[] = [
    ...(stale ? [{ remove: "next" as const, why: "the trial is over" }] : []),
    ...putRight(settled, wanted),
  ];
  warnings.push(...notesOf(settled, wanted, fate));
  return { fate, steps, record, wanted, did, warnings };
}

function adopt({ record }: BootloaderFacts, { first }: WantedEditions): BootloaderRecord {
  return record.committed === null && first !== null ? { ...record, committed: first } : record;
}

/** The highest number of all that is known, so that the next edition's name is new. */
export function highestNumber(facts: BootloaderFacts): number {
  const { record } = facts;
  const named = [record.committed, record.trial?.edition, record.failed?.edition].map((edition) =>
    edition === null || edition === undefined ? 0 : (editionNumber(edition.path.slice(-6)) ?? 0),
  );
  return Math.max(record.lastNumber, ...named, ...foundEditions(facts).map(({ number }) => number));
}

function notesOf(facts: BootloaderFacts, wanted: WantedEditions, fate: TrialFate): string[] {
  const notes = facts.places.flatMap(({ fault }) => fault ?? []);
  if (wanted.first === null) {
    notes.push(`no boot directory holds a ${facts.control.program}; run "slipway bootloader install DIR"`);
    return notes;
  }
  if (wanted.why !== null) notes.push(`${wanted.why}; run "slipway bootloader install DIR"`);
  if (wanted.second === null && wanted.why === null)
    notes.push('there is no second bootloader to go back to; "slipway bootloader install DIR" makes one');
  const running = runningLoader(facts);
  if (fate.is === "running" || isSameEdition(running.edition, wanted.first)) return notes;
  if (running.edition === null) notes.push(`the firmware started neither of the boot directories' loaders: ${running.told}`);
  else notes.push(`the firmware started ${editionText(running.edition)}, and ${editionText(wanted.first)} is to boot first`);
  return notes;
}

/**
 * Where an install may write: the boot directory that neither runs nor boots first. Where nothing boots first yet, that is the
 * first directory of the control file.
 */
export function targetOf(facts: BootloaderFacts, { first }: WantedEditions): BootloaderFacts["places"][number] | null {
  const running = runningLoader(facts).edition;
  const used = [running, first].map((edition) => (edition === null ? null : placeOf(facts, edition)));
  return facts.places.find((place) => !used.includes(place)) ?? null;
}

/** Editions of a boot directory that nobody needs any more: all but those of `keep` and what a factory put there. */
export function leftovers(facts: BootloaderFacts, place: BootloaderFacts["places"][number], keep: (EditionName | null)[]) {
  const needed = [...keep, facts.record.committed, facts.record.trial?.edition ?? null, runningLoader(facts).edition];
  return place.editions.filter((edition) => edition.number > 0 && !needed.some((name) => isSameEdition(name, edition)));
}
