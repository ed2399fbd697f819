/** Machines with each of the stores in variables, on real filesystems and devices: begun, booted, changed, read by the loader's own tool. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { storeId } from "../../boot/stores/base.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { MS } from "../../init/kernel/constants.ts";
import type { Kernel } from "../../init/kernel/kernel.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { MirroredRecord } from "../../init/store/loader-store/mirrored-record.ts";
import { openLoaderStore } from "../../init/store/loader-store/open.ts";
import type { ControlBootRecord, SlotDefinition } from "../../state-ops/control.ts";
import { attach, kernel, makeFilesystem, mountTmpfs, program, scratch } from "./state-machine.ts";

mountTmpfs("/run");

export const SECTOR = 512;
export const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };
export const slots: SlotDefinition[] = [
  { name: "a", device: "/dev/none1", bootname: "A" },
  { name: "b", device: "/dev/none2", bootname: "B" },
];
export const image = (digit: string) => digit.repeat(64);

/** A filesystem for the loader's files; the paths of what lies there are those of `place`, where the system has it mounted. */
const disk = attach(makeFilesystem("ext4", `${scratch}/loader.disk`));
export const raw = (() => {
  const file = `${scratch}/raw.disk`;
  writeFileSync(file, "");
  truncateSync(file, 4 * 1024 * 1024);
  return attach(file);
})();
export const place = `${scratch}/boot`;
program("mkdir", place);
kernel.mount(disk, place, "ext4", MS.NOATIME, "");
program("mkdir", "-p", `${place}/grub`, `${place}/loader/entries`);

export const recordFile = (() => {
  // A tmpfs has no O_DIRECT on older kernels.
  const file = `${place}/record`;
  writeFileSync(file, Buffer.alloc(4 * 1024 * 1024));
  return file;
})();

export interface Kind {
  name: string;
  bootRecord: ControlBootRecord;
  /** Files or places of devices that hold it: path, offset, size. */
  parts: { path: string; offset: number; size: number }[];
  /** The loader's own state before slipway comes. */
  begin(): void;
  /** Variables as the loader's own tool tells them. */
  tool(): Record<string, string>;
}

export const size = 0x4000;
export const rawCopy = (offset: number) => ({ device: raw, offset, size, sectorSize: 0, sectors: 0 });
export const fwConfig = `${scratch}/fw_env.config`;

function fwPrintenv(lines: string): Record<string, string> {
  writeFileSync(fwConfig, lines);
  return asObject(program("fw_printenv", "-c", fwConfig));
}

function asObject(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.includes("="));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]));
}

function environment(redundant: boolean): Buffer {
  const text = `${scratch}/environment.txt`;
  // So long that checksum and slots lie in different sectors.
  writeFileSync(text, `bootcmd=run distro_bootcmd\nbootdelay=2\nlong=${"x".repeat(SECTOR)}\n`);
  program("mkenvimage", ...(redundant ? ["-r"] : []), "-s", String(size), "-o", `${text}.bin`, text);
  return readFileSync(`${text}.bin`);
}

export function put(path: string, offset: number, bytes: Uint8Array): void {
  program(
    "sh",
    "-c",
    `dd of="$0" bs=1 seek="$1" conv=notrunc,fsync status=none < "$2"`,
    path,
    String(offset),
    (() => {
      const from = `${scratch}/put.bin`;
      writeFileSync(from, bytes);
      return from;
    })(),
  );
}

export function get({ path, offset, size: length }: Kind["parts"][number]): Buffer {
  const to = `${scratch}/get.bin`;
  program(
    "dd",
    `if=${path}`,
    `of=${to}`,
    "bs=512",
    `skip=${offset / SECTOR}`,
    `count=${length / SECTOR}`,
    "iflag=direct",
    "status=none",
  );
  return readFileSync(to);
}

export const grubenv = `${place}/grub/grubenv`;

export function grub(dialect: "rauc" | "slipway"): Kind {
  return {
    name: `grubenv ${dialect}`,
    bootRecord: { store: "grubenv", device: "/dev/none", grubenv: { device: disk, file: "grub/grubenv", dialect } },
    parts: [{ path: grubenv, offset: 0, size: 1024 }],
    begin: () => {
      program("rm", "-f", grubenv);
      program("grub-editenv", grubenv, "create");
      program("grub-editenv", grubenv, "set", "theirs=kept");
    },
    tool: () => asObject(program("grub-editenv", grubenv, "list")),
  };
}

export function uboot(name: string, copies: Extract<ControlBootRecord, { store: "uboot-env" }>["environment"]["copies"]): Kind {
  const parts = copies.map((copy) =>
    "file" in copy ? { path: `${place}/${copy.file}`, offset: 0, size } : { path: copy.device, offset: copy.offset, size },
  );
  const config = parts.map(({ path, offset }) => `${path} 0x${offset.toString(16)} 0x${size.toString(16)}\n`).join("");
  return {
    name,
    bootRecord: { store: "uboot-env", device: "/dev/none", environment: { copies, dialect: "rauc" } },
    parts,
    begin: () => {
      const bytes = environment(copies.length === 2);
      for (const { path, offset } of parts) {
        if (path.startsWith(place)) writeFileSync(path, bytes);
        else put(path, offset, bytes);
      }
    },
    tool: () => fwPrintenv(config),
  };
}

export const kinds: Kind[] = [
  grub("rauc"),
  grub("slipway"),
  uboot("uboot-env single", [rawCopy(0x100000)]),
  uboot("uboot-env redundant", [rawCopy(0x200000), rawCopy(0x210000)]),
  uboot("uboot-env file", [{ device: disk, file: "uboot.env", size }]),
  uboot("uboot-env files", [
    { device: disk, file: "uboot.env", size },
    { device: disk, file: "uboot-redund.env", size },
  ]),
];

interface Opened {
  record: MirroredRecord;
  warnings: string[];
}

/** @param started as in MergeFacts: null in PID 1, undefined in a command */
export function open(kind: Kind, on: Kernel = kernel, environmentLock: string | null = null, started?: null): Opened {
  const desk = { kernel: on, loadForFilesystem: () => {}, environmentLock };
  const store = openLoaderStore(desk, { bootRecord: kind.bootRecord, slots, data: null }, (reference) => reference);
  assert.ok(store);
  const warnings: string[] = [];
  const rules = {
    policy,
    chooser: "slipway",
    traits: traitsOf(kind.bootRecord),
    store: storeId(kind.bootRecord),
    ...(started === undefined ? {} : { started }),
  } as const;
  const record = new MirroredRecord(on, openBootRecord(on, recordFile), { store, missing: null }, rules, (warning) =>
    warnings.push(warning),
  );
  return { record, warnings };
}

/** One look or change, as a command or PID 1 has it. */
export function withRecord<Result>(kind: Kind, use: (record: BootRecord, opened: Opened) => Result): Result {
  const opened = open(kind);
  try {
    return use(opened.record.read().record.record ?? freshRecord(policy), opened);
  } finally {
    opened.record.close();
  }
}

export function change(kind: Kind, make: (record: BootRecord) => BootRecord): void {
  withRecord(kind, (record, { record: store, warnings }) => {
    assert.equal(store.write(make(record)), { written: true });
    assert.equal(warnings, []);
  });
}

/** A boot of slot a up to its handover. */
export function boot(kind: Kind): void {
  change(kind, (record) => countTry(beginBoot(record, policy).record, "a"));
  change(kind, (record) => reachHandover(identifyImage(record, "a", image("1"), policy).record));
}

export function freshMachine(kind: Kind): void {
  writeFileSync(recordFile, Buffer.alloc(4 * 1024 * 1024));
  kind.begin();
  program("sync");
}

/** What RAUC and the loader's scripts read of slot a: whether it is good, as its own tool tells the variables. */
export function isGood(kind: Kind): boolean {
  const variables = kind.tool();
  return kind.bootRecord.store === "grubenv" ? variables.A_OK === "1" && variables.A_TRY === "0" : variables.BOOT_A_LEFT === "3";
}
