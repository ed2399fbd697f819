/** A running machine that slipway booted, in memory: boot report, boot record on a partition, two slots, a fake systemctl. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JournalEntry } from "../../boot/record/journal.ts";
import type { BootRecord, SlotName, SlotRecord } from "../../boot/record/record.ts";
import { RECORD_LAYOUT } from "../../boot/record/store.ts";
import type { BootReport } from "../../boot/report.ts";
import { PLACES, type Places } from "../../init/commands/machine.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { controlFile, ext4, image, MiB } from "./golden-machine.ts";

/** Of the data filesystem. */
export const DATA_UUID = "00000004-0000-0000-0000-000000000001";
export const IMAGE_A = image(1).id;
export const IMAGE_B = image(2).id;
/** Wall clock of the machine: 2026-01-01, 00:00 UTC, and a minute. */
export const NOW = Date.UTC(2026, 0, 1, 0, 1);

export function slot(change: Partial<SlotRecord> = {}): SlotRecord {
  return { state: "committed", priority: 1, tries: 10, imageId: IMAGE_A, credits: 0, damaged: null, reason: null, ...change };
}

/** Slot a runs, committed, in attempt 7; slot b is a committed fallback. */
export function record(change: Partial<BootRecord> = {}): BootRecord {
  return {
    schema: 1,
    slots: { a: slot({ priority: 2, tries: 9 }), b: slot({ imageId: IMAGE_B }) },
    attempt: { number: 7, slot: "a", imageId: IMAGE_A, trial: false, stage: "handover", cleanEnd: false },
    lastCommitted: { slot: "a", imageId: IMAGE_A },
    uncleanEnds: 0,
    exhausted: 0,
    quarantined: [],
    dataFilesystem: null,
    lastKnownUnixMs: 0,
    ...change,
  };
}

export function report(change: Partial<BootReport> = {}): BootReport {
  return {
    schema: 1,
    controlFormat: 1,
    attempt: 7,
    slot: "a",
    features: [],
    imageId: IMAGE_A,
    image: null,
    proof: "none",
    signers: [],
    verity: null,
    slotDevice: "/dev/vda2",
    trial: false,
    why: "first of the slots that can boot (committed, 10 of 10 tries left)",
    skipped: [],
    rollback: null,
    record: { condition: "valid", writable: true, device: "/dev/vda1" },
    generation: "000004",
    data: { device: "/dev/vda4", filesystem: "ext4", uuid: DATA_UUID },
    stateNotes: [],
    degraded: [],
    warnings: [],
    recovery: null,
    timeline: [{ name: "devices", startMs: 900, lengthMs: 40 }],
    ...change,
  };
}

export function entry(attempt: number, change: Partial<JournalEntry> = {}): JournalEntry {
  return {
    attempt,
    slot: "a",
    imageId: IMAGE_A,
    trial: false,
    stage: "handover",
    outcome: "running",
    reason: null,
    startedUnixMs: Date.UTC(2026, 0, 1) - (7 - attempt) * 3_600_000,
    ...change,
  };
}

/** The same machine with slot b running on trial in its first try, attempt 7. */
export function trialOfB(degraded: BootReport["degraded"] = []) {
  return {
    record: record({
      slots: { a: slot({ tries: 10 }), b: slot({ state: "trial", priority: 2, tries: 2, imageId: IMAGE_B }) },
      attempt: { number: 7, slot: "b", imageId: IMAGE_B, trial: true, stage: "handover", cleanEnd: false },
    }),
    report: report({
      slot: "b",
      imageId: IMAGE_B,
      slotDevice: "/dev/vda3",
      trial: true,
      why: "first of the slots that can boot (on trial, 3 of 3 tries left)",
      degraded,
    }),
    journal: [entry(7, { slot: "b", imageId: IMAGE_B, trial: true })],
    uncommitted: true,
  };
}

export interface MachineOptions {
  record?: BootRecord | null;
  report?: BootReport;
  journal?: JournalEntry[];
  uncommitted?: boolean;
  control?: Partial<ControlFile>;
  /** First bytes of slot b; null: all zero. */
  slotB?: Uint8Array | null;
  /** What a mount of slot b, or of the dm-verity device over it, shows; without it nothing can be mounted. */
  treeB?: Tree;
  /** Below /run and /sys. */
  run?: Tree;
  sys?: Tree;
  /** What the data filesystem holds below its root; without it, its layout alone. */
  data?: Tree;
  /** Further trees of the running system: "usr/lib/slipway/control.json". */
  root?: Tree;
  /** A shell script in place of systemctl; it fails if absent. */
  systemctl?: string;
}

const directory = mkdtempSync(join(tmpdir(), "slipway-commands-"));
process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
let count = 0;

export class TestMachine {
  readonly kernel = new RecordingKernel({ unixMs: NOW, verity: [1, 9, 0] });
  readonly places: Places;
  readonly recordDevice: BlockDevice;
  readonly dataDevice: BlockDevice;
  readonly #calls: string;

  constructor(options: MachineOptions = {}) {
    const disk = this.kernel.addDevice({ path: "/dev/vda", number: { major: 254, minor: 0 }, size: 64 * MiB });
    const part = (number: number, label: string, contents: Uint8Array | null, filesystem?: { type: string; tree: Tree }) =>
      this.kernel.addDevice(
        new BlockDevice({
          path: `/dev/vda${number}`,
          number: { major: 254, minor: number },
          size: 4 * MiB,
          partition: { of: disk, number, start: number * 8 * MiB, label },
          ...(contents ? { contents } : {}),
          ...(filesystem ? { filesystem } : {}),
        }),
      );
    this.recordDevice = part(1, "boot-record", null);
    part(2, "root-a", image(1).head, { type: "erofs", tree: image(1).tree });
    const layout = { gens: {}, slots: {}, shared: {}, work: {}, trash: {} };
    this.dataDevice = part(4, "sys-data", ext4(4), { type: "ext4", tree: { ...layout, ...options.data } });
    const slotB = options.treeB === undefined ? undefined : { type: "erofs", tree: options.treeB };
    part(3, "root-b", options.slotB === undefined ? image(2).head : options.slotB, slotB);
    this.kernel.plant("/", {
      run: {
        slipway: {
          "boot.json": JSON.stringify(options.report ?? report()),
          "control.json": controlFile(options.control).text,
          ...(options.uncommitted ? { uncommitted: "" } : {}),
        },
        ...options.run,
      },
      "usr/lib/os-release": 'PRETTY_NAME="Acme OS 2"\nIMAGE_VERSION=2.1\n',
      ...options.root,
    });
    if (options.sys) this.kernel.plant("/sys", options.sys);
    if (options.record !== null) this.#seed(options.record ?? record(), options.journal ?? [entry(7)]);
    const systemctl = join(directory, `systemctl-${++count}`);
    this.#calls = `${systemctl}.calls`;
    writeFileSync(this.#calls, "");
    writeFileSync(systemctl, `#!/bin/sh\necho "$*" >>"${this.#calls}"\n${options.systemctl ?? "exit 1"}\n`);
    chmodSync(systemctl, 0o755);
    this.places = { ...PLACES, systemctl };
    this.kernel.beginTrace();
  }

  #seed(contents: BootRecord, journal: JournalEntry[]): void {
    const store = openBootRecord(this.kernel, "/dev/vda1");
    store.write(contents);
    for (const attempt of journal) store.appendJournal(attempt);
    store.close();
  }

  /** What the next boot finds. */
  stored() {
    const store = openBootRecord(this.kernel, "/dev/vda1");
    try {
      return store.read();
    } finally {
      store.close();
    }
  }

  record(): BootRecord {
    const { record: found } = this.stored().record;
    if (found === null) throw new Error("the boot record is not valid any more");
    return found;
  }

  slot(name: SlotName): SlotRecord {
    const found = this.record().slots[name];
    if (!found) throw new Error(`no slot ${name} in the record`);
    return found;
  }

  attempt(number: number): JournalEntry | undefined {
    return this.stored().journal.find((found) => found.attempt === number);
  }

  get uncommitted(): boolean {
    return this.kernel.peek(this.places.uncommitted) !== null;
  }

  /** How many writes reached one of the record's copies since the machine was made. */
  get recordWrites(): number {
    const places = RECORD_LAYOUT.copyOffsets.map((offset) => `at 0x${offset.toString(16)})`);
    const writes = this.kernel.trace.split("\n").filter((line) => line.startsWith('write("/dev/vda1"'));
    return writes.filter((line) => places.some((place) => line.endsWith(place))).length;
  }

  /** Arguments of systemctl, one call a line. */
  get systemctlCalls(): string[] {
    return readFileSync(this.#calls, "utf8")
      .split("\n")
      .filter((line) => line !== "");
  }
}
