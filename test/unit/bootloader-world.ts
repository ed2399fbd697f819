/** A machine of two EFI system partitions and a firmware, in memory: installs, starts, power cuts, and what the firmware forgets. */

import { type BootloaderRecord, bootloaderRecord } from "../../boot/bootloader/record.ts";
import { readGpt } from "../../boot/devices/gpt.ts";
import { layoutBlank } from "../../boot/devices/gpt-plans.ts";
import { rewriteTable } from "../../boot/devices/gpt-table.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import {
  decodeLoadOption,
  encodeLoadOption,
  LOAD_OPTION,
  type LoadOption,
  programOf,
} from "../../boot/stores/efi-load-option.ts";
import {
  bootEntryNumber,
  bootEntryVariable,
  decodeBootNumber,
  decodeBootOrder,
  decodeVariable,
  EFI_VARIABLE,
  encodeBootNumber,
  encodeBootOrder,
  encodeVariable,
  KEPT_VARIABLE,
} from "../../boot/stores/efi-variables.ts";
import { type BootloaderInstalled, installBootloader } from "../../init/bootloader/install.ts";
import { rollBackBootloader } from "../../init/bootloader/rollback.ts";
import { settleBootloaders } from "../../init/bootloader/settle.ts";
import { bootloaderStatus } from "../../init/bootloader/status.ts";
import { PLACES } from "../../init/commands/machine.ts";
import { BlockDevice } from "../../init/kernel/recording/memory-devices.ts";
import { EfivarsFilesystem } from "../../init/kernel/recording/memory-efivars.ts";
import type { Entry } from "../../init/kernel/recording/memory-nodes.ts";
import type { Tree } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { entry, record, report } from "./commands-machine.ts";
import { controlFile, MiB } from "./golden-machine.ts";

export const PROGRAM = "grubx64.efi";
const BOOTLOADER = {
  directories: [
    { device: "PARTLABEL=esp-a", directory: "EFI/slipway-a" },
    { device: "PARTLABEL=esp-b", directory: "EFI/slipway-b" },
  ],
  program: PROGRAM,
};

/** A loader's program: what it is called, and whether it brings a system up. */
export function loader(name: string, does: "boots" | "hangs" = "boots"): string {
  return `loader ${name} ${does} ${"x".repeat(3000)} end\n`;
}

/** What an install puts into a boot directory. */
export function source(name: string, does: "boots" | "hangs" = "boots"): Tree {
  return {
    [PROGRAM]: loader(name, does),
    "grub.cfg": `configuration of ${name}\n`,
    "x86_64-efi/normal.mod": `module of ${name}\n`,
  };
}

const labels = ["boot-record", "root-a", "root-b", "esp-a", "esp-b"] as const;
const sizes: Record<(typeof labels)[number], number> = { "boot-record": 4, "root-a": 4, "root-b": 4, "esp-a": 8, "esp-b": 8 };

/** How a start went. `by`: the loader's name. */
export type Start = { by: string } | { nothing: string };

export class BootloaderWorld {
  readonly efivars = new EfivarsFilesystem();
  readonly devices: BlockDevice[];
  attempt = 7;
  record: BootRecord = record();
  /** The kernel of the boot that is under way. */
  kernel: RecordingKernel;

  constructor(trees: { "esp-a"?: Tree; "esp-b"?: Tree } = {}) {
    const lastResort: Tree = { EFI: { BOOT: { "BOOTX64.EFI": loader("last resort") } } };
    const own: Record<string, Tree> = {
      "esp-a": trees["esp-a"] ?? { ...lastResort, "EFI/slipway-a": { [PROGRAM]: loader("factory a") } },
      "esp-b": trees["esp-b"] ?? { "EFI/slipway-b": { [PROGRAM]: loader("factory b") } },
    };
    const disk = new BlockDevice({ path: "/dev/vda", number: { major: 254, minor: 0 }, size: 64 * MiB });
    const wanted = labels.map((label, index) => ({
      ...{ label, size: sizes[label] * MiB, attributes: 0n },
      ...{ type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", unique: `0000000${index}-0000-4000-8000-000000000000` },
    }));
    const guid = "00000000-1111-4222-8333-444444444444";
    const table = layoutBlank(wanted, { sizeBytes: BigInt(64 * MiB), sectorSize: 512, guid });
    const stages = typeof table === "string" ? table : rewriteTable(table, new Uint8Array(512));
    if (typeof stages === "string") throw new Error(stages);
    for (const { offset, bytes } of stages.flat()) disk.storage.write(Number(offset), bytes);
    disk.storage.sync();
    const gpt = readGpt((offset, length) => disk.storage.read(Number(offset), length), BigInt(64 * MiB), 512);
    if (typeof gpt === "string") throw new Error(gpt);
    const parts = gpt.partitions.map(({ number, label, firstLba }) => {
      const tree = own[label];
      return new BlockDevice({
        path: `/dev/vda${number}`,
        number: { major: 254, minor: number },
        size: wanted[number - 1]?.size ?? 0,
        partition: { of: disk, number, start: Number(firstLba) * 512, label },
        ...(tree === undefined ? {} : { filesystem: { type: "vfat", tree } }),
      });
    });
    this.devices = [disk, ...parts];
    this.kernel = this.#kernel();
    const store = openBootRecord(this.kernel, "/dev/vda1");
    store.write(this.record);
    store.appendJournal(entry(7));
    store.close();
    for (const device of this.devices) device.sync();
  }

  device(label: "esp-a" | "esp-b" | "boot-record"): BlockDevice {
    const found = this.devices.find(({ partition }) => partition?.label === label);
    if (found === undefined) throw new Error(`no ${label}`);
    return found;
  }

  #kernel(more: { plain?: boolean } = {}): RecordingKernel {
    const kernel = new RecordingKernel({ efivars: this.efivars });
    for (const device of this.devices) kernel.addDevice(device);
    const attempt = { ...report(), attempt: this.attempt, data: null, generation: null };
    kernel.plant("/", {
      run: {
        slipway: {
          "boot.json": JSON.stringify(attempt),
          "control.json": controlFile({ data: null, ...(more.plain ? {} : { bootloader: BOOTLOADER }) }).text,
        },
      },
    });
    kernel.beginTrace();
    return kernel;
  }

  /** The same boot again. `plain`: its control file names no boot directories. */
  renew(more: { plain?: boolean } = {}): RecordingKernel {
    this.kernel = this.#kernel(more);
    return this.kernel;
  }

  // The firmware's variables

  #variable(name: string): Uint8Array | null {
    const node = this.efivars.root.node.directory?.find(name)?.node;
    if (node === undefined) return null;
    const read = decodeVariable(node.bytes.read(0, node.bytes.size));
    return typeof read === "string" ? null : read.value;
  }

  set(name: string, value: Uint8Array | null): void {
    const { directory } = this.efivars.root.node;
    directory?.drop(name);
    if (value === null) return;
    const made = directory?.make(name, "file", 0o644);
    made?.node.bytes.write(0, encodeVariable({ attributes: KEPT_VARIABLE, value }));
  }

  get order(): number[] {
    const order = decodeBootOrder(this.#variable(EFI_VARIABLE.bootOrder) ?? new Uint8Array(0));
    return typeof order === "string" ? [] : order;
  }

  set order(order: number[]) {
    this.set(EFI_VARIABLE.bootOrder, encodeBootOrder(order));
  }

  get next(): number | null {
    const value = this.#variable(EFI_VARIABLE.bootNext);
    const number = value === null ? null : decodeBootNumber(value);
    return typeof number === "string" ? null : number;
  }

  entry(number: number): LoadOption | null {
    const value = this.#variable(bootEntryVariable(number));
    const option = value === null ? null : decodeLoadOption(value);
    return typeof option === "string" ? null : option;
  }

  setEntry(number: number, option: LoadOption | null): void {
    this.set(bootEntryVariable(number), option === null ? null : encodeLoadOption(option));
  }

  get entries(): number[] {
    const names = this.efivars.root.node.directory?.names() ?? [];
    return names.flatMap((name) => bootEntryNumber(name) ?? []).sort((left, right) => left - right);
  }

  /** The programs that BootOrder leads to, "esp-a EFI/slipway-a/grubx64.efi"; "?" for the entries of others. */
  get programs(): string[] {
    return this.order.map((number) => {
      const option = this.entry(number);
      const program = option === null ? null : programOf(option);
      if (program === null) return "?";
      const label = labels[Number(program.partition.slice(0, 8))];
      return `${label} ${program.path}`;
    });
  }

  /** All variables are gone, as after a new battery. */
  forget(): void {
    const { directory } = this.efivars.root.node;
    for (const name of directory?.names() ?? []) directory?.drop(name);
  }

  // Starts

  /** The file's text on an EFI system partition, names in either case; null where it is not there. */
  read(label: "esp-a" | "esp-b", path: string): string | null {
    let at: Entry | null = this.device(label).filesystem?.root ?? null;
    for (const name of path.split("/")) {
      const { directory } = at?.node ?? { directory: null };
      const found: string | undefined = directory?.names().find((candidate) => candidate.toLowerCase() === name.toLowerCase());
      at = found === undefined ? null : (directory?.find(found) ?? null);
    }
    if (at === null || at.node.kind !== "file") return null;
    return Buffer.from(at.node.bytes.read(0, at.node.bytes.size)).toString();
  }

  /**
   * The firmware starts: BootNext once, then BootOrder, then its last resort. A loader that hangs is reset, by a watchdog or a
   * person. A program of which a part is missing is what must never be started.
   */
  start(): Start {
    this.efivars.restart();
    this.attempt += 1;
    const { next } = this;
    this.set(EFI_VARIABLE.bootNext, null);
    const isActive = (number: number) => ((this.entry(number)?.attributes ?? 0) & LOAD_OPTION.active) !== 0;
    const tried = [...(next === null ? [] : [next]), ...this.order.filter(isActive)];
    for (const number of tried) {
      const option = this.entry(number);
      const program = option === null ? null : programOf(option);
      const label = program === null ? undefined : labels[Number(program.partition.slice(0, 8))];
      const text = program !== null && (label === "esp-a" || label === "esp-b") ? this.read(label, program.path) : null;
      if (text === null) continue;
      return this.#run(text, number, program?.path ?? "");
    }
    const text = this.read("esp-a", "EFI/BOOT/BOOTX64.EFI");
    if (text === null) return { nothing: "no loader was found" };
    const number = [...Array(0x10000).keys()].find((candidate) => !this.entries.includes(candidate)) ?? 0;
    const empty = { morePaths: new Uint8Array(0), data: new Uint8Array(0) };
    this.setEntry(number, { attributes: 1, description: "UEFI Misc Device", path: [], ...empty });
    this.order = [...this.order, number];
    return this.#run(text, number, "EFI/BOOT/BOOTX64.EFI");
  }

  #run(text: string, number: number, path: string): Start {
    const match = /^loader (.*) (boots|hangs) x+ end\n$/s.exec(text);
    if (match === null) throw new Error(`the firmware started half a loader, ${path}: ${JSON.stringify(text.slice(0, 40))}`);
    if (match[2] === "hangs") return this.start();
    this.set(EFI_VARIABLE.bootCurrent, encodeBootNumber(number));
    this.#count();
    return { by: match[1] ?? "" };
  }

  /** PID 1 counts the attempt, and hands over. */
  #count(): void {
    this.kernel = this.#kernel();
    const store = openBootRecord(this.kernel, "/dev/vda1");
    const { record: found } = store.read().record;
    if (found?.attempt === null || found === null) throw new Error("the boot record is not valid any more");
    store.write({ ...found, attempt: { ...found.attempt, number: this.attempt } });
    store.appendJournal(entry(this.attempt));
    store.close();
    this.kernel.beginTrace();
  }

  /** Remembers everything; what it returns brings that back. */
  checkpoint(): () => void {
    const backs = this.devices.map((device) => device.checkpoint());
    const names = this.efivars.root.node.directory?.names() ?? [];
    const variables = names.map((name) => [name, this.#variable(name)] as const);
    const { attempt } = this;
    return () => {
      for (const back of backs) back();
      this.forget();
      for (const [name, value] of variables) this.set(name, value);
      this.attempt = attempt;
      this.kernel = this.#kernel();
    };
  }

  // What the commands do

  get known(): BootloaderRecord {
    const store = openBootRecord(this.kernel, "/dev/vda1");
    const { record: found } = store.read().record;
    store.close();
    if (found === null) throw new Error("the boot record is not valid any more");
    return bootloaderRecord(found.bootloader);
  }

  install(files: Tree = source("new"), version: string | null = "2"): Promise<BootloaderInstalled> {
    this.kernel.plant("/", { srv: { new: files } });
    return installBootloader(this.kernel, PLACES, { directory: "/srv/new", version });
  }

  settle(commit: boolean, how: "sizes" | "whole" = "sizes") {
    return settleBootloaders(this.kernel, PLACES, { commit, how, who: "test", waitMs: 0 });
  }

  rollBack() {
    return rollBackBootloader(this.kernel, PLACES);
  }

  status() {
    return bootloaderStatus(this.kernel, PLACES);
  }
}
