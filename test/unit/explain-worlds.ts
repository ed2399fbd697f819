/** Machines in memory on which a planned boot is compared with a real one. */

import type { RecoveryRecord } from "../../boot/recovery/step.ts";
import { rollBack } from "../../boot/selection/running.ts";
import { withSlot } from "../../boot/selection/slots.ts";
import { O } from "../../init/kernel/constants.ts";
import { device, directory, file as memoryFile, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import type { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import type { Operator } from "../../state-ops/control.ts";
import { DEFAULT_RECOVERY, type Rung } from "../../state-ops/recovery.ts";
import { formatRequests, NO_REQUESTS, REQUESTS, type StateRequests } from "../../state-ops/requests.ts";
import { everyKind, everyKindTree, moreKinds } from "./every-kind.ts";
import { fileOf, filesWorld, v3 } from "./file-worlds.ts";
import { controlFile, ext4, ext4Errors, type Image, image, MiB, operators } from "./golden-machine.ts";
import { World, type WorldOptions } from "./golden-world.ts";
import { sealed, signedControl, stranger } from "./sealed-world.ts";

export interface Prepared {
  world: World;
  /** A kernel of that machine, the same every time. */
  kernel: () => RecordingKernel;
}

const [v1, v2] = [image(1), image(2)];
const withControl = (number: number, text: string, change = {}): Image =>
  image(number, { "usr/lib/slipway/control.json": text, ...change });
const plainControl = controlFile({ operators: [] }).text;
const plain = (number: number, change = {}): Image => withControl(number, plainControl, change);
const soft = controlFile({ operators: operators.map((operator) => ({ ...operator, onFailure: "degraded" as const })) }).text;

async function committed(options: WorldOptions & { a: Image }): Promise<World> {
  const world = new World(options);
  await world.boot();
  world.commitAndShutDown("a", options.a.id);
  return world;
}

async function trial(b: Image = v2, options: WorldOptions & { a?: Image } = {}): Promise<World> {
  const world = await committed({ ...options, a: options.a ?? v1 });
  world.installInB(b);
  return world;
}

async function tried(times: number): Promise<World> {
  const world = await trial();
  for (let attempt = 0; attempt < times; attempt++) await world.boot();
  return world;
}

/** A trial whose slot that step of a recovery left to be booted. */
async function recovered(rung: Rung): Promise<World> {
  const world = await trial();
  const step = { rung, slot: "b", imageId: v2.id };
  world.change((record) => ({ ...record, recovery: { asked: null, tried: [step], current: step } }));
  return world;
}

/** A committed machine whose record remembers that of a recovery. */
async function remembering(known: Partial<RecoveryRecord>, options: Omit<WorldOptions, "a"> = {}): Promise<World> {
  const world = await committed({ ...options, a: v1 });
  world.change((record) => ({ ...record, recovery: { asked: null, tried: [], current: null, ...known } }));
  return world;
}

const as = (world: World, without: string[] = []): Prepared => ({ world, kernel: () => world.kernel(without) });

/** A second disk with the labels of the first, and a copy of its boot record. */
function twin(world: World): RecordingKernel {
  const kernel = world.kernel();
  const disk = kernel.addDevice({ path: "/dev/vdb", number: { major: 254, minor: 16 }, size: 64 * MiB });
  for (const [number, label] of [
    [1, "boot-record"],
    [2, "root-a"],
  ] as const) {
    kernel.addDevice({
      path: `/dev/vdb${number}`,
      number: { major: 254, minor: 16 + number },
      size: 4 * MiB,
      partition: { of: disk, number, start: number * 8 * MiB, label },
      ...(number === 1 ? { contents: world.record.storage.read(0, 2 * MiB) } : {}),
    });
  }
  kernel.beginTrace();
  return kernel;
}

function spoilRecord(world: World): World {
  for (const offset of [0, MiB]) world.record.storage.write(offset, new Uint8Array(4096).fill(0x5a));
  return world;
}

async function writeProtected(): Promise<Prepared> {
  const world = await trial();
  const kernel = () => {
    const protectedKernel = world.kernel();
    protectedKernel.plant("/sys/class/block/vda1", { ro: "1\n" });
    protectedKernel.failOn({ call: "open", match: /vda1.*RDWR/, code: "EACCES" });
    return protectedKernel;
  };
  return { world, kernel };
}

/** With a watchdog that systemd is to take over. */
async function watched(present: boolean): Promise<Prepared> {
  const world = await trial(plain(2), { a: plain(1), control: { watchdog: { timeout: 20, after: "systemd" } } });
  const kernel = () => {
    const watchedKernel = world.kernel();
    if (present) watchedKernel.plant("/dev", { watchdog: device("character", 10, 130) });
    return watchedKernel;
  };
  return { world, kernel };
}

/** Slot c, a file with that image, is to be tried. */
async function inFile(holds: Image, tree: Tree = {}): Promise<World> {
  const world = await filesWorld({ "images/c.img": fileOf(holds), ...tree });
  world.activate("c", holds.id, "a");
  return world;
}

const adopting = {
  data: { device: "PARTLABEL=sys-data", filesystem: "ext4", whenReplaced: "adopt", grow: false, create: false },
} as const;

/** A committed machine whose data filesystem was made anew since. */
async function formatted(superblock: Uint8Array | null, commandLine = "quiet", control: WorldOptions["control"] = {}) {
  const world = await committed({ a: v1, control });
  world.formatData(superblock);
  world.commandLine = commandLine;
  return world;
}

function protectData(kernel: RecordingKernel): RecordingKernel {
  kernel.plant("/sys/class/block/vda4", { ro: "1\n" });
  return kernel;
}

/** What the running system leaves for the boot that follows. */
export function asked(world: World, requests: Partial<StateRequests>): World {
  const kernel = world.kernel();
  kernel.mount("/dev/vda4", "/sysroot", "ext4", 0, "");
  kernel.makeDirectory(`/sysroot/${REQUESTS.directory}`, 0o700);
  const file = kernel.open(`/sysroot/${REQUESTS.directory}/${REQUESTS.file}`, O.WRONLY | O.CREAT);
  kernel.write(file, new TextEncoder().encode(formatRequests({ ...NO_REQUESTS, ...requests })), 0n);
  kernel.syncFilesystem(file);
  kernel.close(file);
  return world;
}

/** Both slots were committed, b last, and the next boot is a's. */
async function rolledBack(): Promise<World> {
  const world = await trial();
  await world.boot();
  world.commitAndShutDown("b", v2.id);
  world.change((record) => rollBack(record, "b", world.policy, "rolled back by operator").record);
  return world;
}

/** As {@link rolledBack}, and slot b is to boot once more. */
async function backAgain(): Promise<World> {
  const world = await rolledBack();
  await world.boot();
  world.commitAndShutDown("a", v1.id);
  world.activate("b", v2.id, "a");
  return world;
}

/** A step of a recovery has left slot b ready. */
function recovering(world: World, rung: Rung): World {
  const step = { rung, slot: "b", imageId: v2.id };
  world.change((record) => ({ ...record, recovery: { asked: null, tried: [step], current: step } }));
  return world;
}

const otherModules = { "usr/lib/modules": memoryFile(""), "usr/lib/modules/5.10.0-other/modules.dep": "" };
const words = "quiet rw slipway.slot=b init=/usr/lib/systemd/systemd slipway.nonsense panic=7 -- single";

/** An image with other operators than the usual ones. */
const kinds = (operators: Operator[], change: Partial<Operator> = {}): Image =>
  withControl(1, controlFile({ operators: operators.map((operator) => ({ ...operator, ...change })) }).text, everyKindTree);

/** By what they are about. */
/** A machine whose bootloader chooses: slot a committed, and `b` on trial. */
async function following(b: Image, commandLine: string): Promise<World> {
  const world = await trial(b, { a: plain(1), control: { chooser: "loader" }, commandLine: "slipway.slot=a" });
  world.commandLine = commandLine;
  return world;
}

export const machines: Record<string, () => Promise<Prepared>> = {
  "the bootloader's choice is followed": async () =>
    as(await following(plain(2), "slipway.slot=b slipway.nonce=0123456789abcdef")),
  "the bootloader names no slot": async () => as(await following(plain(2), "quiet")),
  "the bootloader's choice fails": async () => as(await following(plain(2, { "usr/sbin/init": {} }), "slipway.slot=b")),
  "the bootloader names a used-up slot": async () => {
    const world = await following(plain(2), "slipway.slot=b");
    world.change((record) => withSlot(record, "b", { tries: 0, reason: "marked bad by operator" }));
    return as(world);
  },
  "the bootloader names a used-up slot for ever": async () => {
    const world = await following(plain(2), "slipway.slot=b");
    world.change((record) => ({ ...withSlot(record, "b", { tries: 0, reason: "marked bad by operator" }), spentNamed: 3 }));
    return as(world);
  },
  "first boot": async () => as(new World({ a: v1 })),
  "committed slot": async () => as(await committed({ a: v1 })),
  "committed slot after a power cut": async () => {
    const world = await committed({ a: v1 });
    await world.boot();
    return as(world);
  },
  trial: async () => as(await trial()),
  "second try of a trial": async () => as(await tried(1)),
  "trial used up": async () => as(await tried(3)),
  "device of the trial missing": async () => as(await trial(), ["vda3"]),
  "trial that a recovery repaired": async () => as(await recovered("repair")),
  "trial in safe mode": async () => as(await recovered("safe-mode")),
  "trial with the state before": async () => as(await recovered("previous-generation")),
  "trial with new state": async () => as(await recovered("reinstall-fresh")),
  "slipway.recover, obeyed and gone": async () => as(await remembering({ obeyed: "ladder" })),
  "slipway.recover, obeyed and still there": async () =>
    as(
      await remembering(
        { obeyed: "repair" },
        { commandLine: "quiet slipway.recover=repair", control: { recovery: DEFAULT_RECOVERY } },
      ),
    ),
  "a recovery that the control file does not allow": async () => as(await remembering({ asked: "repair" })),
  "devices of both slots missing": async () => as(await trial(), ["vda2", "vda3"]),
  "no init": async () => as(await trial(plain(2, { "usr/sbin/init": {} }))),
  "no directory for /run": async () => as(await trial(plain(2, { run: "a file" }))),
  "image for another system": async () => as(await trial(withControl(2, controlFile({ system: "other" }).text))),
  "damaged control file in the image": async () => as(await trial(withControl(2, "{}"))),
  "modules of another kernel": async () => as(await trial(plain(2, otherModules))),
  "both slots without init": async () =>
    as(await trial(plain(2, { "usr/sbin/init": {} }), { a: plain(1, { "usr/sbin/init": {} }) })),
  "both slots empty": async () => as(new World()),
  "record unreadable": async () => as(spoilRecord(await trial())),
  "record write-protected": writeProtected,
  "record's partition missing": async () => as(await trial(), ["vda1"]),
  "no device at all": async () => as(await trial(), ["vda", "vda1", "vda2", "vda3", "vda4"]),
  "two disks with the same labels": async () => {
    const world = await trial();
    return { world, kernel: () => twin(world) };
  },
  "data filesystem missing": async () => as(await trial(), ["vda4"]),
  "data partition without a filesystem": async () => as(new World({ a: v1, data: null })),
  "state that may be degraded": async () => as(await committed({ a: withControl(1, soft) }), ["vda4"]),
  "state that may be degraded, data filesystem write-protected": async () => {
    const world = await committed({ a: withControl(1, soft) });
    return { world, kernel: () => protectData(world.kernel()) };
  },
  "data filesystem write-protected": async () => {
    const world = await committed({ a: v1 });
    return { world, kernel: () => protectData(world.kernel()) };
  },
  "data filesystem of another device": async () => as(await formatted(ext4(0xdb))),
  "data filesystem of another device, adopted": async () => as(await formatted(ext4(0xdb), "quiet slipway.data=adopt")),
  "data filesystem of another device, adopted by declaration": async () =>
    as(await formatted(ext4(0xdb), "quiet", { ...adopting })),
  "data filesystem made anew with the same UUID": async () => as(await formatted(ext4(0xda))),
  "data partition that lost its superblock": async () => as(await formatted(null)),
  "errors in the data filesystem's superblock": async () => {
    const world = await committed({ a: v1 });
    world.data.storage.write(0, ext4Errors(0xda, 3));
    return as(world);
  },
  "one operator of each kind": async () => as(new World({ a: kinds(everyKind) })),
  "one operator of each kind, again": async () => as(await committed({ a: kinds(everyKind) })),
  "each kind without a data filesystem": async () =>
    as(await committed({ a: kinds(everyKind, { onFailure: "degraded" }) }), ["vda4"]),
  "variants of the kinds": async () => as(new World({ a: kinds(moreKinds) })),
  "image without state": async () => as(await committed({ a: plain(1) })),
  watchdog: () => watched(true),
  "watchdog missing": () => watched(false),
  "clock behind the last known time": async () => {
    const world = await committed({ a: plain(1) });
    world.change((record) => ({ ...record, lastKnownUnixMs: record.lastKnownUnixMs + 3_600_000 }));
    return as(world);
  },
  "trial in a file": async () => as(await inFile(v3)),
  "file whose image does not boot": async () => as(await inFile(image(3, { "usr/sbin/init": {} }))),
  "file of an image that keeps nothing": async () => as(await inFile(plain(3))),
  "file of an image without a control file": async () => as(await inFile(image(3, { "usr/lib/slipway": "a file" }))),
  "file of an image for another system": async () => as(await inFile(withControl(3, controlFile({ system: "other" }).text))),
  "file that is not there": async () => as(await inFile(v3, { "images/c.img": directory() })),
  "file without its filesystem": async () => as(await inFile(v3), ["vda4"]),
  "file on another device's data filesystem": async () => {
    const world = await inFile(v3);
    world.change((record) => ({ ...record, dataFilesystem: "0000000f-0000-0000-0000-000000000001" }));
    return as(world);
  },
  "third try of a trial": async () => as(await tried(2)),
  "rollback from a committed slot": async () => as(await rolledBack()),
  "rollback that carries the state": async () => as(asked(await rolledBack(), { carry: { slot: "a", generation: 2 } })),
  "request for another slot": async () => as(asked(await rolledBack(), { carry: { slot: "b", generation: 1 } })),
  "reset of a store": async () =>
    as(asked(await committed({ a: v1 }), { reset: { what: "stores", ids: ["var-lib-app", "no"] } })),
  "factory reset": async () => as(asked(await rolledBack(), { reset: { what: "factory", identity: false } })),
  "fresh state of a recovery": async () => as(recovering(await trial(), "reinstall-fresh")),
  "fresh state of a recovery, a further try": async () => {
    const world = recovering(await trial(), "reinstall-fresh");
    await world.boot();
    return as(world);
  },
  "fresh state of a recovery, a further try after a clean end": async () => {
    const world = recovering(await trial(), "reinstall-fresh");
    await world.boot();
    world.shutDown();
    return as(world);
  },
  "fresh state of a recovery that was committed": async () => {
    const world = recovering(await trial(), "reinstall-fresh");
    await world.boot();
    world.commitAndShutDown("b", v2.id);
    return as(world);
  },
  "the state before, of a recovery": async () => as(recovering(await backAgain(), "previous-generation")),
  "the state before, of a recovery that has none": async () => as(recovering(await trial(), "previous-generation")),
  "safe mode": async () => as(recovering(await trial(), "safe-mode")),
  "safe mode without the data filesystem": async () => as(recovering(await trial(), "safe-mode"), ["vda4"]),
  "safe mode on a small machine": async () => {
    const world = recovering(await trial(), "safe-mode");
    const kernel = () => {
      const small = world.kernel();
      small.plant("/proc", { meminfo: "MemTotal:         131072 kB\nMemFree: 1 kB\n" });
      return small;
    };
    return { world, kernel };
  },
  "words of the command line": async () => as(new World({ a: plain(1), b: plain(2), commandLine: words })),
  "sealed image": async () => as(new World({ a: await sealed(1), control: signedControl() })),
  "sealed image, restarts where its device fails": async () =>
    as(new World({ a: await sealed(1), control: signedControl(), verity: [1, 11, 0] })),
  "sealed image with a signature for the kernel": async () => {
    const manifest = { kernelSignature: Buffer.alloc(700, 1).toString("base64") };
    return as(new World({ a: await sealed(1, { manifest }), control: signedControl({ kernelSignature: "required" }) }));
  },
  "sealed images, the first of them by a stranger": async () =>
    as(new World({ a: await sealed(1, { keys: [stranger] }), b: await sealed(2), control: signedControl() })),
  "sealed images, the first of them for another system": async () =>
    as(new World({ a: await sealed(1, { manifest: { system: "other" } }), b: await sealed(2), control: signedControl() })),
  "sealed images, the first of them with a damaged seal": async () => {
    const spoil = (bytes: Uint8Array) => bytes.fill(0, 19 * 4096, 19 * 4096 + 7);
    return as(new World({ a: await sealed(1, { spoil }), b: await sealed(2), control: signedControl() }));
  },
  "sealed images, the first of them too old": async () => {
    const control = signedControl({ rollbackFloor: 3 });
    return as(new World({ a: await sealed(1), b: await sealed(2, { manifest: { rollbackIndex: 3 } }), control }));
  },
  "sealed image without an init": async () => {
    const a = await sealed(1, { tree: { "usr/sbin/init": {} } });
    return as(new World({ a, b: await sealed(2), control: signedControl() }));
  },
  "no sealed image where keys are trusted": async () => as(new World({ a: plain(1), b: plain(2), control: signedControl() })),
  "sealed image after five unclean ends": async () => {
    const world = new World({ a: await sealed(1), control: signedControl() });
    await world.boot();
    world.change((record) => ({ ...record, uncleanEnds: 5 }));
    return as(world);
  },
  "sealed image whose trial has one try left": async () => {
    const world = new World({ a: await sealed(1), b: await sealed(2), control: signedControl() });
    await world.boot();
    await world.boot();
    return as(world);
  },
  "sealed image that nobody had to sign": async () =>
    as(new World({ a: await sealed(1, { keys: [] }), control: { operators: [] } })),
  "locked command line": async () =>
    as(new World({ a: plain(1), b: plain(2), commandLine: words, control: { commandLine: "locked" } })),
};
