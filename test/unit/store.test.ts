import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { JournalEntry } from "../../boot/record/journal.ts";
import { freshRecord, RECORD_LAYOUT } from "../../boot/record/store.ts";
import type { Policy } from "../../boot/selection/policy.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { readImageId } from "../../init/store/image-id.ts";
import { withRecordLock } from "../../init/store/record-lock.ts";
import { Refusal } from "../../state-ops/outcome.ts";

// Not in /tmp: a tmpfs has no O_DIRECT on older kernels.
const cache = join(import.meta.dirname, "../../.cache");
mkdirSync(cache, { recursive: true });
const directory = mkdtempSync(join(cache, "store-"));
const device = join(directory, "record");
const kernel = linuxKernel();
const policy: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };

test.before.each(() => {
  writeFileSync(device, "");
  truncateSync(device, RECORD_LAYOUT.minimumPartitionSize);
});
test.after(() => rmSync(directory, { recursive: true, force: true }));

/** What a reader that starts anew finds. */
function reopened() {
  const store = openBootRecord(kernel, device);
  try {
    return store.read();
  } finally {
    store.close();
  }
}

function overwrite(bytes: Uint8Array, offset: number): void {
  const fd = openSync(device, "r+");
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}

function record(uncleanEnds: number) {
  return { ...freshRecord(policy), uncleanEnds };
}

function writeRecords(...counts: number[]): void {
  const store = openBootRecord(kernel, device);
  for (const count of counts) assert.equal(store.write(record(count)), { written: true });
  store.close();
}

function entry(attempt: number, reason: string | null = null): JournalEntry {
  return {
    attempt,
    slot: "a",
    imageId: null,
    trial: true,
    stage: "counted",
    outcome: "running",
    reason,
    startedUnixMs: 1000 * attempt,
  };
}

test("a blank partition is an empty record, and the first write is found", () => {
  assert.is(reopened().record.condition, "empty");
  assert.equal(reopened().journal, []);
  writeRecords(1);
  const { condition, record: found } = reopened().record;
  assert.is(condition, "valid");
  assert.equal(found, record(1));
});

test("writes alternate between the copies, and the newest counts", () => {
  writeRecords(1, 2, 3);
  assert.is(reopened().record.record?.uncleanEnds, 3);
  assert.is(reopened().record.sequence, 3);
  overwrite(new Uint8Array(RECORD_LAYOUT.areaSize).fill(0x55), RECORD_LAYOUT.copyOffsets[0]);
  assert.is(reopened().record.record?.uncleanEnds, 2);
});

test("a write torn at any 512-byte step leaves the old record or the new one", () => {
  for (const generation of [1, 2]) {
    const before = readFileSync(device);
    const store = openBootRecord(kernel, device);
    store.write(record(generation * 10));
    store.close();
    const old = before.every((byte) => byte === 0) ? null : (generation - 1) * 10;
    const after = readFileSync(device);
    const offset = RECORD_LAYOUT.copyOffsets[generation === 1 ? 0 : 1];
    const seen = new Set<number | null>();
    for (let length = 0; length <= RECORD_LAYOUT.writeUnit; length += 512) {
      const torn = Buffer.from(before);
      after.copy(torn, offset, offset, offset + length);
      writeFileSync(device, torn);
      const found = reopened().record;
      seen.add(found.record?.uncleanEnds ?? null);
      // Going on from a torn write works, and never destroys what is valid.
      const next = openBootRecord(kernel, device);
      assert.equal(next.write(record(99)), { written: true });
      next.close();
      assert.is(reopened().record.record?.uncleanEnds, 99, `after ${length} bytes`);
      if (found.record !== null) {
        const kept = readFileSync(device);
        kept.fill(0x55, RECORD_LAYOUT.copyOffsets[found.nextCopy], RECORD_LAYOUT.copyOffsets[found.nextCopy] + 4096);
        writeFileSync(device, kept);
        assert.is(reopened().record.record?.uncleanEnds, found.record.uncleanEnds, "the other copy was left alone");
      }
    }
    assert.equal([...seen], [old, generation * 10]);
    writeFileSync(device, after);
  }
});

test("two destroyed copies are unreadable, with a reason, and can be written anew", () => {
  writeRecords(1, 2);
  for (const offset of RECORD_LAYOUT.copyOffsets) overwrite(new Uint8Array(64).fill(0x55), offset);
  const reading = reopened().record;
  assert.is(reading.condition, "unreadable");
  assert.match(reading.reason ?? "", /copy 0: .*copy 1: /);
  writeRecords(7);
  assert.is(reopened().record.record?.uncleanEnds, 7);
});

test("a device that cannot be written says so, is read all the same, and throws nothing", () => {
  writeRecords(1);
  const refusing: Kernel = Object.create(kernel, {
    open: {
      value: (path: string, flags: number) => {
        if ((flags & 3) !== 0) throw new KernelError("openat2", path, "EROFS");
        return kernel.open(path, flags);
      },
    },
  });
  const store = openBootRecord(refusing, device);
  assert.is(store.writable, false);
  assert.match(store.unwritableReason ?? "", /EROFS/);
  assert.is(store.read().record.record?.uncleanEnds, 1);
  assert.is(store.write(record(2)).written, false);
  assert.is(store.appendJournal(entry(1)).written, false);
  store.close();
  assert.is(reopened().record.record?.uncleanEnds, 1);
});

test("a failing write is returned, makes the store unwritable, and the next one repairs it", () => {
  let broken = true;
  const failing: Kernel = Object.create(kernel, {
    write: {
      value: (fd: number, bytes: Uint8Array, offset: bigint | null) => {
        if (broken) throw new KernelError("pwrite64", "the disk", "EIO");
        kernel.write(fd, bytes, offset);
      },
    },
  });
  const store = openBootRecord(failing, device);
  store.read();
  const outcome = store.write(record(1));
  assert.is(outcome.written, false);
  assert.is(store.writable, false);
  assert.match(store.unwritableReason ?? "", /EIO/);
  broken = false;
  assert.equal(store.write(record(2)), { written: true });
  assert.is(store.writable, true);
  store.close();
  assert.is(reopened().record.record?.uncleanEnds, 2);
});

test("a record that the disk does not give back is not written over: it may at the next boot", () => {
  const before = openBootRecord(kernel, device);
  before.write(record(7));
  before.close();
  const failing: Kernel = Object.create(kernel, {
    read: {
      value: () => {
        throw new KernelError("pread64", "the disk", "EIO");
      },
    },
  });
  const store = openBootRecord(failing, device);
  assert.is(store.read().record.condition, "unreadable");
  assert.is(store.writable, false);
  const outcome = store.write(record(1));
  assert.match(outcome.written ? "" : outcome.reason, /not written over \(copy 0: reading .* failed \(EIO\)/);
  store.close();
  assert.is(reopened().record.record?.uncleanEnds, 7);
});

test("a disk that swallows a write is found out by reading back", () => {
  const swallowing: Kernel = Object.create(kernel, { write: { value: () => {} } });
  const store = openBootRecord(swallowing, device);
  const outcome = store.write(record(1));
  assert.is(outcome.written, false);
  assert.match(outcome.written ? "" : outcome.reason, /gave back other bytes/);
  store.close();
});

test("a partition that is too small is refused with its size", () => {
  truncateSync(device, 65536);
  assert.throws(
    () => openBootRecord(kernel, device),
    (error: unknown) => error instanceof Refusal && /65536 bytes.*needs 4194304/.test(error.message),
  );
});

test("the journal keeps 32 attempts, newest first, and an entry can be changed", () => {
  const store = openBootRecord(kernel, device);
  for (let attempt = 1; attempt <= 40; attempt++) assert.equal(store.appendJournal(entry(attempt)), { written: true });
  store.close();
  assert.equal(
    reopened().journal.map((found) => found.attempt),
    Array.from({ length: 32 }, (_, index) => 40 - index),
  );
  const again = openBootRecord(kernel, device);
  assert.equal(again.updateJournal(40, { outcome: "failed", reason: "no root" }), { written: true });
  assert.is(again.updateJournal(3, { outcome: "failed" }).written, false);
  again.close();
  const newest = reopened().journal[0];
  assert.is(newest?.outcome, "failed");
  assert.is(newest?.reason, "no root");
  assert.is(newest?.startedUnixMs, 40_000);
});

test("journal and record do not touch each other", () => {
  const store = openBootRecord(kernel, device);
  store.write(record(1));
  for (let attempt = 1; attempt <= 64; attempt++) store.appendJournal(entry(attempt));
  store.write(record(2));
  store.close();
  assert.is(reopened().record.record?.uncleanEnds, 2);
  assert.is(reopened().journal.length, 32);
});

test("the lock excludes a second writer, names the first, and is free again afterwards", () => {
  const lock = join(directory, "lock");
  const order: string[] = [];
  withRecordLock(kernel, lock, "slipway commit", 0, () => {
    order.push("first");
    assert.throws(
      () => withRecordLock(kernel, lock, "slipway rollback", 120, () => order.push("never")),
      (error: unknown) => error instanceof Refusal && error.message.includes(`slipway commit (process ${process.pid})`),
    );
  });
  assert.throws(() =>
    withRecordLock(kernel, lock, "slipway commit", 0, () => {
      throw new Error("it fails");
    }),
  );
  withRecordLock(kernel, lock, "slipway rollback", 0, () => order.push("second"));
  assert.equal(order, ["first", "second"]);
});

test("an image id is the SHA-256 of the first 64 KiB, and a slot that begins with zeros is empty", () => {
  const slot = join(directory, "slot");
  const image = Buffer.alloc(200_000, "slipway");
  writeFileSync(slot, image);
  const id = new Bun.CryptoHasher("sha256").update(image.subarray(0, 65536)).digest("hex");
  assert.is(readImageId(kernel, slot), id);
  writeFileSync(slot, Buffer.alloc(200_000));
  assert.is(readImageId(kernel, slot), null);
});

test("a btrfs leaves the first 64 KiB zero: its image id is that of what follows too", () => {
  const slot = join(directory, "btrfs");
  const image = Buffer.alloc(200_000);
  image.write("_BHRfS_M", 65536 + 64);
  writeFileSync(slot, image);
  const id = readImageId(kernel, slot);
  assert.is(id, new Bun.CryptoHasher("sha256").update(image.subarray(0, 69632)).digest("hex"));
  image.writeUInt8(7, 65536 + 72);
  writeFileSync(slot, image);
  assert.is.not(readImageId(kernel, slot), id);
});

test.run();
