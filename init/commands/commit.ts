import type { BootRecord } from "../../boot/record/record.ts";
import { commitSlot } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { withProgress } from "../image/progress.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { type Answer, print } from "./answer.ts";
import { type Change, changeRecord, writeRecord } from "./change-record.ts";
import { bytesToRead, readingFor, readWhole, type ToRead } from "./commit-reading.ts";
import { PLACES, type Places, readMachine } from "./machine.ts";
import { keepNetworkProfile } from "./network-profile.ts";
import { leavingSafeMode, safeModeOf } from "./safe-mode.ts";
import { flag, type Verb } from "./verb.ts";

/** Longer than a command's: when the unit gives up, the trial ends. */
const LOCK_WAIT = 60_000;

const WHO = "slipway commit";

function refuseDegraded({ machine, store }: Change): void {
  const { degraded, attempt, slot } = machine.report;
  if (degraded.length === 0) return;
  const what = degraded.map(({ path, reason }) => `${path} (${reason})`).join(", ");
  store.updateJournal(attempt, { reason: `not committed: degraded ${what}` });
  throw new Refusal(
    `slot ${slot} runs degraded and a trial cannot be committed so: ${what}; repair that and reboot, or run "slipway rollback"`,
  );
}

/** Its persistent state is not the slot's, so that nothing is shown by its going well. */
function refuseSafeMode({ machine, store }: Change): void {
  const mode = safeModeOf(machine.report);
  if (mode === null) return;
  store.updateJournal(machine.report.attempt, { reason: "not committed: safe mode" });
  throw new Refusal(
    `slot ${mode.slot} runs in safe mode, without its persistent state, and cannot be committed so; ${leavingSafeMode(mode, machine)}`,
  );
}

/** The record must be about this very boot, or another boot's trial would be committed. */
function refuseOtherBoot({ machine, record }: Change): void {
  const { slot, attempt } = machine.report;
  if (record.attempt?.number === attempt && record.attempt.slot === slot) return;
  const known = record.attempt === null ? "no attempt" : `attempt ${record.attempt.number} of slot ${record.attempt.slot}`;
  throw new Refusal(`this boot is attempt ${attempt} of slot ${slot}, the boot record knows ${known}; reboot and commit then`);
}

function sameBut(lastKnownUnixMs: number, left: BootRecord, right: BootRecord): boolean {
  return JSON.stringify({ ...left, lastKnownUnixMs }) === JSON.stringify({ ...right, lastKnownUnixMs });
}

function removeMark(kernel: Kernel, places: Places): string[] {
  try {
    kernel.remove(places.uncommitted);
    return [];
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return error.code === "ENOENT" ? [] : [`${places.uncommitted} cannot be removed (${error.code}); remove it by hand`];
  }
}

function refuseTrial(facts: Change): void {
  refuseOtherBoot(facts);
  refuseDegraded(facts);
  const { slot } = facts.machine.report;
  const { damaged } = slotOf(facts.record, slot);
  if (damaged === null) return;
  throw new Refusal(
    `slot ${slot} is damaged (${damaged}); go to another slot (slipway rollback --reboot), and run "slipway repair ${slot}" there`,
  );
}

/** What is to be read before {@link commit}; null where nothing is. Throws what refuses the commit already. */
export function beforeCommit(kernel: Kernel, places: Places, waitMs = LOCK_WAIT): ToRead | null {
  const look = (facts: Change) => {
    refuseSafeMode(facts);
    const wanted = readingFor(facts);
    if (wanted !== null) refuseTrial(facts);
    return wanted;
  };
  return changeRecord(kernel, places, WHO, look, waitMs);
}

/**
 * Ends the trial of the running slot, or gives a committed one all its tries back: one write of the boot record. Doing it
 * twice changes nothing more. Throws Refusal in safe mode, for a degraded or damaged trial and where the record is not about this boot, Error
 * where the record cannot be written.
 */
export function commit(kernel: Kernel, places: Places, waitMs = LOCK_WAIT): Answer {
  const change = (facts: Change): Answer => {
    refuseSafeMode(facts);
    const { machine, store, record } = facts;
    const { slot, imageId, attempt, image, proof } = machine.report;
    const trial = slotOf(record, slot).state !== "committed";
    if (trial) refuseTrial(facts);
    const unixMs = Math.round(kernel.now().unixMs);
    const seal = proof === "signed" ? image : null;
    const committed = commitSlot(record, slot, imageId, machine.policy, unixMs, seal);
    const changed = !sameBut(unixMs, committed, record);
    if (changed) writeRecord(store, committed);
    const warnings = removeMark(kernel, places);
    const noted = store.updateJournal(attempt, { stage: "good", outcome: "good" });
    if (!noted.written) warnings.push(`the boot journal does not say so: ${noted.reason}`);
    if (store.path !== null) warnings.push(...keepNetworkProfile(kernel, store.path));
    const { tries } = slotOf(committed, slot);
    const did = trial
      ? `Slot ${slot} is committed: its trial is over, and it has ${tries} tries.`
      : `Slot ${slot} was committed before; this boot is good, and it has all its ${tries} tries again.`;
    const revoked = committed.floors?.boot ?? 0;
    const raises = revoked > (record.floors?.boot ?? 0);
    return {
      slot,
      changed,
      did: [
        changed ? did : `Slot ${slot} is committed and has all its ${tries} tries: nothing to change.`,
        ...(raises ? [`No image with a rollback index below ${revoked} boots on this machine any more.`] : []),
      ],
      warnings,
      next: "nothing to do.",
    };
  };
  return changeRecord(kernel, places, WHO, change, waitMs);
}

function readTold(kernel: Kernel, places: Places, wanted: ToRead): Promise<string> {
  const what = `reading slot ${wanted.slot}`;
  return withProgress(what, bytesToRead(kernel, wanted), (onBytes) => readWhole(kernel, places, wanted, onBytes));
}

/** As {@link commit}, once the slot of a trial was read whole. */
export async function commitWhole(kernel: Kernel, places: Places): Promise<Answer> {
  const wanted = beforeCommit(kernel, places);
  const read = wanted === null ? [] : [await readTold(kernel, places, wanted)];
  const answer = commit(kernel, places);
  return { ...answer, did: [...read, ...answer.did] };
}

/** The answer with what the commit means for the machine's bootloader, where that is slipway's too. */
export async function withBootloader(kernel: Kernel, places: Places, answer: Answer): Promise<Answer> {
  if (readMachine(kernel, places).control.bootloader === undefined) return answer;
  const { settleAfterCommit } = await import("../bootloader/after-commit.ts");
  const { did, warnings } = settleAfterCommit(kernel, places, LOCK_WAIT);
  return {
    ...answer,
    changed: answer.changed || did.length > 0,
    did: [...answer.did, ...did],
    warnings: [...answer.warnings, ...warnings],
  };
}

export const verb: Verb = {
  help: `
Usage: slipway commit [--quick] [--json]

Says that the running image is good: ends the trial of its slot, or gives a committed slot all its tries back. The unit
slipway-commit.service does it at every boot, once boot-complete.target was reached. Refused while the boot of a trial is
degraded, and in safe mode, where the unit is skipped. Doing it twice does no harm. RAUC's word for it, mark-good, works too.

Before a trial ends, the whole slot is read against its image's hash tree, when nobody else wants the disk: a bad block that
nobody read yet would restart the machine some day. Where one is found the trial is not committed.

Where the control file names boot directories, a bootloader on trial that this boot is by is committed too, and the firmware's
boot entries are put right (slipway bootloader check). Whatever becomes of that, the slot is committed.

Options:
  --quick   do not read the slot
  --json    print one JSON object: slot, changed, did, warnings, next`,
  options: { quick: { type: "boolean" }, json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const kernel = linuxKernel();
    const answer = flag(values, "quick") ? commit(kernel, PLACES) : await commitWhole(kernel, PLACES);
    print(await withBootloader(kernel, PLACES, answer), flag(values, "json"));
    return 0;
  },
};
