/** Looking at the bootloaders, and putting right what is not as it should be: at each commit, and when it is asked for. */
import { editionText } from "../../boot/bootloader/edition.ts";
import type { BootloaderFacts } from "../../boot/bootloader/facts.ts";
import { bootloaderRecord } from "../../boot/bootloader/record.ts";
import { leftovers, type Settlement, settle } from "../../boot/bootloader/settle.ts";
import { type Change, changeRecord, writeRecord } from "../commands/change-record.ts";
import { type Places, readMachine } from "../commands/machine.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { splitPath, withDirectory } from "../state/beneath.ts";
import { type Bootloaders, carryOut, gatherFacts, stepText, withBootloaders } from "./gather.ts";
import type { EditionReading } from "./read-editions.ts";
import { removeEdition } from "./write-edition.ts";

/** What a look did and found. */
export interface Settled {
  settlement: Settlement;
  changed: boolean;
  did: string[];
  warnings: string[];
}

export interface SettleOrder {
  /** Ends a trial that runs. */
  commit: boolean;
  how: EditionReading;
  /** What this command is called in somebody else's refusal. */
  who: string;
  waitMs: number;
}

/**
 * Judges a trial, brings the firmware's entries to what is wanted, and writes what became of it into the record: the firmware
 * first and the record last, so that a cut between them is seen and made up for at the next look. Throws Refusal on a machine
 * without boot directories or UEFI, and what the firmware does not take.
 */
export function settleBootloaders(kernel: Kernel, places: Places, order: SettleOrder): Settled {
  const machine = readMachine(kernel, places);
  return withBootloaders(kernel, places, machine, "write", (bootloaders) => {
    const change = (facts: Change) => settleWith(kernel, bootloaders, facts, order);
    return changeRecord(kernel, places, order.who, change, order.waitMs);
  });
}

/** As {@link settleBootloaders}, with what is open already. */
export function settleWith(
  kernel: Kernel,
  bootloaders: Bootloaders,
  { machine, store, record }: Change,
  { commit, how }: Pick<SettleOrder, "commit" | "how">,
): Settled {
  const facts = gatherFacts(kernel, bootloaders, record, how);
  const settlement = settle(facts, commit);
  carryOut(bootloaders.variables, settlement.steps);
  const isNew = JSON.stringify(settlement.record) !== JSON.stringify(bootloaderRecord(record.bootloader));
  if (isNew) writeRecord(store, { ...record, bootloader: settlement.record });
  const { fate } = settlement;
  const warnings = [...settlement.warnings];
  if (fate.is === "failed") {
    const noted = store.updateJournal(machine.report.attempt, { reason: `bootloader trial failed: ${fate.reason}` });
    if (!noted.written) warnings.push(`the boot journal does not say so: ${noted.reason}`);
  }
  const ended = fate.is === "running" && commit;
  if (ended) warnings.push(...removeLeftovers(kernel, bootloaders, { ...facts, record: settlement.record }));
  return {
    settlement,
    changed: isNew || settlement.steps.length > 0,
    did: [...settlement.did, ...settlement.steps.map(stepText)],
    warnings,
  };
}

/** Removes the editions that nobody needs from the directory of the committed one. What cannot be removed is a warning. */
function removeLeftovers(kernel: Kernel, bootloaders: Bootloaders, facts: BootloaderFacts): string[] {
  const { committed } = facts.record;
  const place = facts.places.find(({ editions }) =>
    editions.some(({ device, path }) => device === committed?.device && path === committed.path),
  );
  return place === undefined ? [] : removeEditions(kernel, bootloaders, leftovers(facts, place, []));
}

/** Removes `editions`; what cannot be removed is a warning. */
export function removeEditions(
  kernel: Kernel,
  { esps }: Bootloaders,
  editions: readonly { device: string; path: string }[],
): string[] {
  return editions.flatMap((edition) => {
    const root = esps.get(edition.device)?.root ?? null;
    if (root === null) return [];
    const [directory, name] = splitPath(edition.path);
    try {
      withDirectory(kernel, root, directory, (place) => removeEdition(kernel, place, name));
      return [];
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return [
        `${editionText(edition)} cannot be removed (${error.code}); check the filesystem (fsck.vfat), or remove it by hand`,
      ];
    }
  });
}
