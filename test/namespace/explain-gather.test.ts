/** Looking at filesystems without changing them: unmounted ones, and the data filesystem of a system that runs. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { freshRecord } from "../../boot/record/store.ts";
import { policyOf } from "../../boot/selection/policy.ts";
import { storeId } from "../../boot/stores/base.ts";
import { traitsOf } from "../../boot/stores/traits.ts";
import { scanBlockDevices } from "../../init/devices/scan.ts";
import { gatherData } from "../../init/explain/gather-data.ts";
import { gatherImage } from "../../init/explain/gather-image.ts";
import { conditionOf, gatherRecord } from "../../init/explain/gather-record.ts";
import { ReadOnlyMounts } from "../../init/explain/read-only-mounts.ts";
import { MS } from "../../init/kernel/constants.ts";
import { detachDataFilesystem, layOut, mountDataFilesystem } from "../../init/state/data-filesystem.ts";
import { prepareGeneration } from "../../init/state/generations.ts";
import { BootRecordStore } from "../../init/store/boot-record.ts";
import { MirroredRecord } from "../../init/store/loader-store/mirrored-record.ts";
import { openLoaderStore } from "../../init/store/loader-store/open.ts";
import { openRecordFile } from "../../init/store/record-file.ts";
import { sampleControl } from "../samples/control-file.ts";
import { plainOrder } from "../samples/generation-order.ts";
import { attach, cleanUp, detach, filesystems, kernel, makeFilesystem, scratch } from "./state-machine.ts";

const imageId = "a".repeat(64);
const digest = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
const look = (device: string) => gatherData(kernel, new ReadOnlyMounts(kernel), blockDevice(device), ["a", "b"], () => {});

function mountPoints(): (string | undefined)[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  return lines.map((line) => line.split(" ")[4]).sort();
}

function blockDevice(path: string): BlockDevice {
  const found = scanBlockDevices(kernel, { loops: true }).devices.find((device) => device.path === path);
  if (found === undefined) throw new Error(`${path} is not in /sys/class/block`);
  return found;
}

for (const type of filesystems) {
  test(`${type}: the generations of a data filesystem, unmounted and in use`, () => {
    const file = makeFilesystem(type);
    const device = attach(file);
    const place = `${scratch}/root-${type}`;
    const kept = `${scratch}/kept-${type}`;
    const data = mountDataFilesystem(kernel, device, type, place);
    layOut(kernel, data, "0000");
    const plan = { do: "create", to: 1, why: "", reason: null } as const;
    prepareGeneration(kernel, data, { plan, slot: "a", imageId, controlDigest: "sha256:0", attempt: 1, ...plainOrder }, () => {});
    kernel.close(data);
    kernel.unmount(place, 0);

    const before = digest(file);
    const unmounted = look(device);
    assert.equal(unmounted.content?.pointers, { a: 1, b: null });
    assert.equal(
      unmounted.content?.generations.map(({ number, complete }) => ({ number, complete })),
      [{ number: 1, complete: true }],
    );
    assert.is(digest(file), before, "not a byte was written");

    // As after a handover: nothing but a bind of a part of it is left.
    kernel.close(mountDataFilesystem(kernel, device, type, place));
    mkdirSync(kept);
    kernel.mount(`${place}/shared`, kept, "", MS.BIND, "");
    detachDataFilesystem(kernel, place);
    const mountsBefore = mountPoints();
    assert.equal(look(device), unmounted);
    assert.equal(mountPoints(), mountsBefore, "nothing stays mounted");
    writeFileSync(`${kept}/still`, "writable");
    kernel.unmount(kept, 0);
    detach(device);
  });
}

test("a slot: its image is looked at, and says what it lacks", () => {
  const file = makeFilesystem("ext4", `${scratch}/slot.disk`);
  const loop = attach(file);
  const before = digest(file);
  const facts = gatherImage(kernel, new ReadOnlyMounts(kernel), blockDevice(loop), false, "/sbin/mine");
  assert.is(facts.fault, null);
  assert.is(facts.filesystem, "ext4");
  assert.is(facts.imageId, createHash("sha256").update(readFileSync(file).subarray(0, 65536)).digest("hex"));
  assert.equal(facts.root?.missingMountPoints, ["dev", "proc", "sys", "run"]);
  assert.is(facts.root?.inits["/sbin/mine"], "/sbin/mine: ENOENT");
  assert.is(facts.root?.control, null);
  assert.is(digest(file), before, "not a byte was written");
  detach(loop);
});

test.after(cleanUp);

test("the boot record in a file, with what a bootloader's store says, unmounted: nothing of either is changed", () => {
  const dataFile = makeFilesystem("ext4", `${scratch}/record-data.disk`);
  const loaderFile = makeFilesystem("ext4", `${scratch}/record-loader.disk`);
  const [data, loader] = [attach(dataFile), attach(loaderFile)];
  const place = `${scratch}/record-root`;
  const root = mountDataFilesystem(kernel, data, "ext4", place);
  const grubenv = { device: loader, file: "grubenv", dialect: "slipway" } as const;
  const bootRecord = { store: "grubenv", device: null, grubenv } as const;
  const superblock = { type: "ext4", uuid: "x", label: null, size: null } as const;
  const slots = ["a", "b"].map((name) => ({ name, device: `PARTLABEL=root-${name}`, bootname: name.toUpperCase() }));
  const dataDefinition = { device: data, filesystem: "ext4", whenReplaced: "refuse", grow: false, create: false } as const;
  const control = { ...sampleControl({ bootRecord, slots, data: dataDefinition }), digest: "" };
  const desk = { kernel, loadForFilesystem: () => {}, environmentLock: null };
  const store = openLoaderStore(desk, control, (reference) => reference);
  assert.ok(store);
  mkdirSync("/run/slipway", { recursive: true });
  const rules = {
    policy: policyOf(control),
    chooser: "slipway",
    traits: traitsOf(bootRecord),
    store: storeId(bootRecord),
  } as const;
  const own = new BootRecordStore(kernel, openRecordFile(kernel, root, "write"));
  const mirrored = new MirroredRecord(kernel, own, { store, missing: null }, rules, (warning) => assert.unreachable(warning));
  assert.equal(mirrored.write(freshRecord(rules.policy)), { written: true });
  mirrored.close();
  // RAUC's mark-active of b.
  const view = store.read().view;
  assert.ok(view?.slots.a && view.slots.b);
  const swapped = { a: { ...view.slots.a, priority: 1 }, b: { ...view.slots.b, priority: 2 } };
  assert.equal(store.write({ ...view, slots: swapped }), { written: true });
  kernel.close(root);
  kernel.unmount(place, 0);
  const before = [digest(dataFile), digest(loaderFile)];
  const [device, loaderDevice] = [blockDevice(data), blockDevice(loader)];
  const looks = { kernel, control, devices: [device, loaderDevice], mounts: new ReadOnlyMounts(kernel), words: { slot: null } };
  const facts = gatherRecord(looks, { ...device, superblock });
  assert.equal([facts.fault, facts.condition], [null, "valid"]);
  const { a, b } = facts.record?.slots ?? {};
  assert.ok(a && b && b.priority > a.priority, "what the store says is not merged");
  assert.is(conditionOf(control, { ...device, superblock }, facts), "valid");
  assert.is(conditionOf(control, { ...device, superblock: null }, facts), "empty");
  assert.equal([digest(dataFile), digest(loaderFile)], before);
});

test.run();
