/** The boot record as a file, on real data filesystems: made, cut off, full, looked at, and let go of while a checker looks. */
import { existsSync, statSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { freshRecord, RECORD_LAYOUT } from "../../boot/record/store.ts";
import { KernelError } from "../../init/kernel/kernel.ts";
import { checkData } from "../../init/sequence/data-repair.ts";
import type { Launch } from "../../init/sequence/launch.ts";
import { openRecordOnData } from "../../init/sequence/record-file.ts";
import { BootRecordStore } from "../../init/store/boot-record.ts";
import { openRecordFile } from "../../init/store/record-file.ts";
import { launchWith } from "./boot-kernel.ts";
import {
  attach,
  cleanUp,
  detach,
  extents,
  filesystems,
  kernel,
  kernelCutAt,
  makeFilesystem,
  mountDisk,
  mountTmpfs,
  PowerCut,
  program,
  scratch,
} from "./state-machine.ts";

test.after(cleanUp);
mountTmpfs("/run");

const record = freshRecord({ slots: ["a", "b"], tries: { trial: 3, committed: 10 } });
const bytes = RECORD_LAYOUT.minimumPartitionSize;

/** A loop device as a boot finds it. */
function blockDevice(path: string): BlockDevice {
  const name = path.slice("/dev/".length);
  const [number, sizeBytes] = [{ major: 7, minor: Number(name.slice("loop".length)) }, 64n * 1024n * 1024n];
  const nothing = { disk: null, partition: null, partlabel: null, partuuid: null, superblock: null };
  return { name, path, number, sizeBytes, readOnly: false, ...nothing };
}

const changes: readonly PropertyKey[] = ["write", "rename", "allocate", "makeDirectory"];

for (const type of filesystems) {
  test(`${type}: made whole, and written in place from then on`, () => {
    const { data, place, close } = mountDisk(type, makeFilesystem(type));
    const store = new BootRecordStore(kernel, openRecordFile(kernel, data, "write"));
    assert.is(store.readRecord().condition, "empty");
    const before = extents(data, "record/boot-record");
    assert.equal(before, [[0n, BigInt(bytes)]], "all of it is allocated");
    const { ino } = statSync(`${place}/record/boot-record`);
    for (let time = 0; time < 4; time++) assert.equal(store.write({ ...record, lastKnownUnixMs: time }), { written: true });
    store.close();
    const again = new BootRecordStore(kernel, openRecordFile(kernel, data, "look"));
    assert.is(again.readRecord().record?.lastKnownUnixMs, 3);
    assert.match(again.unwritableReason ?? "", /record\/boot-record on the data filesystem was opened for reading only/);
    again.close();
    assert.equal([statSync(`${place}/record/boot-record`).ino, extents(data, "record/boot-record")], [ino, before]);
    close();
  });

  test(`${type}: the power cut while it is made leaves none, or a whole one`, () => {
    for (let at = 0; ; at++) {
      const { data, place, close } = mountDisk(type, makeFilesystem(type));
      const cut = kernelCutAt(at, (name) => changes.includes(name));
      let isCut = false;
      try {
        kernel.close(openRecordFile(cut.kernel, data, "write").fd);
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
        isCut = true;
      }
      const file = `${place}/record/boot-record`;
      assert.ok(!existsSync(file) || statSync(file).size === bytes);
      const store = new BootRecordStore(kernel, openRecordFile(kernel, data, "write"));
      assert.is(store.readRecord().condition, "empty");
      store.close();
      assert.not(existsSync(`${place}/record/.new-boot-record`));
      close();
      if (!isCut) break;
      assert.ok(at < 10);
    }
  });
}

test("a full filesystem has no room for it, and keeps no half of it", () => {
  const { data, place, close } = mountDisk("ext4", makeFilesystem("ext4"));
  const rest = program(
    "sh",
    "-c",
    `dd if=/dev/zero of=${place}/filler bs=64k status=none || true; df --output=avail -k ${place} | tail -1`,
  );
  assert.ok(Number(rest) < 4096, rest);
  assert.throws(
    () => openRecordFile(kernel, data, "write"),
    (error: unknown) => error instanceof KernelError && error.code === "ENOSPC",
  );
  assert.not(existsSync(`${place}/record/boot-record`));
  program("rm", `${place}/filler`);
  kernel.close(openRecordFile(kernel, data, "write").fd);
  close();
});

function launchOn(device: string): Launch {
  const data = { device, filesystem: "ext4", whenReplaced: "refuse", grow: false, create: false } as const;
  return launchWith({ data, bootRecord: { store: "record", device: null } });
}

test("a checker finds the filesystem unused, and the record is there again afterwards", async () => {
  const device = attach(makeFilesystem("ext4", `${scratch}/checked.disk`));
  const launch = launchOn(device);
  const opened = await openRecordOnData(launch, blockDevice(device));
  assert.ok(opened, launch.warnings.join());
  const store = new BootRecordStore(kernel, opened);
  assert.equal(store.write(record), { written: true });
  // e2fsck itself refuses a filesystem that is in use.
  const { result, text } = await checkData(launch, "ext4", device, "a test");
  assert.is.not(result, "left", text);
  assert.equal(store.write({ ...record, lastKnownUnixMs: 9 }), { written: true });
  assert.is(store.readRecord().record?.lastKnownUnixMs, 9);
  store.close();
  detach(device);
});

test("a filesystem that is beyond repair takes the record with it: unwritable, and told why", async () => {
  const device = attach(makeFilesystem("ext4", `${scratch}/lost.disk`));
  const launch = launchOn(device);
  const opened = await openRecordOnData(launch, blockDevice(device));
  assert.ok(opened);
  const store = new BootRecordStore(kernel, opened);
  assert.equal(store.write(record), { written: true });
  launch.recordOnData?.letGo();
  assert.match(store.write(record).written ? "" : "refused", /refused/);
  program("dd", "if=/dev/zero", `of=${device}`, "bs=1M", "count=8", "conv=fsync", "status=none");
  launch.recordOnData?.takeUp();
  const outcome = store.write(record);
  assert.match(outcome.written ? "" : outcome.reason, /lies on the data filesystem, which cannot be mounted: mount .*EINVAL/);
  assert.is(store.readRecord().condition, "unreadable");
  writeFileSync(`${scratch}/done`, "");
});

test.run();
