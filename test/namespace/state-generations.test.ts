import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Descriptor, Kernel } from "../../init/kernel/kernel.ts";
import { layOut, readGenerations } from "../../init/state/data-filesystem.ts";
import { type GenerationOrder, prepareGeneration } from "../../init/state/generations.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { type GenerationFacts, NO_ORDERS } from "../../state-ops/generation-facts.ts";
import { planGeneration } from "../../state-ops/generation-plan.ts";
import { parseMeta } from "../../state-ops/layout.ts";
import { plainOrder } from "../samples/generation-order.ts";
import {
  cleanUp,
  failingKernel,
  filesystems,
  kernel,
  look,
  makeFilesystem,
  mountDisk,
  PowerCut,
  program,
  scratch,
} from "./state-machine.ts";

const uuid = "3f1c2a44-9d0e-4e59-8a67-1b2c3d4e5f60";
const images = { a: `sha256:${"a".repeat(64)}`, b: `sha256:${"b".repeat(64)}` };
const nothing = () => {};

/** What the boot sequence does about a slot's generation: read, decide, carry out. */
function prepare(on: Kernel, data: Descriptor, slot: "a" | "b", attempt: number, committed: "a" | null): number {
  layOut(on, data, uuid);
  const who = { slot, imageId: images[slot], controlDigest: "sha256:control" };
  const facts: GenerationFacts = {
    ...readGenerations(on, data, ["a", "b"]),
    ...who,
    trial: committed !== slot,
    previousEnd: "clean",
    committed: committed === null ? null : { slot: committed, imageId: images[committed] },
    ...{ left: null, attempt, orders: NO_ORDERS, wish: "ordinary" },
  };
  const order: GenerationOrder = { plan: planGeneration(facts), ...who, attempt, ...plainOrder };
  return prepareGeneration(on, data, order, nothing).number;
}

/** State of slot a's generation, as services leave it. */
function fillStores(place: string): void {
  const generation = `${place}/gens/000001`;
  mkdirSync(`${generation}/tree/var/lib`, { recursive: true });
  mkdirSync(`${generation}/tree/.seed-half`, { recursive: true });
  mkdirSync(`${generation}/ovl/etc`, { mode: 0o700 });
  mkdirSync(`${generation}/ovl/etc/upper/inner`, { recursive: true });
  writeFileSync(`${generation}/tree/var/lib/database`, "rows".repeat(5000));
  writeFileSync(`${generation}/tree/var/log`, "line\n");
  writeFileSync(`${generation}/tree/file-store`, "one file");
  writeFileSync(`${generation}/ovl/etc/upper/hosts`, "127.0.0.1");
}

/** What a slot's state is, without what a clone may differ in. */
function stateOf(data: Descriptor, generation: string): string {
  const stores = [look(data, `gens/${generation}/tree`), look(data, `gens/${generation}/ovl`)];
  return JSON.stringify(stores, (key, value: unknown) => {
    if (["accessed", "modified"].includes(key) || key.includes(".seed-")) return undefined;
    return typeof value === "bigint" ? `${value}` : value;
  }).replaceAll(/"same":\d+/g, "");
}

test("the first boot makes a generation, further boots go on with it, a trial gets a clone", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  try {
    assert.is(prepare(kernel, disk.data, "a", 1, null), 1);
    assert.is(readlinkSync(`${disk.place}/slots/a`), "../gens/000001");
    assert.equal(JSON.parse(readFileSync(`${disk.place}/LAYOUT`, "utf8")), { schema: 1, filesystemUuid: uuid });
    fillStores(disk.place);
    assert.is(prepare(kernel, disk.data, "a", 2, "a"), 1);
    assert.is(prepare(kernel, disk.data, "b", 3, "a"), 2);
    assert.is(readlinkSync(`${disk.place}/slots/b`), "../gens/000002");
    assert.equal(readdirSync(`${disk.place}/gens`).sort(), ["000001", "000002"]);
    assert.is(stateOf(disk.data, "000002"), stateOf(disk.data, "000001"));
    assert.equal(readdirSync(`${disk.place}/gens/000002/tree`).sort(), ["file-store", "var"], "a half-made store is not cloned");
    assert.equal(parseMeta(readFileSync(`${disk.place}/gens/000002/meta.json`, "utf8")), {
      ...{ schema: 1, number: 2, parent: 1, imageId: images.b, slot: "b", controlDigest: "sha256:control", attempt: 3 },
    });
    writeFileSync(`${disk.place}/gens/000002/tree/file-store`, "changed in the trial");
    assert.is(prepare(kernel, disk.data, "b", 4, "a"), 2, "after a clean end a trial goes on");
    assert.is(readFileSync(`${disk.place}/gens/000001/tree/file-store`, "utf8"), "one file");
    assert.is(prepare(kernel, disk.data, "a", 5, "a"), 1);
  } finally {
    disk.close();
  }
});

/**
 * Cuts the power after `count` effects of the first boot of slot b. What the disk holds then is the loop device's file:
 * what the filesystem had only in memory is lost. Returns whether the boot ended before the cut.
 */
function cutPowerAfter(count: number, type: DataFilesystem, before: string, expected: string): "cut" | "done" {
  const file = `${scratch}/running.disk`;
  program("cp", "--sparse=always", before, file);
  const disk = mountDisk(type, file);
  const failing = failingKernel(count);
  let ended: "cut" | "done" = "done";
  try {
    prepare(failing.kernel, disk.data, "b", 2, "a");
  } catch (error) {
    if (!(error instanceof PowerCut)) throw error;
    ended = "cut";
  }
  copyFileSync(file, `${scratch}/cut.disk`);
  disk.close();
  const after = mountDisk(type, `${scratch}/cut.disk`);
  try {
    const { pointers, generations } = readGenerations(kernel, after.data, ["a", "b"]);
    assert.is(pointers.a, 1, "the committed slot keeps its generation");
    assert.ok(pointers.b === null || pointers.b === 2, `slot b points at ${pointers.b}`);
    if (ended === "done") assert.is(pointers.b, 2, "what was reported done is on disk");
    for (const { number, complete, meta } of generations) {
      assert.ok(complete && meta?.number === number, `generation ${number} has its name and is not complete`);
      assert.is(stateOf(after.data, `00000${number}`), expected);
    }
    assert.ok(pointers.b === null || generations.some(({ number }) => number === pointers.b), "the pointer leads nowhere");
    const number = prepare(kernel, after.data, "b", 3, "a");
    assert.is(stateOf(after.data, `00000${number}`), expected);
    assert.is(readlinkSync(`${after.place}/slots/b`), `../gens/00000${number}`);
    assert.not(
      readdirSync(`${after.place}/gens`).some((name) => name.startsWith(".")),
      "rubbish was left",
    );
    assert.equal(readdirSync(`${after.place}/trash`), []);
  } finally {
    after.close();
  }
  return ended;
}

/** Every point on ext4 and btrfs; on xfs, whose engine is ext4's but for the contents, some. */
const strides: Record<DataFilesystem, number> = { ext4: 1, xfs: 9, btrfs: 1 };
/** A snapshot makes a generation in a few calls. */
const leastPoints: Record<DataFilesystem, number> = { ext4: 50, xfs: 5, btrfs: 10 };

for (const type of filesystems) {
  test(`${type}: a power cut while a generation is made leaves the old or the new one`, () => {
    const before = makeFilesystem(type);
    const first = mountDisk(type, before);
    prepare(kernel, first.data, "a", 1, null);
    fillStores(first.place);
    const expected = stateOf(first.data, "000001");
    first.close();
    let points = 0;
    for (let count = 0; cutPowerAfter(count, type, before, expected) === "cut"; count += strides[type]) points++;
    assert.ok(points > leastPoints[type], `only ${points} points were tried`);
  });
}

test("ext4: a power cut at the first boot of all leaves nothing or a generation", () => {
  const before = makeFilesystem("ext4");
  let ended = "cut";
  for (let count = 0; ended === "cut"; count++) {
    const file = `${scratch}/running.disk`;
    program("cp", "--sparse=always", before, file);
    const disk = mountDisk("ext4", file);
    ended = "done";
    try {
      prepare(failingKernel(count).kernel, disk.data, "a", 1, null);
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error;
      ended = "cut";
    }
    copyFileSync(file, `${scratch}/cut.disk`);
    disk.close();
    const after = mountDisk("ext4", `${scratch}/cut.disk`);
    try {
      const number = prepare(kernel, after.data, "a", 2, null);
      const { pointers, generations } = readGenerations(kernel, after.data, ["a"]);
      assert.equal(pointers, { a: number });
      assert.ok(generations.every(({ complete }) => complete));
      if (ended === "done") assert.is(number, 1, "what was reported done is on disk");
    } finally {
      after.close();
    }
  }
});

test("a generation or a pointer that lies is not believed", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  const gens = `${disk.place}/gens`;
  const slots = `${disk.place}/slots`;
  const seen = () => readGenerations(kernel, disk.data, ["a"]);
  const complete = (number: number) => seen().generations.find((generation) => generation.number === number)?.complete;
  try {
    prepare(kernel, disk.data, "a", 1, null);
    assert.is(complete(1), true);
    for (const target of ["../gens/1", "gens/000001", "/gens/000001", "../gens/000001/", "../gens/../gens/000001", "../shared"]) {
      rmSync(`${slots}/a`, { recursive: true });
      symlinkSync(target, `${slots}/a`);
      assert.equal(seen().pointers, { a: null }, target);
    }
    rmSync(`${slots}/a`);
    mkdirSync(`${slots}/a`);
    assert.equal(seen().pointers, { a: null });
    assert.is(prepare(kernel, disk.data, "a", 2, "a"), 1, "and is put right");
    assert.is(readlinkSync(`${slots}/a`), "../gens/000001");

    const text = readFileSync(`${gens}/000001/meta.json`, "utf8");
    writeFileSync(`${gens}/000001/meta.json`, text.replace('"attempt":1', '"attempt":9'));
    assert.is(complete(1), false, "meta.json is not the one that COMPLETE vouches for");
    rmSync(`${gens}/000001/meta.json`);
    symlinkSync("../meta", `${gens}/000001/meta.json`);
    writeFileSync(`${gens}/meta`, text);
    assert.is(complete(1), false, "a link in the place of meta.json");
    rmSync(`${gens}/000001/meta.json`);
    program("mkfifo", `${gens}/000001/meta.json`);
    assert.is(complete(1), false, "a fifo in the place of meta.json");
    renameSync(`${gens}/000001`, `${disk.place}/shared/real`);
    symlinkSync("../shared/real", `${gens}/000001`);
    assert.is(complete(1), false, "a link in a generation's place");
    writeFileSync(`${gens}/000007`, "");
    assert.is(complete(7), false, "a file in a generation's place");
  } finally {
    disk.close();
  }
});

test("links in the place of the top directories are refused, and nothing beyond them is touched", () => {
  for (const name of ["gens", "slots", "shared", "trash"]) {
    const disk = mountDisk("ext4", makeFilesystem("ext4"));
    try {
      const elsewhere = `${scratch}/elsewhere`;
      mkdirSync(`${elsewhere}/.tmp-000009-x`, { recursive: true });
      symlinkSync(elsewhere, `${disk.place}/${name}`);
      assert.throws(() => prepare(kernel, disk.data, "a", 1, null), new RegExp(`${name}: (?:ELOOP|ENOTDIR)`));
      assert.equal(readdirSync(elsewhere), [".tmp-000009-x"]);
    } finally {
      disk.close();
    }
  }
});

test("what cannot be deleted is reported, and does not keep the machine from booting", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  try {
    layOut(kernel, disk.data, uuid);
    const stubborn = `${disk.place}/gens/.tmp-000004-attempt-1/tree`;
    mkdirSync(stubborn, { recursive: true });
    writeFileSync(`${stubborn}/file`, "x");
    program("chattr", "+i", `${stubborn}/file`);
    const who = { slot: "a", imageId: images.a, controlDigest: "sha256:control" };
    const plan = { do: "create" as const, to: 1, why: "test", reason: null };
    const { warnings, path } = prepareGeneration(kernel, disk.data, { plan, ...who, attempt: 1, ...plainOrder }, nothing);
    assert.is(path, "gens/000001");
    assert.is(warnings.length, 1);
    assert.match(warnings[0] ?? "", /trash\/tmp-000004-attempt-1 .* could not be deleted: .*EPERM/);
    program("chattr", "-i", `${disk.place}/trash/tmp-000004-attempt-1/tree/file`);
  } finally {
    disk.close();
  }
});

test("a full data filesystem fails the clone, and gives the space back", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  try {
    prepare(kernel, disk.data, "a", 1, null);
    mkdirSync(`${disk.place}/gens/000001/tree/big`);
    writeFileSync(`${disk.place}/gens/000001/tree/big/file`, Buffer.alloc(36 * 1024 * 1024, "x"));
    assert.throws(() => prepare(kernel, disk.data, "b", 2, "a"), /ENOSPC/);
    assert.equal(readdirSync(`${disk.place}/gens`), ["000001"]);
    assert.equal(readdirSync(`${disk.place}/trash`), []);
    assert.is(prepare(kernel, disk.data, "a", 3, "a"), 1);
    assert.is(lstatSync(`${disk.place}/slots/a`).isSymbolicLink(), true);
  } finally {
    disk.close();
  }
});

test("LAYOUT of another version or of another filesystem", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  try {
    assert.equal(layOut(kernel, disk.data, uuid), []);
    assert.equal(layOut(kernel, disk.data, uuid), []);
    const [warning = ""] = layOut(kernel, disk.data, "another");
    assert.match(warning, /data filesystem another holds state that was made on 3f1c2a44/);
    writeFileSync(`${disk.place}/LAYOUT`, '{"schema":2}\n');
    assert.throws(() => layOut(kernel, disk.data, uuid), /schema 2, this initrd knows 1; renew the initrd/);
    writeFileSync(`${disk.place}/LAYOUT`, "");
    assert.throws(() => layOut(kernel, disk.data, uuid), /LAYOUT on the data filesystem is damaged/);
  } finally {
    disk.close();
  }
});

test.after(cleanUp);
test.run();
