/** Data partitions that are spoiled in every way, looked at by the boot's own code with the real checkers. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { DATA_PLACE, openDataIfPossible, withRepair } from "../../init/sequence/data.ts";
import { detachDataFilesystem, layOut, mountDataFilesystem, readGenerations } from "../../init/state/data-filesystem.ts";
import { prepareGeneration } from "../../init/state/generations.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { CHECKERS } from "../../state-ops/data-check.ts";
import { plainOrder } from "../samples/generation-order.ts";
import { bootKernel, kmsg, launchWith } from "./boot-kernel.ts";
import { attach, cleanUp, detach, filesystems, kernel, makeFilesystem, mountTmpfs, program, scratch } from "./state-machine.ts";

const imageId = "a".repeat(64);
const digest = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

// PID 1's places below /run, for this process alone.
mountTmpfs("/run");

/** As {@link bootKernel}, on a machine without checkers of filesystems. */
function kernelWithoutCheckers(): Kernel {
  return new Proxy(bootKernel(), {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        const [path] = args;
        if (name === "statusAt" && typeof path === "string" && path.startsWith("/usr/")) {
          throw new KernelError("statx", path, "ENOENT");
        }
        return Reflect.apply(method, target, args);
      };
    },
  });
}

/** A data filesystem with a generation and files in it. */
function goodDisk(type: DataFilesystem): string {
  const file = makeFilesystem(type, `${scratch}/good-${type}.disk`);
  const device = attach(file);
  const place = `${scratch}/fill-${type}`;
  const data = mountDataFilesystem(kernel, device, type, place);
  layOut(kernel, data, uuidOf(file));
  const plan = { do: "create", to: 1, why: "", reason: null } as const;
  prepareGeneration(kernel, data, { plan, slot: "a", imageId, controlDigest: "sha256:0", attempt: 1, ...plainOrder }, () => {});
  mkdirSync(`${place}/gens/000001/tree/x`);
  for (let number = 0; number < 200; number++) writeFileSync(`${place}/gens/000001/tree/x/file-${number}`, `${number}`);
  kernel.close(data);
  kernel.unmount(place, 0);
  detach(device);
  return file;
}

const uuidOf = (file: string) => program("blkid", "-p", "-s", "UUID", "-o", "value", file);
const good = new Map(filesystems.map((type) => [type, goodDisk(type)]));
let copies = 0;

function copyOf(type: DataFilesystem): string {
  const file = `${scratch}/disk-${copies++}`;
  copyFileSync(good.get(type) ?? "", file);
  return file;
}

interface Opened {
  missing: string | null;
  notes: string[];
  warnings: string[];
  log: string;
  /** Names of generations that were read; null where the data filesystem could not be used. */
  generations: number[] | null;
}

interface Circumstances {
  declared?: DataFilesystem;
  known?: string | null;
  checkers?: boolean;
  readOnly?: boolean;
  words?: string;
  whenReplaced?: "refuse" | "adopt";
}

/** What the boot makes of the data partition in `file`. Nothing of it stays mounted. */
async function open(type: DataFilesystem, file: string, circumstances: Circumstances = {}): Promise<Opened> {
  const { declared = type, known = uuidOf(good.get(type) ?? ""), checkers = true, words = "" } = circumstances;
  writeFileSync(kmsg, "");
  const data = {
    device: "/dev/none",
    filesystem: declared,
    whenReplaced: circumstances.whenReplaced ?? "refuse",
    grow: false,
    create: false,
  };
  const launch = launchWith({ data }, checkers ? bootKernel() : kernelWithoutCheckers(), words);
  const device = circumstances.readOnly ? program("losetup", "--find", "--show", "--read-only", file) : attach(file);
  try {
    const readOnly = circumstances.readOnly ?? false;
    const opened = await openDataIfPossible(launch, {
      ...{ knownData: known, opened: null, checked: null },
      findDevice: async () => ({ path: device, readOnly, sizeBytes: BigInt(statSync(file).size) }),
    });
    const told = (missing: string | null, generations: number[] | null): Opened => ({
      ...{ missing, generations, notes: launch.stateNotes, warnings: launch.warnings },
      log: readFileSync(kmsg, "utf8"),
    });
    if (opened.data === null) return told(opened.missing, null);
    try {
      const { data, result } = await withRepair(launch, opened.data, ({ root }) =>
        readGenerations(launch.kernel, root, ["a", "b"]),
      );
      launch.kernel.close(data.root);
      detachDataFilesystem(launch.kernel, DATA_PLACE);
      return told(
        null,
        result.generations.filter(({ complete }) => complete).map(({ number }) => number),
      );
    } catch (error) {
      return told(error instanceof Error ? error.message : String(error), null);
    }
  } finally {
    assert.not.match(readFileSync("/proc/self/mountinfo", "utf8"), DATA_PLACE, "nothing stays mounted");
    detach(device);
  }
}

const debugfs = (file: string, command: string) => program("debugfs", "-w", "-R", command, file);

/** Overwrites a block of a file with what `spoil` makes of it. `of` as debugfs names it: "<8>", "/gens". */
function spoilBlock(file: string, of: string, spoil: (block: Buffer) => void): void {
  const size = Number(/^Block size:\s+(\d+)/m.exec(program("dumpe2fs", "-h", file))?.[1]);
  const block = Number(program("debugfs", "-R", `blocks ${of}`, file).split(" ")[0]);
  const bytes = readFileSync(file);
  spoil(bytes.subarray(block * size, (block + 1) * size));
  writeFileSync(file, bytes);
}

for (const type of filesystems) {
  test(`${type}: a good one is used, and nothing is told`, async () => {
    const { missing, notes, warnings, generations } = await open(type, copyOf(type));
    assert.equal([missing, notes, warnings, generations], [null, [], [], [1]]);
  });

  test(`${type}: write-protected`, async () => {
    const file = copyOf(type);
    const before = digest(file);
    const { missing } = await open(type, file, { readOnly: true });
    assert.match(missing ?? "", /^\/dev\/loop\d+ is write-protected, and state cannot be kept on it; unlock the disk/);
    assert.is(digest(file), before);
  });

  test(`${type}: without its superblock, and known to the boot record: nothing is made anew, nothing is written`, async () => {
    const file = copyOf(type);
    const bytes = readFileSync(file);
    bytes.fill(0, 0, 128 * 1024);
    writeFileSync(file, bytes);
    const before = digest(file);
    const known = uuidOf(good.get(type) ?? "");
    const { missing, generations } = await open(type, file);
    assert.match(
      missing ?? "",
      `has no known filesystem, the control file says ${type}, and the boot record knows state on ${known}`,
    );
    assert.match(missing ?? "", type === "xfs" ? `mkfs.xfs -m uuid=${known}` : `mkfs.${type} -U ${known}`);
    assert.is(generations, null);
    const first = await open(type, file, { known: null });
    assert.match(
      first.missing ?? "",
      new RegExp(`has no known filesystem, the control file says ${type}; make it with mkfs\\.${type}$`),
    );
    assert.is(digest(file), before);
  });
}

test("another type than declared", async () => {
  const { missing } = await open("xfs", copyOf("xfs"), { declared: "ext4", known: null });
  assert.match(missing ?? "", /has xfs filesystem, the control file says ext4; make it with mkfs\.ext4$/);
});

test("another device's is refused with both UUIDs, adopted by the command line or the control file, and said", async () => {
  const known = "11111111-2222-3333-4444-555555555555";
  const uuid = uuidOf(good.get("ext4") ?? "");
  const file = copyOf("ext4");
  const before = digest(file);
  const refused = await open("ext4", file, { known });
  assert.match(
    refused.missing ?? "",
    `has the data filesystem ${uuid}, the boot record knows ${known}: another disk, or made anew`,
  );
  assert.match(refused.missing ?? "", "slipway.data=adopt on the kernel command line, or when-replaced: adopt in system.yaml");
  assert.is(digest(file), before);
  for (const circumstances of [{ words: "quiet slipway.data=adopt" }, { whenReplaced: "adopt" as const }]) {
    const { missing, notes, generations } = await open("ext4", file, { known, ...circumstances });
    assert.equal([missing, generations], [null, [1]]);
    assert.match(notes.join(), `another data filesystem is adopted: `);
    assert.match(notes.join(), `has the data filesystem ${uuid}, the boot record knows ${known}`);
  }
});

const repairable: Record<string, (file: string) => void> = {
  "errors in the superblock": (file) => debugfs(file, "ssv state 3"),
  "a superblock that was never checked": (file) => debugfs(file, "ssv state 0"),
  "a checksum of the block groups": (file) => debugfs(file, "set_bg 0 checksum 0x1234"),
  "the journal's superblock": (file) => spoilBlock(file, "<8>", (block) => block.fill(0)),
  "the journal's inode": (file) => debugfs(file, "clri <8>"),
  "a directory's checksum, which shows in use": (file) =>
    spoilBlock(file, "/gens", (block) => block.fill(0x5a, block.length - 4)),
};

for (const [name, spoil] of Object.entries(repairable)) {
  test(`ext4, e2fsck repairs it: ${name}`, async () => {
    const file = copyOf("ext4");
    spoil(file);
    const { missing, notes, generations, log } = await open("ext4", file);
    assert.is(missing, null);
    assert.equal(generations, [1], "the state is there again");
    assert.is(notes.length, 1);
    assert.match(notes[0] ?? "", /(was repaired|tells of errors).*; e2fsck: (it put right what it found|no errors are left)$/);
    assert.match(log, /slipway: e2fsck looks at \/dev\/loop/);
    assert.match(log, /slipway: e2fsck: \/dev\/loop\d+: \d+\/\d+ files/);
    const again = await open("ext4", file);
    assert.equal([again.missing, again.notes, again.generations], [null, [], [1]], "and stays there");
  });
}

test("ext4: errors in the superblock and no checker: mounted, and said which --extra is wanted", async () => {
  const file = copyOf("ext4");
  debugfs(file, "ssv state 3");
  const { missing, notes, generations } = await open("ext4", file, { checkers: false });
  assert.equal([missing, generations], [null, [1]]);
  assert.match(
    notes.join(),
    /its superblock tells of errors; the initrd has no e2fsck .*--extra \/usr\/sbin\/e2fsck=\/usr\/sbin\/e2fsck$/,
  );
});

const beyond: Record<string, (file: string) => void> = {
  "the root directory's inode": (file) => debugfs(file, "clri <2>"),
  "a directory's block": (file) => spoilBlock(file, "/gens", (block) => block.fill(0xa5)),
  "the inode of gens/": (file) => debugfs(file, "clri /gens"),
};

for (const [name, spoil] of Object.entries(beyond)) {
  test(`ext4, beyond what e2fsck repairs unattended: ${name}`, async () => {
    const file = copyOf("ext4");
    spoil(file);
    for (let boot = 1; boot <= 2; boot++) {
      const { missing, generations, log } = await open("ext4", file);
      assert.is(generations, null, `boot ${boot}: state is not begun anew where the old one is damaged`);
      assert.match(missing ?? "", /e2fsck: errors are left that it does not repair unattended \(exit 4\)/);
      assert.match(log, /UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY/);
    }
  });
}

test("ext4: damage and no checker: the reason says which --extra is wanted", async () => {
  const file = copyOf("ext4");
  debugfs(file, "clri <8>");
  const { missing } = await open("ext4", file, { checkers: false });
  assert.match(
    missing ?? "",
    /^\/dev\/loop\d+ cannot be mounted \(EUCLEAN\): it is damaged; the initrd has no e2fsck to repair it: .*--extra/,
  );
});

test("xfs: the mount replays the log, xfs_repair repairs what keeps it from being mounted", async () => {
  const file = copyOf("xfs");
  const bytes = readFileSync(file);
  bytes.fill(0xa5, 512, 1024); // the free space's header (AGF)
  writeFileSync(file, bytes);
  const { missing, notes, generations, log } = await open("xfs", file);
  assert.equal([missing, generations], [null, [1]]);
  assert.match(notes.join(), /xfs_repair: it put right what it found$/);
  assert.match(log, /slipway: xfs_repair: Phase 7/);
});

/** A copy of a filesystem as a power cut leaves it, whose log must be replayed. */
function dirtyXfs(): string {
  const file = copyOf("xfs");
  const dirty = `${file}-dirty`;
  const device = attach(file);
  const place = `${scratch}/dirty`;
  const root = mountDataFilesystem(kernel, device, "xfs", place);
  for (let number = 0; number < 50; number++) mkdirSync(`${place}/gens/000001/tree/x/late-${number}`);
  kernel.syncFilesystem(root);
  copyFileSync(file, dirty);
  kernel.close(root);
  kernel.unmount(place, 0);
  detach(device);
  assert.match(program("xfs_logprint", "-t", dirty), /state: <DIRTY>/);
  return dirty;
}

test("xfs: a log that waits is replayed by the mount; where that fails xfs_repair drops nothing", async () => {
  const dirty = dirtyXfs();
  const damaged = `${dirty}-damaged`;
  copyFileSync(dirty, damaged);
  const replayed = await open("xfs", dirty);
  assert.equal([replayed.missing, replayed.notes, replayed.generations], [null, [], [1]]);
  const bytes = readFileSync(damaged);
  bytes.fill(0xa5, 108, 112); // the label, so that the superblock's checksum is wrong; the AGF would come back with the log
  writeFileSync(damaged, bytes);
  const { missing } = await open("xfs", damaged);
  assert.match(
    missing ?? "",
    /xfs_repair: the log cannot be replayed, and dropping it \(xfs_repair -L\) is left to somebody \(exit 2\)/,
  );
});

test("btrfs: its check only looks, and that is said", async () => {
  const file = copyOf("btrfs");
  const root = /^root\s+(\d+)/m.exec(program("btrfs", "inspect-internal", "dump-super", file))?.[1] ?? "";
  const bytes = readFileSync(file);
  for (const [, physical] of program("btrfs-map-logical", "-l", root, file).matchAll(/physical (\d+)/g)) {
    bytes.fill(0xa5, Number(physical) + 200, Number(physical) + 4096);
  }
  writeFileSync(file, bytes);
  const before = digest(file);
  const { missing } = await open("btrfs", file);
  assert.match(
    missing ?? "",
    /^\/dev\/loop\d+ cannot be mounted \(EIO\): the disk fails, or its journal is damaged; btrfs: check --readonly found errors, and repairs nothing \(exit 1\)$/,
  );
  assert.is(digest(file), before, "not a byte was written");
});

test("a full ext4 whose state is there is used as it is", async () => {
  const file = copyOf("ext4");
  const device = attach(file);
  const place = `${scratch}/full`;
  const root = mountDataFilesystem(kernel, device, "ext4", place);
  spawnSync("dd", ["if=/dev/zero", `of=${place}/fill`, "bs=64k"]);
  assert.is(kernel.filesystemStatus(root).available, 0n);
  kernel.close(root);
  kernel.unmount(place, 0);
  detach(device);
  const { missing, notes, generations } = await open("ext4", file);
  assert.equal([missing, notes, generations], [null, [], [1]]);
});

test("something else in the place of a directory is no damage", async () => {
  const file = copyOf("ext4");
  debugfs(file, "sif /gens mode 0100644");
  const before = digest(file);
  const { missing, log } = await open("ext4", file, { known: uuidOf(file) });
  assert.match(
    missing ?? "",
    /^\/dev\/loop\d+: openat2 gens: ENOTDIR: something else is in the place of a directory; move it away$/,
  );
  assert.not.match(log, "e2fsck");
  assert.is.not(digest(file), before, "it was mounted for writing");
});

test("an ext4 without room for the layout says that it is full", async () => {
  const file = makeFilesystem("ext4", `${scratch}/full.disk`);
  program("mkfs.ext4", "-q", "-F", "-N", "16", file);
  const device = attach(file);
  const place = `${scratch}/full`;
  kernel.close(mountDataFilesystem(kernel, device, "ext4", place));
  const { status } = spawnSync("sh", ["-c", 'cd "$1" && for n in $(seq 9999); do true >"$n" || exit 7; done', "sh", place]);
  assert.is(status, 7, "it has no inode left");
  kernel.unmount(place, 0);
  detach(device);
  const { missing } = await open("ext4", file, { known: uuidOf(file) });
  assert.match(missing ?? "", /ENOSPC: it is full; delete what is not needed there, or make it larger/);
});

test("every checker that is declared is where the tests look for it", () => {
  for (const { programs } of Object.values(CHECKERS)) {
    assert.ok(
      programs.some((path) => spawnSync("test", ["-x", path]).status === 0),
      programs.join(),
    );
  }
});

test.after(cleanUp);
test.run();
