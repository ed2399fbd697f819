/** A bootloader's store beside the boot record, on real filesystems and devices: written in place, torn, rebuilt, cut off. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootRecord } from "../../boot/record/record.ts";
import { activate, commitSlot, withdraw } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import {
  boot,
  change,
  freshMachine,
  fwConfig,
  get,
  grubenv,
  image,
  isGood,
  kinds,
  open,
  place,
  policy,
  put,
  recordFile,
  SECTOR,
  withRecord,
} from "./loader-store-world.ts";
import { cleanUp, kernelCutAt, PowerCut, program } from "./state-machine.ts";

test.after(cleanUp);

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
        const cut = kernelCutAt(at, (name) => name === "write");
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
