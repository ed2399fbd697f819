/** Putting a bootloader into the boot directory that does not run, and having the firmware try it once. */
import {
  type EditionFile,
  type EditionManifest,
  editionDirectory,
  editionText,
  encodeManifest,
} from "../../boot/bootloader/edition.ts";
import { type BootPlace, entryFor } from "../../boot/bootloader/facts.ts";
import { freeEntry } from "../../boot/bootloader/put-right.ts";
import { type BootloaderTrial, bootloaderRecord, refuseDuringTrial } from "../../boot/bootloader/record.ts";
import { highestNumber, leftovers, targetOf } from "../../boot/bootloader/settle.ts";
import { pendingTrial } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { bootEntryName, decodeBootNumber, EFI_VARIABLE } from "../../boot/stores/efi-variables.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Change, changeRecord, LOCK_WAIT, writeRecord } from "../commands/change-record.ts";
import { type Places, readMachine } from "../commands/machine.ts";
import { withInstallLock } from "../converge/install-lock.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { type Bootloaders, carryOut, gatherFacts, withBootloaders } from "./gather.ts";
import { removeEditions, type Settled, settleWith } from "./settle.ts";
import { versionIn, withSource } from "./source-files.ts";
import { writeEdition } from "./write-edition.ts";

const WHO = "slipway bootloader install";

export interface BootloaderInstall {
  /** Directory of the running system that holds what the boot directory shall hold. */
  directory: string;
  /** Null: what the program calls itself. */
  version: string | null;
}

/** What an install did. */
export interface BootloaderInstalled {
  trial: BootloaderTrial;
  did: string[];
  warnings: string[];
}

/**
 * Writes a new edition into the boot directory that neither runs nor boots first, reads it back, and sets BootNext to a new boot
 * entry that leads to it. Throws BadInput for a source that no boot directory can hold, Refusal while a trial of a slot or a
 * bootloader is not over, without room, and where firmware or filesystem refuse: the machine boots as before then.
 */
export function installBootloader(kernel: Kernel, places: Places, order: BootloaderInstall): Promise<BootloaderInstalled> {
  const machine = readMachine(kernel, places);
  const work = (bootloaders: Bootloaders) => installWith(kernel, places, bootloaders, order);
  return withInstallLock(kernel, places.installLock, WHO, async () => withBootloaders(kernel, places, machine, "write", work));
}

function installWith(kernel: Kernel, places: Places, bootloaders: Bootloaders, order: BootloaderInstall): BootloaderInstalled {
  const before = changeRecord(kernel, places, WHO, (change) => {
    refuseSlotTrial(change);
    return settleWith(kernel, bootloaders, change, { commit: false, how: "sizes" });
  });
  return withSource(kernel, order.directory, bootloaders.control.program, (source, files) => {
    const version = order.version ?? versionIn(kernel, source, bootloaders.control.program);
    const { facts, place, root } = changeRecord(kernel, places, WHO, (change) => begin(kernel, bootloaders, change, before));
    const manifest: EditionManifest = { schema: 1, version, files };
    // Before the room is counted: what an install that was cut short left would be in the way of all that follow.
    const old = leftovers(facts, place, [before.settlement.wanted.second]);
    const warnings = [...before.warnings, ...removeEditions(kernel, bootloaders, old)];
    refuseWithoutRoom(kernel, root, place, manifest);
    const name = editionDirectory(highestNumber(facts) + 1);
    try {
      writeEdition(kernel, root, place.directory, name, source, manifest);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      throw new Refusal(
        `${place.directory} on ${place.device} cannot be written (${error.code}); is the filesystem sound (fsck.vfat)?`,
      );
    }
    const edition = { device: place.device, path: `${place.directory}/${name}` };
    const trial = arm(kernel, places, bootloaders, edition, version, facts.attempt);
    const told = `${editionText(edition)} holds ${countText(files)}${version === null ? "" : `, ${version}`}; all was read back.`;
    const entry = `${bootEntryName(trial.entry)} leads there, and BootNext has the firmware start it once.`;
    return { trial, did: [...before.did, told, entry], warnings };
  });
}

function countText(files: readonly EditionFile[]): string {
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return `${files.length} ${files.length === 1 ? "file" : "files"} of ${bytes} bytes`;
}

/** A trial of a slot shows nothing of a bootloader, and the other way round: one at a time. */
function refuseSlotTrial({ machine, record }: Change): void {
  const { slot } = machine.report;
  if (slotOf(record, slot).state !== "committed")
    throw new Refusal(`the running slot ${slot} is on trial; run "slipway commit" first`);
  const pending = pendingTrial(record, slot);
  if (pending !== null)
    throw new Refusal(`slot ${pending} waits for its trial; reboot into it, or run "slipway mark-bad ${pending}" first`);
}

/** Where the new edition is to be. */
function begin(kernel: Kernel, bootloaders: Bootloaders, change: Change, { settlement }: Settled) {
  refuseDuringTrial(bootloaderRecord(change.record.bootloader));
  const facts = gatherFacts(kernel, bootloaders, change.record, "sizes");
  const place = targetOf(facts, settlement.wanted);
  if (place === null) throw new Refusal("both boot directories are in use; see slipway bootloader status");
  const root = bootloaders.esps.get(place.device)?.root ?? null;
  if (root === null || place.fault !== null) throw new Refusal(place.fault ?? `${place.device} is not there`);
  return { facts, place, root };
}

/** FAT's own structures take a little more than the files, and a cluster is not shared. */
function refuseWithoutRoom(kernel: Kernel, root: Descriptor, { device }: BootPlace, manifest: EditionManifest): void {
  const { blockSize, available } = kernel.filesystemStatus(root);
  const sizes = [...manifest.files.map(({ size }) => size), encodeManifest(manifest).length];
  const directories = new Set(manifest.files.map(({ path }) => path.slice(0, path.lastIndexOf("/") + 1))).size;
  const clusters = sizes.reduce((sum, size) => sum + Math.ceil(size / blockSize), 0) + 2 * directories + 2;
  if (BigInt(clusters) <= available) return;
  const [needed, free] = [clusters * blockSize, available * BigInt(blockSize)];
  throw new Refusal(
    `${device} has ${free} bytes free, and ${needed} are needed beside what is there; remove what nobody needs from it`,
  );
}

/** The record, the entry, BootNext, and the record again: what runs next knows of a trial that it may come from. */
function arm(
  kernel: Kernel,
  places: Places,
  bootloaders: Bootloaders,
  edition: BootloaderTrial["edition"],
  version: string | null,
  attempt: number,
): BootloaderTrial {
  return changeRecord(
    kernel,
    places,
    WHO,
    (change) => {
      refuseSlotTrial(change);
      const known = bootloaderRecord(change.record.bootloader);
      refuseDuringTrial(known);
      if (change.machine.report.attempt !== attempt)
        throw new Refusal("another boot is under way than the one that began this install");
      const facts = gatherFacts(kernel, bootloaders, change.record, "sizes");
      const option = entryFor(facts, edition);
      if (option === null) throw new Refusal(`${edition.device} is not there any more`);
      const trial: BootloaderTrial = { edition, version, entry: freeEntry(facts.firmware), attempt, armed: false };
      const lastNumber = highestNumber(facts);
      const write = (value: BootloaderTrial | null) =>
        writeRecord(change.store, { ...change.record, bootloader: { ...known, lastNumber, trial: value } });
      write(trial);
      try {
        carryOut(bootloaders.variables, [
          { set: "entry", number: trial.entry, option, why: "the new edition" },
          { set: "next", number: trial.entry, why: "the trial" },
        ]);
      } catch (error) {
        undo(bootloaders, trial.entry);
        write(null);
        removeEditions(kernel, bootloaders, [edition]);
        throw error;
      }
      const armed = { ...trial, armed: true };
      write(armed);
      return armed;
    },
    LOCK_WAIT,
  );
}

/** What a firmware took of a trial before it refused the rest. A BootNext of somebody else's stays. */
function undo({ variables }: Bootloaders, entry: number): void {
  try {
    const next = variables.read(EFI_VARIABLE.bootNext);
    const isOurs = next !== null && typeof next !== "string" && decodeBootNumber(next.value) === entry;
    if (isOurs) carryOut(variables, [{ remove: "next", why: "no trial" }]);
    carryOut(variables, [{ remove: "entry", number: entry, why: "no trial" }]);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}
