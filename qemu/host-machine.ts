/**
 * A machine of which only /run tells, so that `slipway install` runs on the host itself, without a virtual machine: as after a
 * boot of slot a, committed. For processes in a mount namespace of their own with a tmpfs on /run.
 */
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { abilitiesOn } from "../boot/image/judge-seal.ts";
import { RECORD_LAYOUT } from "../boot/record/store.ts";
import { type BootReport, RUN } from "../boot/report.ts";
import { linuxKernel } from "../init/kernel/linux.ts";
import { openBootRecord } from "../init/store/boot-record.ts";
import { hostArchitecture } from "./architecture.ts";
import { compileControl } from "./product.ts";

export interface HostMachineOptions {
  /** Of the images that it takes. */
  system: string;
  /** Public key that images must be signed for, a PEM file. */
  key: string;
  /** Devices or files by slot. */
  slots: { a: string; b: string };
  /** Image id of what runs in slot a. */
  running: string;
  /** Gets the boot record. Not on a tmpfs, which has no O_DIRECT. */
  directory: string;
}

/** Writes boot record, boot.json and control.json, over those of a machine before. */
export async function tellOfMachine({ system, key, slots, running, directory }: HostMachineOptions): Promise<void> {
  const record = `${directory}/boot-record`;
  const text = `system: ${system}
slots:
  a: { device: ${slots.a} }
  b: { device: ${slots.b} }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: { keys: [${key}] }
`;
  rmSync(RUN.directory, { recursive: true, force: true });
  mkdirSync(RUN.directory);
  mkdirSync(`${directory}/empty-tree`, { recursive: true });
  await compileControl(text, `${directory}/empty-tree`, RUN.control);
  writeFileSync(record, "");
  truncateSync(record, RECORD_LAYOUT.minimumPartitionSize);
  const store = openBootRecord(linuxKernel(), record);
  const slot = { tries: 10, credits: 0, damaged: null, reason: null };
  const written = store.write({
    schema: 1,
    slots: {
      a: { ...slot, state: "committed", priority: 2, imageId: running },
      b: { ...slot, state: "empty", priority: 1, tries: 0, imageId: null },
    },
    attempt: { number: 1, slot: "a", imageId: running, trial: false, stage: "good", cleanEnd: false },
    lastCommitted: { slot: "a", imageId: running },
    ...{ uncleanEnds: 0, exhausted: 0, quarantined: [], dataFilesystem: null, lastKnownUnixMs: 0 },
  });
  store.close();
  if (!written.written) throw new Error(`the boot record ${record} cannot be written: ${written.reason}`);
  const report: BootReport = {
    ...abilitiesOn(hostArchitecture),
    ...{ schema: 1, attempt: 1, slot: "a", imageId: running, slotDevice: slots.a, trial: false },
    ...{ image: null, proof: "none", signers: [], verity: null },
    ...{ why: "the only slot that can boot", skipped: [], rollback: null, generation: null, data: null },
    record: { condition: "valid", writable: true, device: record },
    ...{ stateNotes: [], degraded: [], recovery: null, warnings: [], timeline: [] },
  };
  writeFileSync(RUN.report, JSON.stringify(report));
}
