/**
 * What every bootloader that counts has to go through with slipway behind it: first boot, trial, commit, a failed trial rolled back
 * by the loader and by slipway, a kernel that gets nowhere, both slots bad, a torn store, a loader that reads another store, one
 * that repeats itself. The loaders differ in how their disks are made and what their stores look like: {@link LoaderUnderTest}.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { ToldLoader } from "../../../boot/stores/told-loader.ts";
import type { StoreView } from "../../../boot/stores/view.ts";
import type { Status } from "../../../init/commands/status-shape.ts";
import { writeInto } from "../../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import type { Machine } from "../../../qemu/machine.ts";
import type { MachineOptions } from "../../../qemu/machine-options.ts";
import { madeOf } from "../../../qemu/product.ts";
import { type Ending, smallRootTree } from "../../../qemu/roots.ts";
import { trustLine } from "../../../qemu/seal.ts";
import { treeInitrd } from "../../../qemu/tree-initrd.ts";
import { ordersFile, takeOrders } from "./orders.ts";
import { validRecord } from "./record-on-disk.ts";
import { type SmallImage, smallSystem } from "./small-image.ts";
import { consoleWords, part, smallInitrd, type Told, toEnd } from "./small-machine.ts";

/** What a loader's disk is made from. */
export interface LoaderDisk {
  /** Text of system.yaml. */
  system: string;
  /** Images of the slots a and b. */
  slots: Record<"a" | "b", SmallImage>;
  /** Files for the loader to start, the same for both slots; each slot is to have its own, so that one can be spoiled. */
  kernel: string;
  initrd: string;
  /** The kernel's command line, beside what the loader adds. */
  words: string;
}

export interface LoaderUnderTest {
  /** For the tests' names: "GRUB on BIOS". */
  name: string;
  /** The line `boot-record: …` of system.yaml. The record's partition is boot-record. */
  bootRecord: string;
  /** Starts that it gives a trial. Less than three where the store has room for no more. */
  starts: number;
  /** It counts a trial only: a committed slot whose kernel gets nowhere is started for ever. */
  countsTrialsOnly?: true;
  /** A throw-away disk on which the loader lies, its store empty or as its maker leaves it. */
  disk(made: LoaderDisk): Promise<string>;
  start(disk: string, options: Partial<MachineOptions>): Promise<Machine>;
  /** What its store on the disk says, of the slots a and b. */
  view(disk: string): Promise<StoreView>;
  /** Makes `initrd` what it loads for `slot`. */
  setInitrd(disk: string, slot: "a" | "b", initrd: string): Promise<void>;
  /** Ways to tear its store, by name. */
  tears: Record<string, (disk: string) => Promise<void>>;
  /** Has it read a copy of its store from now on, so that slipway writes what it does not read. Left out where it cannot be. */
  otherStore?(disk: string): Promise<void>;
  /** Has it name slot a for ever, whatever was counted. Left out where it cannot be. */
  repeat?(disk: string): Promise<void>;
}

const script = `report kept cat /home/kept; echo $(cat /etc/small-root/facts) >>/home/kept; sync
clean_end() { slipway shutdown-credit; say "small root ends: power-off"; settle; umount -a -r; poweroff -f; }
${takeOrders}`;

function image(facts: string, ending: Ending = "hang"): SmallImage {
  return { facts, ending, script, slipway: true, seal: { keys: ["release"] } };
}

/** An initrd without slipway, which restarts at once: a kernel that gets nowhere. Kept. */
async function deadInitrd(): Promise<string> {
  const directory = await madeOf("dead-initrd", null, async (aside) => {
    const tree = mkdtempSync(join(tmpdir(), "slipway-dead-"));
    try {
      const init = "#!/bin/sh\nmount -t devtmpfs dev /dev\necho 'this kernel gets nowhere' >/dev/console\nreboot -f\n";
      await smallRootTree(tree, { facts: "dead", ending: "reboot", files: { "/init": { content: init, mode: 0o755 } } });
      await treeInitrd(tree, `${aside}/initrd`);
    } finally {
      rmSync(tree, { recursive: true });
    }
  });
  return `${directory}/initrd`;
}

export interface ScenarioSystem {
  chooser?: "loader" | "slipway";
  /** More lines of system.yaml. */
  more?: string;
}

/** A disk of `loader` with two images, v1 and v2, that both are trials. */
export async function loaderDisk(
  loader: LoaderUnderTest,
  { chooser = "loader", more = "" }: ScenarioSystem = {},
): Promise<string> {
  const trust = await trustLine(["release"]);
  const base = smallSystem(["a", "b"], "ext4", `chooser: ${chooser}\n${more}`, trust);
  const system = base.replace(/^boot-record: .*$/m, loader.bootRecord);
  const { kernel } = await guestKernel();
  const slots = { a: image("v1"), b: image("v2") };
  return loader.disk({ system, slots, kernel, initrd: await smallInitrd(system), words: consoleWords });
}

/** Starts the machine, with `orders` for the root that comes up, and waits for its end. Without an end in them its power is cut. */
export async function loaderBoot(
  loader: LoaderUnderTest,
  disk: string,
  orders = "",
  options: Partial<MachineOptions> = {},
): Promise<Told & { boots: number }> {
  const disks = [{ file: disk }, { file: ordersFile(orders), readOnly: true }];
  const machine = await loader.start(disk, { memoryMiB: 512, timeoutMs: 240_000, ...options, disks });
  const told = await toEnd(machine);
  const { boots } = machine;
  console.log(`${loader.name}: ${boots} boots, root ${told.root}`);
  return { ...told, boots };
}

/** What boot.json says of the loader. Throws where it says nothing. */
export function toldLoader({ report }: Told): ToldLoader {
  if (report.loader === undefined) throw new Error("boot.json says nothing of the loader");
  return report.loader;
}

/** What `slipway status --json` said in the order `report NAME slipway status --json`. */
export function statusOf(told: Told, name = "status"): Status {
  return JSON.parse(part(told, name));
}

const END = "clean_end";
const STATUS = "report status slipway status --json";
const orders = (...lines: string[]) => lines.join("\n");

const bootsFirst = ({ slots }: StoreView) =>
  Object.entries(slots)
    .filter(([, { priority, tries, good }]) => priority > 0 && tries !== 0 && good !== false)
    .sort(([, one], [, other]) => other.priority - one.priority)[0]?.[0];

const COMMIT = "report commit slipway commit";
const activating = (slot: string) => `report activate slipway activate ${slot}`;

/** Both committed, a first: where the stories begin that need no trial. Made by the story of the trials, where that came first. */
let settled: string | null = null;

async function settledDisk(loader: LoaderUnderTest): Promise<string> {
  if (settled === null) {
    const disk = await loaderDisk(loader);
    await loaderBoot(loader, disk, orders(COMMIT, activating("b"), END));
    await loaderBoot(loader, disk, orders(COMMIT, activating("a"), END));
    settled = disk;
  }
  return throwAwayCopy(settled);
}

/** From the first boot to a trial that fails, one that is committed, and a kernel that gets nowhere. */
export function trialScenarios(loader: LoaderUnderTest): void {
  const { name, starts } = loader;
  let disk: string;
  /** Slot a is committed, and b the next to be tried. */
  let trial: string;

  test(`${name}: a first boot names a slot; committed, it is good in the store; the other one is activated`, async () => {
    disk = await loaderDisk(loader);
    const told = await loaderBoot(loader, disk, orders(COMMIT, activating("b"), STATUS, END));
    assert.is(told.root, "v1");
    assert.is(told.report.slot, "a");
    assert.is(told.report.trial, true);
    const { chooser, named, store } = toldLoader(told);
    assert.equal([chooser, named], ["loader", "a"]);
    assert.ok(store !== null);
    const view = await loader.view(disk);
    assert.is(bootsFirst(view), "b", JSON.stringify(view));
    assert.is(view.slots.a?.good, true, JSON.stringify(view));
    assert.is(validRecord(disk).slots.a?.state, "committed");
    assert.is(validRecord(disk).slots.b?.state, "trial");
  });

  test(`${name}: a trial that is never committed is started ${starts} times, counted by the loader`, async () => {
    for (let start = 1; start <= starts; start++) {
      const told = await loaderBoot(loader, disk);
      assert.is(told.root, "v2", `start ${start}`);
      assert.is(told.report.trial, true);
      assert.equal(
        [toldLoader(told).named, toldLoader(told).nonce],
        ["b", (await loader.view(disk)).nonce === null ? "unknown" : "same"],
      );
      const { tries } = (await loader.view(disk)).slots.b ?? {};
      if (tries !== null) assert.is(tries, starts - start, `tries after start ${start}`);
    }
  });

  test(`${name}: the loader then starts the old slot, which says why; activated again, the other one`, async () => {
    const told = await loaderBoot(loader, disk, orders(STATUS, activating("b"), END));
    assert.is(told.root, "v1");
    assert.is(told.report.slot, "a");
    assert.is(toldLoader(told).named, "a");
    assert.is(told.report.rollback?.from, "b");
    assert.match(told.report.rollback?.reason ?? "", /trial used up without a commit|the bootloader did not choose it/);
    assert.is(bootsFirst(await loader.view(disk)), "b");
    trial = throwAwayCopy(disk);
  });

  test(`${name}: a trial that is committed is good in the store`, async () => {
    const told = await loaderBoot(loader, disk, orders(COMMIT, activating("a"), END));
    assert.is(told.root, "v2");
    const view = await loader.view(disk);
    assert.is(view.slots.b?.good, true, JSON.stringify(view));
    assert.is(bootsFirst(view), "a");
    const record = validRecord(disk);
    assert.equal([record.slots.a?.state, record.slots.b?.state], ["committed", "committed"]);
    settled = throwAwayCopy(disk);
  });

  test(`${name}: a kernel that gets nowhere is left by the loader's count; slipway is told afterwards`, async () => {
    const [own, dead, other] = loader.countsTrialsOnly
      ? ([trial, "b", "a"] as const)
      : ([await settledDisk(loader), "a", "b"] as const);
    await loader.setInitrd(own, dead, await deadInitrd());
    const told = await loaderBoot(loader, own, orders(STATUS, END));
    assert.is(told.report.slot, other);
    assert.is(toldLoader(told).named, other);
    const nowhere = told.console.split("this kernel gets nowhere").length - 1;
    assert.ok(nowhere >= 1 && nowhere <= 10, `${nowhere} starts`);
    assert.is(told.boots, nowhere + 1);
    assert.match(toldLoader(told).merged.join("\n"), new RegExp(`slot ${dead}`));
  });
}

/** Images that fail their proof: one, both, and with a loader that does not know better. */
export function proofScenarios(loader: LoaderUnderTest): void {
  const { name } = loader;
  const spoil = (disk: string, slot: string) => writeInto(disk, `root-${slot}`, new Uint8Array(8192).fill(0x5a));

  test(`${name}: an image that fails its proof is left after one restart: slipway gives it up in the store`, async () => {
    const disk = await settledDisk(loader);
    spoil(disk, "a");
    const told = await loaderBoot(loader, disk, orders(STATUS, END));
    assert.is(told.root, "v2");
    assert.is(told.boots, 2);
    assert.is(told.report.rollback?.from, "a");
    const view = await loader.view(disk);
    assert.is(bootsFirst(view), "b");
    assert.ok(view.slots.a?.good !== true, JSON.stringify(view));
  });

  test(`${name}: with both spoiled slipway says why, and goes on trying; no loop of the loader hides it`, async () => {
    const disk = await settledDisk(loader);
    spoil(disk, "a");
    spoil(disk, "b");
    const machine = await loader.start(disk, { memoryMiB: 512, timeoutMs: 240_000, disks: [{ file: disk }] });
    await machine.expect("slipway: no slot boots\n");
    await machine.expect(/ {4}a .*\n {4}b .*\n/);
    await machine.cutPower();
    console.log(`${name}: ${machine.boots} boots until both are known to be bad`);
    assert.ok(machine.boots <= 6, `${machine.boots} boots`);
  });

  const { repeat } = loader;
  if (repeat === undefined) return;
  test(`${name}: a loader that names a bad slot for ever is overruled`, async () => {
    const disk = await settledDisk(loader);
    spoil(disk, "a");
    await repeat(disk);
    const told = await loaderBoot(loader, disk, orders(STATUS, END));
    assert.is(told.root, "v2");
    assert.is(toldLoader(told).named, "a");
    assert.match(told.report.why, /the bootloader named slot a again in 3 boots or more/);
    assert.ok(told.boots <= 6, `${told.boots} boots`);
  });
}

/** A store that is torn, and one that the loader does not read. */
export function storeScenarios(loader: LoaderUnderTest): void {
  const { name } = loader;
  for (const [what, tear] of Object.entries(loader.tears)) {
    test(`${name}: ${what}: the machine boots, and the store is made whole`, async () => {
      const disk = await settledDisk(loader);
      await tear(disk);
      const told = await loaderBoot(loader, disk, orders(STATUS, END));
      assert.is(told.report.trial, false);
      const { store } = toldLoader(told);
      console.log(`${name}: ${what}: ${store?.condition}, ${store?.reason}`);
      const view = await loader.view(disk);
      assert.equal(Object.keys(view.slots).sort(), ["a", "b"]);
      for (const slot of Object.values(view.slots)) assert.ok(slot.priority > 0 && slot.good !== false, JSON.stringify(view));
      assert.is(bootsFirst(view), "a");
    });
  }

  const { otherStore } = loader;
  if (otherStore === undefined) return;
  test(`${name}: a loader that reads another store is found out: activate refuses, status says so`, async () => {
    const disk = await settledDisk(loader);
    await otherStore(disk);
    const activate = "report activate sh -c 'slipway activate b; echo exit $?'";
    const first = await loaderBoot(loader, disk, orders(activating("b"), END));
    assert.is(toldLoader(first).nonce, "same");
    const told = await loaderBoot(loader, disk, orders(activate, STATUS, "report plain slipway status", END));
    assert.is(toldLoader(told).nonce, "other");
    assert.match(part(told, "activate"), /the bootloader reads another store than [\s\S]*exit 3$/);
    assert.match(part(told, "plain"), /reads another store/);
  });
}
