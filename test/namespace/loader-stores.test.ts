/** A bootloader's store beside the boot record, on real filesystems and devices: written in place, torn, rebuilt, cut off. */
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { countTry, identifyImage, reachHandover } from "../../boot/selection/attempt.ts";
import { beginBoot } from "../../boot/selection/begin.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { activate, commitSlot, withdraw } from "../../boot/selection/running.ts";
import { slotOf, withSlot } from "../../boot/selection/slots.ts";
import { storeId } from "../../boot/stores/base.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { MirroredRecord } from "../../init/store/loader-store/mirrored-record.ts";
import { openLoaderStore } from "../../init/store/loader-store/open.ts";
import type { ControlBootRecord, SlotDefinition } from "../../state-ops/control.ts";
import { attach, cleanUp, kernel, makeFilesystem, mountTmpfs, program, scratch } from "./state-machine.ts";

test.after(cleanUp);
mountTmpfs("/run");

const SECTOR = 512;
const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };
const slots: SlotDefinition[] = [
  { name: "a", device: "/dev/none1", bootname: "A" },
  { name: "b", device: "/dev/none2", bootname: "B" },
];
const image = (digit: string) => digit.repeat(64);

/** A filesystem for the loader's files; the paths of what lies there are those of `place`, where the system has it mounted. */
const disk = attach(makeFilesystem("ext4", `${scratch}/loader.disk`));
const raw = (() => {
  const file = `${scratch}/raw.disk`;
  writeFileSync(file, "");
  truncateSync(file, 4 * 1024 * 1024);
  return attach(file);
})();
const place = `${scratch}/boot`;
program("mkdir", place);
kernel.mount(disk, place, "ext4", MS.NOATIME, "");
program("mkdir", "-p", `${place}/grub`, `${place}/loader/entries`);

const recordFile = (() => {
  // A tmpfs has no O_DIRECT on older kernels.
  const file = `${place}/record`;
  writeFileSync(file, Buffer.alloc(4 * 1024 * 1024));
  return file;
})();

interface Kind {
  name: string;
  bootRecord: ControlBootRecord;
  /** Files or places of devices that hold it: path, offset, size. */
  parts: { path: string; offset: number; size: number }[];
  /** The loader's own state before slipway comes. */
  begin(): void;
  /** Variables as the loader's own tool tells them. */
  tool(): Record<string, string>;
}

const size = 0x4000;
const rawCopy = (offset: number) => ({ device: raw, offset, size, sectorSize: 0, sectors: 0 });
const fwConfig = `${scratch}/fw_env.config`;

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

function put(path: string, offset: number, bytes: Uint8Array): void {
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

function get({ path, offset, size: length }: Kind["parts"][number]): Buffer {
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

const grubenv = `${place}/grub/grubenv`;

function grub(dialect: "rauc" | "slipway"): Kind {
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

function uboot(name: string, copies: Extract<ControlBootRecord, { store: "uboot-env" }>["environment"]["copies"]): Kind {
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

const kinds: Kind[] = [
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
function open(kind: Kind, on: Kernel = kernel, environmentLock: string | null = null, started?: null): Opened {
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
function withRecord<Result>(kind: Kind, use: (record: BootRecord, opened: Opened) => Result): Result {
  const opened = open(kind);
  try {
    return use(opened.record.read().record.record ?? freshRecord(policy), opened);
  } finally {
    opened.record.close();
  }
}

function change(kind: Kind, make: (record: BootRecord) => BootRecord): void {
  withRecord(kind, (record, { record: store, warnings }) => {
    assert.equal(store.write(make(record)), { written: true });
    assert.equal(warnings, []);
  });
}

/** A boot of slot a up to its handover. */
function boot(kind: Kind): void {
  change(kind, (record) => countTry(beginBoot(record, policy).record, "a"));
  change(kind, (record) => reachHandover(identifyImage(record, "a", image("1"), policy).record));
}

function freshMachine(kind: Kind): void {
  writeFileSync(recordFile, Buffer.alloc(4 * 1024 * 1024));
  kind.begin();
  program("sync");
}

/** What RAUC and the loader's scripts read of slot a: whether it is good, as its own tool tells the variables. */
function isGood(kind: Kind): boolean {
  const variables = kind.tool();
  return kind.bootRecord.store === "grubenv" ? variables.A_OK === "1" && variables.A_TRY === "0" : variables.BOOT_A_LEFT === "3";
}

for (const kind of kinds) {
  test(`${kind.name}: boot, commit and install are what the loader's own tool reads; nothing else changes`, () => {
    freshMachine(kind);
    const inode = kind.parts.map(({ path }) => statSync(path).ino);
    boot(kind);
    assert.not(isGood(kind));
    change(kind, (record) => commitSlot(record, "a", image("1"), policy, 1));
    assert.ok(isGood(kind));
    const before = kind.tool();
    change(kind, (record) => activate(withdraw(record, "b", "a"), "b", image("2"), "a", policy));
    const after = kind.tool();
    const order = after.ORDER ?? after.BOOT_ORDER;
    assert.is(order, "B A");
    assert.is.not(after.slipway_nonce, before.slipway_nonce);
    assert.match(after.slipway_nonce ?? "", /^[0-9a-f]{16}$/);
    if (kind.bootRecord.store === "grubenv") assert.is(after.theirs, "kept");
    else assert.equal([after.bootcmd, after.bootdelay], ["run distro_bootcmd", "2"]);
    assert.equal(
      kind.parts.map(({ path }) => statSync(path).ino),
      inode,
    );
    withRecord(kind, (record, { record: store }) => {
      assert.equal(store.merged, []);
      assert.is(slotOf(record, "b").state, "trial");
    });
    assert.not(existsSync(`/run/slipway/loader-${process.pid}`), "the filesystem stays mounted");
  });

  test(`${kind.name}: what is written says what was there: nothing is written`, () => {
    freshMachine(kind);
    boot(kind);
    const bytes = kind.parts.map(get);
    const times = kind.parts.map(({ path }) => (path.startsWith(place) ? statSync(path, { bigint: true }).mtimeNs : 0n));
    change(kind, (record) => ({ ...record, lastKnownUnixMs: 7 }));
    assert.equal(kind.parts.map(get), bytes);
    assert.equal(
      kind.parts.map(({ path }) => (path.startsWith(place) ? statSync(path, { bigint: true }).mtimeNs : 0n)),
      times,
    );
  });

  test(`${kind.name}: a write that is torn after any sector is read as the old or the new, or rebuilt`, () => {
    freshMachine(kind);
    boot(kind);
    const before = kind.parts.map(get);
    const recordBefore = readFileSync(recordFile);
    change(kind, (record) => commitSlot(record, "a", image("1"), policy, 1));
    const after = kind.parts.map(get);
    const outcomes = new Set<string>();
    for (const [number, part] of kind.parts.entries()) {
      const [old, now] = [before[number] ?? Buffer.alloc(0), after[number] ?? Buffer.alloc(0)];
      if (old.equals(now)) continue;
      const sectors = part.size / SECTOR;
      const cuts =
        sectors > 4 ? [0, 1, 2, sectors / 2, sectors - 1, sectors] : Array.from({ length: sectors + 1 }, (_, at) => at);
      for (const cut of cuts) {
        for (const [at, bytes] of before.entries()) put(kind.parts[at]?.path ?? "", kind.parts[at]?.offset ?? 0, bytes);
        put(part.path, part.offset, Buffer.concat([now.subarray(0, cut * SECTOR), old.subarray(cut * SECTOR)]));
        writeFileSync(recordFile, recordBefore);
        const opened = open(kind);
        const { record } = opened.record.read().record;
        assert.ok(record);
        const { condition } = opened.record.reading;
        const { state } = slotOf(record, "a");
        outcomes.add(`${condition} ${state}`);
        // Whatever it was: the next change makes both whole, where the store can be rebuilt.
        assert.equal(opened.record.write(commitSlot(record, "a", image("1"), policy, 1)), { written: true });
        opened.record.close();
        const isLeft = condition === "unreadable" && kind.bootRecord.store === "uboot-env";
        assert.is(opened.warnings.length, isLeft ? 1 : 0, opened.warnings.join());
        if (isLeft) assert.match(opened.warnings[0] ?? "", /is left as it is: U-Boot starts with its built-in environment/);
        else assert.ok(isGood(kind));
      }
    }
    const single = kind.parts.length === 1 && kind.bootRecord.store === "uboot-env";
    const torn = single ? ["unreadable trial"] : [];
    assert.equal([...outcomes].sort(), [...torn, "valid committed", "valid trial"].sort());
  });

  test(`${kind.name}: what its own tool marks good is committed, and the record knows it before anything else`, () => {
    freshMachine(kind);
    boot(kind);
    if (kind.bootRecord.store === "grubenv") program("grub-editenv", grubenv, "set", "A_OK=1", "A_TRY=0");
    else {
      kind.tool();
      program("fw_setenv", "-c", fwConfig, "BOOT_A_LEFT", "3");
    }
    withRecord(kind, (record, { record: store }) => {
      assert.is(slotOf(record, "a").state, "committed");
      assert.is(record.lastCommitted?.imageId, image("1"));
      assert.equal(store.merged, ["slot a was marked good in the bootloader's store: its image is committed"]);
    });
  });

  test(`${kind.name}: the record lost, the store kept: it is begun from the store's order`, () => {
    freshMachine(kind);
    boot(kind);
    change(kind, (record) => commitSlot(record, "a", image("1"), policy, 1));
    change(kind, (record) => activate(withdraw(record, "b", "a"), "b", image("2"), "a", policy));
    writeFileSync(recordFile, Buffer.alloc(4 * 1024 * 1024, 0x55));
    withRecord(kind, (record, { record: store }) => {
      assert.is(store.readRecord().condition, "unreadable");
      assert.ok(slotOf(record, "b").priority > slotOf(record, "a").priority);
      assert.equal([slotOf(record, "a").state, slotOf(record, "b").state], ["trial", "trial"]);
      assert.match(store.merged.join(), /begun from what the bootloader's store says/);
    });
  });
}

test("grubenv: lost, it is made anew in its directory, and what GRUB's tool makes of zeros is rebuilt", () => {
  const kind = grub("slipway");
  freshMachine(kind);
  boot(kind);
  for (const spoil of [
    () => program("rm", grubenv),
    () => writeFileSync(grubenv, Buffer.alloc(1024)),
    () => writeFileSync(grubenv, "x"),
  ]) {
    spoil();
    program("sync");
    withRecord(kind, (record, { record: store, warnings }) => {
      assert.is.not(store.reading.condition, "valid");
      assert.ok(store.write(record).written);
      assert.equal(warnings, []);
    });
    assert.is(statSync(grubenv).size, 1024);
    assert.equal(kind.tool().ORDER, "A B");
  }
});

test("grubenv: a block of another size keeps others' variables, and has 1024 bytes from then on", () => {
  const kind = grub("slipway");
  const text = "# GRUB Environment Block\ntheirs=kept\nA_OK=1\nB_OK=1\nORDER=A B\n";
  const far = `${text}${"# far\n".repeat(200)}last=kept\n`;
  for (const content of [text, text.padEnd(512, "#"), text.padEnd(4096, "#"), text + `saved_entry=1\n`.padEnd(2048, "#")]) {
    freshMachine(kind);
    writeFileSync(grubenv, content);
    const opened = open(kind);
    opened.record.read();
    assert.is(opened.record.reading.condition, "valid");
    assert.match(opened.record.reading.reason ?? "", new RegExp(`it has ${content.length} bytes, not 1024`));
    assert.ok(opened.record.write(freshRecord(policy)).written);
    opened.record.close();
    assert.is(statSync(grubenv).size, 1024);
    const { theirs, saved_entry } = kind.tool();
    assert.equal([theirs, saved_entry], ["kept", content.includes("saved_entry") ? "1" : undefined]);
  }
  // Comments are somebody's too: where there is no room for all, the block stays as it is.
  freshMachine(kind);
  writeFileSync(grubenv, far);
  const opened = open(kind);
  opened.record.read();
  opened.record.write(freshRecord(policy));
  opened.record.close();
  assert.match(opened.warnings.join(), /too small by \d+ bytes/);
  assert.is(readFileSync(grubenv, "utf8"), far);
});

test("grubenv: a block that is full of others' variables is a warning, and the record goes on", () => {
  const kind = grub("rauc");
  freshMachine(kind);
  const full = Buffer.from(`# GRUB Environment Block\ntheirs=${"x".repeat(990)}\n`.padEnd(1024, "#"));
  writeFileSync(grubenv, full);
  program("sync");
  assert.is(kind.tool().theirs?.length, 990);
  const opened = open(kind);
  assert.is(opened.record.read().record.condition, "empty");
  assert.equal(opened.record.write(freshRecord(policy)), { written: true });
  assert.match(opened.warnings.join(), /the environment block is too small by \d+ bytes: remove variables that nobody uses/);
  opened.record.close();
  assert.equal(readFileSync(grubenv), full);
});

test("grubenv: what others set between slipway's look and its write stays", () => {
  const kind = grub("rauc");
  freshMachine(kind);
  withRecord(kind, (record, { record: store }) => {
    program("grub-editenv", grubenv, "set", "theirs=changed", "saved_entry=2");
    assert.ok(store.write(record).written);
  });
  const { theirs, saved_entry, ORDER } = kind.tool();
  assert.equal([theirs, saved_entry, ORDER], ["changed", "2", "A B"]);
});

test("a slot that fails in PID 1 changes no nonce: a second stage's command line has the one that the loader echoed", () => {
  const kind = grub("slipway");
  freshMachine(kind);
  boot(kind);
  const before = kind.tool();
  assert.match(before.slipway_nonce ?? "", /^[0-9a-f]{16}$/);
  const opened = open(kind, kernel, null, null);
  const record = opened.record.read().record.record ?? freshRecord(policy);
  assert.ok(opened.record.write(withSlot(record, "a", { damaged: "x" })).written);
  opened.record.close();
  const after = kind.tool();
  assert.equal([before.ORDER, after.A_OK, after.slipway_nonce], ["A B", "0", before.slipway_nonce]);
});

test("a store that cannot be reached is a warning, and the record goes on", () => {
  const kind = grub("rauc");
  freshMachine(kind);
  const lost: Kind = {
    ...kind,
    bootRecord: { store: "grubenv", device: "/dev/none", grubenv: { device: "/dev/nowhere", file: "x", dialect: "rauc" } },
  };
  const opened = open(lost);
  assert.is(opened.record.read().record.condition, "empty");
  assert.match(opened.record.reading.reason ?? "", /\/dev\/nowhere: openat2 \/dev\/nowhere: ENOENT; is the device there\?/);
  assert.ok(opened.record.write(freshRecord(policy)).written);
  assert.is(opened.warnings.length, 1);
  opened.record.close();
});

test("a filesystem that the system has read-only is written, and read-only for the system all the while", () => {
  const kind = grub("rauc");
  freshMachine(kind);
  kernel.mount("none", place, "", MS.REMOUNT | MS.RDONLY, "");
  try {
    const desk = { kernel, loadForFilesystem: () => {}, environmentLock: null };
    const store = openLoaderStore(desk, { bootRecord: kind.bootRecord, slots, data: null }, (reference) => reference);
    assert.is(store?.read().condition, "empty");
    const slot = (priority: number) => ({ priority, tries: null, good: true });
    assert.equal(store?.write({ slots: { a: slot(2), b: slot(1) }, nonce: null }), { written: true });
    assert.is(store?.read().condition, "valid");
    assert.throws(() => writeFileSync(`${place}/other`, ""), /EROFS/);
    assert.is(kind.tool().ORDER, "A B");
  } finally {
    kernel.mount("none", place, "", MS.REMOUNT, "");
  }
});

test("a filesystem that cannot be made read-only again is not left mounted, and what failed first is told", () => {
  const kind = grub("rauc");
  freshMachine(kind);
  const fails = (...calls: ("mount" | "write" | "unmount")[]) =>
    new Proxy(kernel, {
      get(target, name) {
        const member = Reflect.get(target, name);
        if (typeof member !== "function") return member;
        return (...words: unknown[]) => {
          const back = name !== "mount" || (words[0] === "none" && (Number(words[3]) & MS.RDONLY) !== 0);
          const failing = back && calls.some((call) => call === name);
          if (failing) throw new KernelError(String(name), "loader", name === "write" ? "EIO" : "EBUSY");
          return Reflect.apply(member, target, words);
        };
      },
    });
  const slot = (priority: number) => ({ priority, tries: null, good: true });
  let first = 1;
  const told = (...calls: Parameters<typeof fails>) => {
    kernel.mount("none", place, "", MS.REMOUNT | MS.RDONLY, "");
    try {
      const desk = { kernel: fails(...calls), loadForFilesystem: () => {}, environmentLock: null };
      const store = openLoaderStore(desk, { bootRecord: kind.bootRecord, slots, data: null }, (reference) => reference);
      const written = store?.write({ slots: { a: slot(2), b: slot(++first % 2 === 0 ? 1 : 3) }, nonce: null });
      return written && "reason" in written ? written.reason : "";
    } finally {
      kernel.mount("none", place, "", MS.REMOUNT, "");
    }
  };
  const left = () =>
    readFileSync("/proc/self/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes("/loader-"));
  assert.match(told("mount"), /mount loader: EBUSY/);
  assert.equal(left(), []);
  assert.match(told("write", "mount"), /write loader: EIO/);
  assert.equal(left(), []);
  assert.match(told("mount", "unmount"), /mount loader: EBUSY/);
  for (const line of left()) kernel.unmount(line.split(" ")[1] ?? "", 0);
});

test("U-Boot's tools' lock is respected: who has it is waited for, and told of", () => {
  const kind = kinds[2];
  assert.ok(kind);
  freshMachine(kind);
  const lock = `${scratch}/fw_printenv.lock`;
  writeFileSync(lock, "");
  const holder = kernel.open(lock, 2);
  assert.ok(kernel.lock(holder));
  const opened = open(kind, kernel, lock);
  opened.record.read();
  assert.ok(opened.record.write(freshRecord(policy)).written);
  assert.match(opened.warnings.join(), /somebody has held .*fw_printenv\.lock for 5 s/);
  kernel.close(holder);
  assert.ok(opened.record.write({ ...freshRecord(policy), lastKnownUnixMs: 1 }).written);
  assert.is(opened.warnings.length, 1);
  assert.is(kind.tool().BOOT_ORDER, "A B");
  opened.record.close();
});

test("an eMMC's boot partition is unprotected for the write alone", () => {
  const sysfs = `${scratch}/force_ro`;
  writeFileSync(sysfs, "1\n");
  const told: string[] = [];
  // What no machine of the tests has: its device and its file of sysfs stand for others.
  const emmc = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (path: unknown, ...rest: unknown[]): unknown => {
        if (name !== "open" || typeof path !== "string") return Reflect.apply(method, target, [path, ...rest]);
        if (path.startsWith("/sys/class/block/mmcblk0boot0/")) return Reflect.apply(method, target, [sysfs, ...rest]);
        if (path === "/dev/mmcblk0boot0" && rest[0] !== O.RDONLY && (Number(rest[0]) & O.RDWR) !== 0) {
          told.push(readFileSync(sysfs, "utf8").trim());
        }
        return Reflect.apply(method, target, [path === "/dev/mmcblk0boot0" ? raw : path, ...rest]);
      };
    },
  });
  const copy = { ...rawCopy(0x100000), device: "/dev/mmcblk0boot0" };
  const kind = uboot("eMMC", [rawCopy(0x100000)]);
  freshMachine(kind);
  const on: Kind = {
    ...kind,
    bootRecord: { store: "uboot-env", device: "/dev/none", environment: { copies: [copy], dialect: "rauc" } },
  };
  const opened = open(on, emmc);
  opened.record.read();
  assert.equal(opened.record.write(freshRecord(policy)), { written: true });
  assert.equal([opened.warnings, told], [[], ["0"]]);
  assert.is(readFileSync(sysfs, "utf8").trim(), "1");
  assert.is(kind.tool().BOOT_ORDER, "A B");
  opened.record.close();
});

class PowerCut extends Error {}

/** A kernel whose power fails at the write or remove of that number; -1 counts them only. */
function failing(at: number): { kernel: Kernel; writes: () => number } {
  let writes = 0;
  const cut = new Proxy(kernel, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        if (name === "write" && writes++ === at) throw new PowerCut();
        return Reflect.apply(method, target, args);
      };
    },
  });
  return { kernel: cut, writes: () => writes };
}

for (const kind of kinds) {
  test(`${kind.name}: the power cut at any write of a commit and of an activation leaves the old or the new`, () => {
    const changes: [string, (record: BootRecord) => BootRecord, (record: BootRecord) => string][] = [
      ["commit", (record) => commitSlot(record, "a", image("1"), policy, 1), (record) => slotOf(record, "a").state],
      [
        "activation",
        (record) => activate(withdraw(record, "b", "a"), "b", image("2"), "a", policy),
        (record) => (slotOf(record, "b").priority > slotOf(record, "a").priority ? "b first" : "a first"),
      ],
    ];
    for (const [what, make, told] of changes) {
      const seen: string[] = [];
      for (let at = 0; ; at++) {
        freshMachine(kind);
        boot(kind);
        if (what === "activation") change(kind, (record) => commitSlot(record, "a", image("1"), policy, 1));
        const cut = failing(at);
        const opened = open(kind, cut.kernel);
        const { record } = opened.record.read().record;
        assert.ok(record);
        let isCut = false;
        try {
          opened.record.write(make(record));
        } catch (error) {
          if (!(error instanceof PowerCut)) throw error;
          isCut = true;
        }
        opened.record.close();
        withRecord(kind, (after, { record: store }) => {
          seen.push(told(after));
          assert.ok(store.write(after).written);
        });
        withRecord(kind, (after, { record: store }) => {
          assert.equal(store.merged, [], "what was taken up once is taken up again");
          assert.is(told(after), seen.at(-1));
        });
        if (!isCut) break;
      }
      const [first] = seen;
      assert.is.not(first, seen.at(-1));
      assert.equal(new Set(seen).size, 2, seen.join());
      // The record is the last to be written, and says by then what the store says.
      assert.ok(seen.length >= 3, seen.join());
    }
  });
}

test.run();
