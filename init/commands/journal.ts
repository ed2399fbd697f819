import type { JournalEntry } from "../../boot/record/journal.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { withBootLogs } from "./boot-logs.ts";
import { type LastBoot, lastBoots } from "./last-boots.ts";
import { PLACES, type Places, readMachine } from "./machine.ts";
import { readStore } from "./status-facts.ts";
import { table, timeText } from "./text.ts";
import { flag, type Verb } from "./verb.ts";

/** The boot journal, newest first. Throws Refusal where it cannot be read. */
export function readBoots(kernel: Kernel, places: Places): LastBoot[] {
  const machine = readMachine(kernel, places);
  const read = readStore(kernel, machine);
  if (read.journal.length === 0 && read.unwritableReason !== null) {
    throw new Refusal(`the boot journal cannot be read: ${read.unwritableReason}`);
  }
  return lastBoots(read.journal, machine.report);
}

/** The journal as people read it. */
export function journalText(boots: readonly LastBoot[]): string {
  if (boots.length === 0) return "The boot journal is empty.";
  const rows = boots.map((boot) => [
    String(boot.attempt),
    timeText(boot.startedUnixMs),
    boot.slot,
    boot.imageId?.slice(0, 12) ?? "-",
    boot.trial ? "trial" : "committed",
    boot.stage,
    boot.outcome,
    boot.ended,
  ]);
  const heads = ["ATTEMPT", "STARTED", "SLOT", "IMAGE", "AS", "STAGE", "OUTCOME", "ENDED"];
  return table([heads, ...rows], (text) => text).join("\n");
}

function entryOf(boots: readonly LastBoot[], word: string): LastBoot {
  const entry = boots.find(({ attempt }) => String(attempt) === word);
  if (entry !== undefined) return entry;
  const known = boots.map(({ attempt }) => attempt).sort((left, right) => left - right);
  throw new BadInput(`the boot journal holds no attempt ${word}; it holds ${known.join(", ") || "none"}`);
}

function bootIdOf({ attempt, bootId }: JournalEntry): string {
  if (bootId !== undefined) return bootId;
  throw new Refusal(
    `the boot journal does not know the kernel's boot id of attempt ${attempt} (an older initrd noted none); look for its time with journalctl --list-boots`,
  );
}

function noLogs({ attempt, stage }: JournalEntry, bootId: string): string {
  const ran = stage === "handover" || stage === "good";
  const why = ran ? "it ended before journald wrote it, or it has been deleted since" : "it ended before any system ran";
  return `the log of attempt ${attempt} (boot ${bootId}) is neither in the system's journal nor in a generation that is kept: ${why}`;
}

/** Prints the system's log of an attempt, or with `json` where it is. Returns the exit code. */
export function showLogs(kernel: Kernel, places: Places, word: string, json: boolean): number {
  const entry = entryOf(readBoots(kernel, places), word);
  const bootId = bootIdOf(entry);
  return withBootLogs(kernel, places, readMachine(kernel, places), bootId, (logs) => {
    if (json) {
      console.log(JSON.stringify({ schema: 1, boot: entry, logs: logs?.from ?? null }));
      return 0;
    }
    if (logs === null) throw new Refusal(noLogs(entry, bootId));
    console.error(`Attempt ${entry.attempt}, slot ${entry.slot}: ${entry.ended}. Log from ${logs.from}:`);
    return logs.print();
  });
}

export const verb: Verb = {
  help: `
Usage: slipway journal [--json]
       slipway journal ATTEMPT [--json]

Shows the boot journal: of each of the last 32 attempts when it began, its slot and image, whether it was a trial, how far it
came, how it ended and why, and what became of its state. With ATTEMPT it shows the system's log of that boot, as journalctl
tells it: from the system's journal, or from the generation that the boot left, where that is kept ("slipway state list").

Options:
  --json    print one JSON object: boots (attempt, slot, imageId, trial, stage, outcome, reason, startedUnixMs, bootId, notes,
            ended), newest first; with ATTEMPT: boot, and logs, which says where they are, null for nowhere`,
  options: { json: { type: "boolean" } },
  positionals: ["ATTEMPT?"],
  async run(values, [attempt]) {
    const kernel = linuxKernel();
    const json = flag(values, "json");
    if (attempt !== undefined) return showLogs(kernel, PLACES, attempt, json);
    const boots = readBoots(kernel, PLACES);
    console.log(json ? JSON.stringify({ schema: 1, boots }) : journalText(boots));
    return 0;
  },
};
