/** A bootloader's store that is lost, full, out of reach, read-only, locked or protected: the boot record goes on. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { freshRecord } from "../../boot/record/store.ts";
import { withSlot } from "../../boot/selection/slots.ts";
import { MS, O } from "../../init/kernel/constants.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { openLoaderStore } from "../../init/store/loader-store/open.ts";
import {
  boot,
  freshMachine,
  grub,
  grubenv,
  type Kind,
  kinds,
  open,
  place,
  policy,
  raw,
  rawCopy,
  slots,
  uboot,
  withRecord,
} from "./loader-store-world.ts";
import { cleanUp, kernel, program, scratch } from "./state-machine.ts";

test.after(cleanUp);

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

test.run();
