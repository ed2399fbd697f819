/** A machine with one disk, in memory, as far as a boot that looks for its boot record: tables are read and written for real. */

import type { BlockDevice as Device } from "../../boot/devices/block-device.ts";
import { readGpt } from "../../boot/devices/gpt.ts";
import { layoutBlank, type NewPartition } from "../../boot/devices/gpt-plans.ts";
import { type GptPair, type GptTable, readGptPair, rewriteTable } from "../../boot/devices/gpt-table.ts";
import { parseCommandLine } from "../../boot/kernel-command-line.ts";
import { encodeRecord, freshRecord } from "../../boot/record/store.ts";
import { policyOf } from "../../boot/selection/policy.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { file as memoryFile } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { Ended, PowerCut } from "../../init/kernel/recording/script.ts";
import { Devices } from "../../init/sequence/devices.ts";
import { Launch } from "../../init/sequence/launch.ts";
import { Log } from "../../init/sequence/log.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { controlFile, ext4 } from "./golden-machine.ts";

export const MiB = 1024 * 1024;
export const LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4";

export const guid = (tag: number): string => `${tag.toString(16).padStart(8, "0")}-0000-4000-8000-000000000000`;

export function part(label: string, mebibytes: number | null, tag: number): NewPartition {
  return { label, size: mebibytes === null ? null : mebibytes * MiB, type: LINUX, unique: guid(tag), attributes: 0n };
}

/** The machine's own layout, without and with data. */
export const systemParts = [part("boot-record", 4, 1), part("root-a", 8, 2), part("root-b", 8, 3)];
export const allParts = [...systemParts, part("sys-data", null, 4)];

export const layout = allParts.map(({ label, size, type }) => ({ label, size, type }));

export interface Found {
  kernel: RecordingKernel;
  /** Null: there is none, or the power went before it was found. */
  record: Device | null;
  /** "power cut", or what was thrown; null: nothing. */
  end: string | null;
  warnings: string[];
  notes: string[];
}

export interface DeskOptions {
  mebibytes?: number;
  /** What the disk's table was made for, where that is another size; null: there is no table. */
  made?: { mebibytes: number; parts: NewPartition[] } | null;
  control?: Partial<ControlFile>;
}

export class Desk {
  readonly disk: BlockDevice;
  readonly control: ControlFile;
  readonly others: BlockDevice[] = [];
  /** Programs of the initrd; how mkfs ends. */
  mkfs: { there: boolean; exitCode: number } = { there: true, exitCode: 0 };
  /** Files below /sys. */
  system: Record<string, string> = {};

  constructor(options: DeskOptions = {}) {
    const { mebibytes = 64, made = { mebibytes, parts: allParts } } = options;
    this.disk = new BlockDevice({ path: "/dev/vda", number: { major: 254, minor: 0 }, size: mebibytes * MiB });
    this.control = controlFile({ operators: [], ...options.control }).control;
    if (made !== null) this.writeTable(tableFor(made.mebibytes, made.parts));
  }

  writeTable(table: GptTable): void {
    const rewrite = rewriteTable(table, new Uint8Array(512));
    if (typeof rewrite === "string") throw new Error(rewrite);
    for (const { offset, bytes } of rewrite.flat()) {
      if (Number(offset) < this.disk.storage.size) this.write(Number(offset), bytes);
    }
  }

  /** On the disk at once. */
  write(offset: number, bytes: Uint8Array): void {
    this.disk.storage.below.write(offset, bytes);
  }

  read(offset: number, length: number): Uint8Array {
    return this.disk.storage.read(offset, length);
  }

  get bytes(): Uint8Array {
    return this.read(0, this.disk.storage.size);
  }

  get pair(): GptPair {
    return readGptPair((offset, length) => this.read(Number(offset), length), BigInt(this.disk.storage.size), 512);
  }

  /** Of the table that a kernel would use: label, start and end in MiB, attributes. Or why there is none. */
  get partitions(): [string, number, number, bigint][] | string {
    const table = readGpt((offset, length) => this.read(Number(offset), length), BigInt(this.disk.storage.size), 512);
    if (typeof table === "string") return table;
    return table.partitions.map(({ label, firstLba, lastLba, attributes }) => [
      label,
      Number(firstLba) / 2048,
      Number(lastLba + 1n) / 2048,
      attributes,
    ]);
  }

  /** A record that knows a data filesystem. */
  writeRecord(dataFilesystem: string | null): void {
    const record = { ...freshRecord(policyOf(this.control)), dataFilesystem };
    this.write(MiB, encodeRecord(record, 1));
  }

  kernel(): RecordingKernel {
    const kernel = new RecordingKernel({ stepMs: 0 });
    kernel.addDevice(this.disk);
    for (const other of this.others) kernel.addDevice(other);
    kernel.scanPartitions(this.disk);
    kernel.plant("/sys", this.system);
    kernel.plant("/", { run: {} });
    if (this.mkfs.there) kernel.plant("/", { "usr/sbin/mkfs.ext4": memoryFile("", { mode: 0o755 }) });
    kernel.onSpawn({ match: /mkfs\.ext4 .*\/dev\/vda\d$/, exitCode: this.mkfs.exitCode, run: () => this.#makeExt4() });
    kernel.beginTrace();
    return kernel;
  }

  /** What mkfs writes: here and there, and where it succeeds a superblock. */
  #makeExt4(): void {
    const data = typeof this.partitions === "string" ? undefined : this.partitions.find(([label]) => label === "sys-data");
    if (data === undefined) throw new Error("mkfs runs, and the table has no data partition");
    this.write(data[1] * MiB + 5 * MiB, new Uint8Array(4096).fill(0xe4));
    if (this.mkfs.exitCode === 0) this.write(data[1] * MiB, ext4(0xda));
  }

  /** A boot as far as the boot record. */
  async find(kernel = this.kernel()): Promise<Found> {
    const launch = new Launch(kernel, new Log(kernel), this.control, parseCommandLine(""));
    let record: Device | null = null;
    let end: string | null = null;
    try {
      record = await new Devices(launch).findRecord();
    } catch (error) {
      if (error instanceof Ended) throw error;
      end = error instanceof PowerCut ? "power cut" : String(error);
    }
    return { kernel, record, end, warnings: launch.warnings, notes: launch.stateNotes };
  }
}

/** A table as it was made for a disk of that size. */
export function tableFor(mebibytes: number, parts: NewPartition[]): GptTable {
  const table = layoutBlank(parts, { sizeBytes: BigInt(mebibytes * MiB), sectorSize: 512, guid: guid(0xd) });
  if (typeof table === "string") throw new Error(table);
  return table;
}

/**
 * Boots `desk` with the power cut after every number of effects, and what was not synced kept, lost or mixed; then calls `after`.
 * Returns how many cuts there were.
 */
export async function cutFinds(desk: Desk, after: (text: string, cut: Found) => Promise<void>): Promise<number> {
  const back = desk.disk.checkpoint();
  const whole = await desk.find();
  const total = whole.kernel.effects;
  if (whole.end !== null) throw new Error(whole.end);
  let cuts = 0;
  for (const unsynced of ["kept", "lost", "mixed"] as const) {
    for (let effects = 0; effects < total; effects++) {
      back();
      const kernel = desk.kernel();
      kernel.crashAfter(effects, effects % 2 === 0 ? 0 : 512, unsynced);
      const cut = await desk.find(kernel);
      if (cut.end !== "power cut") throw new Error(`effect ${effects}: ${cut.end}`);
      await after(`cut after ${effects} of ${total} effects, unsynced ${unsynced}`, cut);
      cuts++;
    }
  }
  back();
  return cuts;
}
