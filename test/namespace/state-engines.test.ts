/** A generation cloned by each engine, on real filesystems; what happens where there is no space. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { IOCTL } from "../../init/kernel/constants.ts";
import type { Descriptor, Kernel } from "../../init/kernel/kernel.ts";
import { layOut } from "../../init/state/data-filesystem.ts";
import { measureStores, probeEngine } from "../../init/state/estimate.ts";
import {
  deleteGenerations,
  type GenerationOrder,
  isFull,
  prepareGeneration,
  resetInPlace,
} from "../../init/state/generations.ts";
import { cloneRules } from "../../state-ops/clone-rules.ts";
import type { CloneEngine } from "../../state-ops/clone-space.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { NO_WORK } from "../../state-ops/generation-work.ts";
import type { GenerationPlan } from "../../state-ops/planned-generation.ts";
import { plainOrder } from "../samples/generation-order.ts";
import { sampleOperator } from "../samples/operator.ts";
import { boot, read, root, write } from "./state-boots.ts";
import { cleanUp, filesystems, kernel, look, makeFilesystem, mountDisk, program, scratch } from "./state-machine.ts";
import { plantTree } from "./state-tree.ts";

const nothing = () => {};
const who = { slot: "a", imageId: "sha256:image", controlDigest: "sha256:control", attempt: 1 };
const create: GenerationPlan = { do: "create", to: 1, why: "test", reason: null };
const clone = (from: number, to: number, without: string[] = []): GenerationPlan => ({
  ...{ do: "clone", from, to, parent: from, without, why: "test", reason: null },
});

function prepare(on: Kernel, data: Descriptor, plan: GenerationPlan, changes: Partial<GenerationOrder> = {}) {
  return prepareGeneration(on, data, { plan, ...who, ...plainOrder, ...changes }, nothing);
}

/** The real kernel, and the requests of the ioctls that succeeded. */
function watching(): { kernel: Kernel; requests: number[] } {
  const requests: number[] = [];
  const ioctl: Kernel["ioctl"] = (fd, request, argument) => {
    const result = kernel.ioctl(fd, request, argument);
    requests.push(request);
    return result;
  };
  return {
    kernel: new Proxy(kernel, { get: (target, name) => (name === "ioctl" ? ioctl : Reflect.get(target, name)) }),
    requests,
  };
}

const engines: { name: string; type: DataFilesystem; engine: CloneEngine; prepare?: (place: string) => void }[] = [
  { name: "ext4, copied", type: "ext4", engine: "copy" },
  { name: "xfs, by reflinks", type: "xfs", engine: "reflink" },
  { name: "btrfs, by a snapshot", type: "btrfs", engine: "snapshot" },
  {
    name: "btrfs, by reflinks: the generation is no subvolume",
    type: "btrfs",
    engine: "reflink",
    prepare: (place) => {
      program("cp", "-a", `${place}/gens/000001`, `${place}/gens/copy`);
      program("rm", "-rf", `${place}/gens/000001`);
      program("mv", `${place}/gens/copy`, `${place}/gens/000001`);
    },
  },
  {
    name: "btrfs, by reflinks: there is a subvolume in the generation, which a snapshot would show empty",
    type: "btrfs",
    engine: "reflink",
    prepare: (place) => {
      program("btrfs", "-q", "subvolume", "create", `${place}/gens/000001/tree/nested`);
      writeFileSync(`${place}/gens/000001/tree/nested/image`, "of a container");
    },
  },
];

for (const { name, type, engine, prepare: change } of engines) {
  test(`${name}: a clone keeps every store, and nothing else`, () => {
    const disk = mountDisk(type, makeFilesystem(type));
    try {
      layOut(kernel, disk.data, "uuid");
      prepare(kernel, disk.data, create);
      const first = `${disk.place}/gens/000001`;
      plantInto(disk, `${first}/tree`, "var");
      mkdirSync(`${first}/ovl/etc`, { mode: 0o700 });
      plantInto(disk, `${first}/ovl/etc`, "upper");
      for (const path of ["tree/.seed-half", "ovl/etc/.seed-upper", "aside/x", "work/etc/work", "unknown"]) {
        mkdirSync(`${first}/${path}`, { recursive: true });
      }
      writeFileSync(`${first}/PINNED`, "pinned");
      writeFileSync(`${first}/baseline.json`, "{}");
      change?.(disk.place);
      assert.is(probeEngine(kernel, disk.data, 1), engine);
      const before = JSON.stringify(look(disk.data, "gens/000001"), plain);
      const watched = watching();
      prepare(watched.kernel, disk.data, clone(1, 2), { slot: "b" });
      assert.is(watched.requests.includes(IOCTL.BTRFS_SNAP_CREATE_V2), engine === "snapshot");
      assert.is(watched.requests.includes(IOCTL.FICLONE), engine === "reflink");
      const second = `${disk.place}/gens/000002`;
      for (const store of ["tree/var", "ovl/etc/upper"]) {
        assert.equal(look(disk.data, `gens/000002/${store}`), look(disk.data, `gens/000001/${store}`), store);
      }
      assert.is(JSON.stringify(look(disk.data, "gens/000001"), plain), before, "the source is not touched");
      assert.equal(readdirSync(second).sort(), ["COMPLETE", "meta.json", "ovl", "tree"]);
      assert.equal(readdirSync(`${second}/ovl/etc`), ["upper"]);
      assert.is(lstatSync(second).mode & 0o7777, 0o700);
      if (existsSync(`${first}/tree/nested`)) assert.is(readFileSync(`${second}/tree/nested/image`, "utf8"), "of a container");
      writeFileSync(`${second}/tree/var/plain`, "changed");
      assert.is(readFileSync(`${first}/tree/var/plain`, "utf8"), "hello");
      assert.equal(deleteGenerations(kernel, disk.data, [2], nothing), []);
      assert.equal(readdirSync(`${disk.place}/trash`), []);
      assert.not(existsSync(second));
      assert.is(JSON.stringify(look(disk.data, "gens/000001"), plain), before, "nor by the deletion");
    } finally {
      disk.close();
    }
  });

  test(`${name}: caches, globs and stores that begin anew are left out, and a store gets its new name`, () => {
    const disk = mountDisk(type, makeFilesystem(type));
    try {
      layOut(kernel, disk.data, "uuid");
      prepare(kernel, disk.data, create);
      const first = `${disk.place}/gens/000001`;
      for (const path of ["var/run/a", "var/keep/run", "cache/x", "anew/x", "old/x"]) {
        mkdirSync(`${first}/tree/${path}`, { recursive: true });
      }
      for (const path of ["var/keep/core", "var/run/a/file", "old/core", "var/name"])
        writeFileSync(`${first}/tree/${path}`, path);
      mkdirSync(`${first}/ovl/etc/upper/run`, { recursive: true });
      writeFileSync(`${first}/ovl/etc/upper/core`, "x");
      mkdirSync(`${first}/ovl/anew/upper`, { recursive: true });
      program("touch", "-d", "2020-01-02 03:04:05.678901234", `${first}/tree/var/keep`, `${first}/tree/var`);
      change?.(disk.place);
      const exclude = ["**/core", "run/**"];
      const operators = [
        sampleOperator("/var", { exclude }),
        sampleOperator("/etc", { exclude, via: "overlay" }),
        sampleOperator("/cache", { cache: true }),
        sampleOperator("/new", { renamedFrom: "old" }),
      ];
      prepare(kernel, disk.data, clone(1, 2, ["anew"]), { slot: "b", operators });
      const second = `${disk.place}/gens/000002`;
      const found = program("find", `${second}/tree`, `${second}/ovl`, "-mindepth", "1", "-printf", "%P\n").split("\n").sort();
      const nested = existsSync(`${first}/tree/nested`) ? ["nested", "nested/image"] : [];
      assert.equal(found, [
        ...["etc", "etc/upper", "etc/upper/run", ...nested, "new", "new/core", "new/x"],
        ...["var", "var/keep", "var/keep/run", "var/name", "var/run"],
      ]);
      for (const path of ["var", "var/keep"]) {
        const times = [first, second].map((place) => lstatSync(`${place}/tree/${path}`, { bigint: true }).mtimeNs);
        assert.is(times[0], times[1], `${path} keeps its time though something in it was left out`);
      }
    } finally {
      disk.close();
    }
  });

  test(`${name}: a link in the place of the stores is refused, and nothing beyond it is touched`, () => {
    for (const place of ["tree", "ovl", "ovl/etc"]) {
      const disk = mountDisk(type, makeFilesystem(type));
      try {
        layOut(kernel, disk.data, "uuid");
        prepare(kernel, disk.data, create);
        mkdirSync(`${disk.place}/gens/000001/ovl/etc/upper`, { recursive: true });
        mkdirSync(`${disk.place}/elsewhere`);
        writeFileSync(`${disk.place}/elsewhere/file`, "x");
        change?.(disk.place);
        rmSync(`${disk.place}/gens/000001/${place}`, { recursive: true });
        symlinkSync(`${disk.place}/elsewhere`, `${disk.place}/gens/000001/${place}`);
        assert.throws(() => prepare(kernel, disk.data, clone(1, 2), { slot: "b" }), /ELOOP|ENOTDIR|is no directory/, place);
        assert.equal(readdirSync(`${disk.place}/elsewhere`), ["file"]);
        assert.equal(readdirSync(`${disk.place}/gens`), ["000001"]);
      } finally {
        disk.close();
      }
    }
  });

  test(`${name}: an upper layer's ties to another filesystem are dropped, foreign ones refused`, () => {
    const disk = mountDisk(type, makeFilesystem(type));
    try {
      layOut(kernel, disk.data, "uuid");
      prepare(kernel, disk.data, create);
      const upper = `${disk.place}/gens/000001/ovl/etc/upper`;
      mkdirSync(`${upper}/inner`, { recursive: true });
      for (const mark of ["origin", "uuid", "opaque"]) {
        kernel.setAttribute(`${upper}/inner`, `trusted.overlay.${mark}`, Buffer.from("y"));
      }
      change?.(disk.place);
      prepare(kernel, disk.data, clone(1, 2), { slot: "b" });
      assert.equal(kernel.listAttributes(`${disk.place}/gens/000002/ovl/etc/upper/inner`), ["trusted.overlay.opaque"]);
      assert.is(kernel.listAttributes(`${upper}/inner`).length, 3, "the source keeps its own");
      kernel.setAttribute(`${upper}/inner`, "trusted.overlay.redirect", Buffer.from("/x"));
      assert.throws(
        () => prepare(kernel, disk.data, clone(1, 3), { slot: "b" }),
        /inner: the attribute trusted\.overlay\.redirect was made by an overlay with foreign mount options/,
      );
      assert.equal(readdirSync(`${disk.place}/gens`).sort(), ["000001", "000002"]);
      assert.equal(readdirSync(`${disk.place}/trash`), []);
    } finally {
      disk.close();
    }
  });
}

for (const type of filesystems) {
  test(`${type}: an overlay can be written over a generation and over its clone, each its own`, () => {
    const disk = makeFilesystem(type);
    const generation = (plan: GenerationPlan) => {
      const mounted = mountDisk(type, disk);
      layOut(kernel, mounted.data, "uuid");
      prepare(kernel, mounted.data, plan, { slot: `s${plan.do === "continue" ? 0 : plan.to}` });
      mounted.close();
    };
    const operators = [sampleOperator("/etc", { via: "overlay" })];
    generation(create);
    boot({ type, disk, operators, generation: "gens/000001" }, () => {
      write("/etc/hosts", "copied up");
      renameSync(`${root}/etc/motd`, `${root}/etc/renamed`);
      rmSync(`${root}/etc/seal`);
    });
    generation(clone(1, 2));
    boot({ type, disk, operators, generation: "gens/000002" }, () => {
      assert.is(read("/etc/hosts"), "copied up");
      write("/etc/hosts", "by the clone");
      write("/etc/new", "by the clone");
      assert.is(read("/etc/renamed"), "motd v1");
    });
    boot({ type, disk, operators, generation: "gens/000001" }, () => {
      assert.is(read("/etc/hosts"), "copied up");
      assert.equal(
        ["motd", "seal", "new"].map((name) => existsSync(`${root}/etc/${name}`)),
        [false, false, false],
      );
    });
  });
}

const MiB = 1024 * 1024;

test("the estimate of a clone is what du says, without what is left out", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  try {
    layOut(kernel, disk.data, "uuid");
    prepare(kernel, disk.data, create);
    const first = `${disk.place}/gens/000001`;
    plantInto(disk, `${first}/tree`, "var");
    mkdirSync(`${first}/tree/cache`);
    writeFileSync(`${first}/tree/cache/file`, Buffer.alloc(3 * MiB, "x"));
    const measure = (operators: Parameters<typeof cloneRules>[0]) =>
      measureStores(kernel, disk.data, 1, cloneRules(operators, []), nothing);
    const without = measure([sampleOperator("/cache", { cache: true })]);
    const all = measure([]);
    const du = (store: string) => Number(program("du", "-s", "--block-size=1", `${first}/tree/${store}`).split("\t")[0]);
    assert.is(without.bytes, du("var"));
    assert.is(all.bytes - without.bytes, du("cache"));
    assert.is(all.files - without.files, 2);
    assert.ok(all.whole);
    const free = () => Number(kernel.filesystemStatus(disk.data).inodesFree);
    const before = free();
    prepare(kernel, disk.data, clone(1, 2), { slot: "b" });
    const overhead = 6;
    assert.ok(Math.abs(before - free() - all.files) <= overhead, `${before - free()} inodes for ${all.files} files`);
  } finally {
    disk.close();
  }
});

/** An ext4 of 64 MiB; `options` of mkfs. */
function smallDisk(...options: string[]) {
  const file = makeFilesystem("ext4", `${scratch}/small.disk`);
  program("mkfs.ext4", "-q", "-F", ...options, file);
  const disk = mountDisk("ext4", file);
  layOut(kernel, disk.data, "uuid");
  prepare(kernel, disk.data, create);
  mkdirSync(`${disk.place}/gens/000001/tree/var`);
  return disk;
}

const fillings: { name: string; options: string[]; fill: (store: string) => void }[] = [
  { name: "blocks", options: [], fill: (store) => writeFileSync(`${store}/file`, Buffer.alloc(20 * MiB, "x")) },
  {
    name: "inodes",
    options: ["-N", "320"],
    fill: (store) => {
      for (let file = 0; file < 110; file++) writeFileSync(`${store}/${file}`, "");
    },
  },
];

for (const { name, options, fill } of fillings) {
  test(`no ${name} left: what the work allows is deleted, one by one, and the clone is made`, () => {
    const disk = smallDisk(...options);
    try {
      fill(`${disk.place}/gens/000001/tree/var`);
      prepare(kernel, disk.data, clone(1, 2), { slot: "b" });
      writeFileSync(`${disk.place}/gens/000002/tree/small`, "");
      prepare(kernel, disk.data, clone(2, 3, ["var"]), { slot: "c" });
      const work = { ...NO_WORK, underPressure: [3, 2] };
      const { notes, number } = prepare(kernel, disk.data, clone(1, 4), { slot: "b", work });
      assert.is(number, 4);
      assert.equal(
        notes,
        [3, 2].map((gone) => `generation 00000${gone} was deleted, since a new one had no space`),
      );
      assert.equal(readdirSync(`${disk.place}/gens`).sort(), ["000001", "000004"]);
      assert.equal(look(disk.data, "gens/000004/tree/var"), look(disk.data, "gens/000001/tree/var"));
    } finally {
      disk.close();
    }
  });

  test(`no ${name} left, and nothing may go: the slot fails, and nothing is lost`, () => {
    const disk = smallDisk(...options);
    try {
      fill(`${disk.place}/gens/000001/tree/var`);
      prepare(kernel, disk.data, clone(1, 2), { slot: "b" });
      const before = JSON.stringify([look(disk.data, "gens"), look(disk.data, "slots")], plain);
      let error: unknown = null;
      try {
        prepare(kernel, disk.data, clone(1, 3), { slot: "b" });
      } catch (thrown) {
        error = thrown;
      }
      assert.ok(isFull(error), String(error));
      assert.is(JSON.stringify([look(disk.data, "gens"), look(disk.data, "slots")], plain), before);
      assert.equal(readdirSync(`${disk.place}/trash`), []);
      assert.is(
        prepare(kernel, disk.data, { do: "continue", generation: 1, why: "", reason: null }).number,
        1,
        "the other slot boots",
      );
    } finally {
      disk.close();
    }
  });
}

test("a full disk: stores are reset where they are, which gives the space back", () => {
  const disk = smallDisk();
  try {
    const tree = `${disk.place}/gens/000001/tree`;
    writeFileSync(`${tree}/var/file`, Buffer.alloc(40 * MiB, "x"));
    mkdirSync(`${tree}/.gone-var`);
    writeFileSync(`${tree}/keep`, "kept");
    resetInPlace(kernel, disk.data, 1, ["var", "missing"], nothing);
    assert.equal(readdirSync(tree), ["keep"]);
    const { available, blockSize } = kernel.filesystemStatus(disk.data);
    assert.ok(Number(available) * blockSize > 40 * MiB);
    resetInPlace(kernel, disk.data, 1, ["var"], nothing);
  } finally {
    disk.close();
  }
});

/** plantTree makes "tree" in an open directory. */
function plantInto(disk: { data: Descriptor; place: string }, directory: string, name: string): void {
  plantTree(disk.data);
  program("mv", "-T", `${disk.place}/tree`, `${directory}/${name}`);
}

/** Times of access and of directories differ where tests look and build. */
function plain(key: string, value: unknown): unknown {
  if (key === "accessed") return undefined;
  if (typeof value === "object" && value !== null && "kind" in value && value.kind === "directory")
    return { ...value, modified: 0 };
  return typeof value === "bigint" ? `${value}` : value;
}

test.after(cleanUp);
test.run();
