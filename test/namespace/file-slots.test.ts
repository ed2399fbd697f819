/** Slots that are files, on real data filesystems: made, attached, refused, and let go. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { attachLoop, loopOver } from "../../init/devices/loop.ts";
import { MNT, MS, O } from "../../init/kernel/constants.ts";
import { withOpen } from "../../init/kernel/files.ts";
import { type Kernel, KernelError } from "../../init/kernel/kernel.ts";
import { withDescriptor } from "../../init/state/beneath.ts";
import { detachDataFilesystem } from "../../init/state/data-filesystem.ts";
import { makeSlotFile } from "../../init/state/make-slot-file.ts";
import { mountSlotFiles, NoSlotFile, openSlotFile, openSlotFiles } from "../../init/state/slot-files.ts";
import { readImageId } from "../../init/store/image-id.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import {
  attach,
  cleanUp,
  countingKernel,
  detach,
  filesystems,
  kernel,
  makeFilesystem,
  mountDisk,
  program,
  scratch,
} from "./state-machine.ts";

test.after(cleanUp);

const MiB = 1024 * 1024;
const slot = { name: "c", file: "images/c.img", size: 8 * MiB };
const image = `${scratch}/image.erofs`;
const tree = `${scratch}/tree`;

test.before(() => {
  mkdirSync(tree);
  for (let number = 0; number < 60; number++) writeFileSync(`${tree}/file-${number}`, Buffer.alloc(40_000, number + 1));
  program("mkfs.erofs", "-zlz4", image, tree);
});

/** Puts the image at the start of the slot's file, as an install does. */
function install(place: string): void {
  program("dd", `if=${image}`, `of=${place}/${slot.file}`, "bs=1M", "conv=notrunc,fsync");
}

function open(data: number, flags: number = O.RDONLY): number {
  return withDescriptor(
    kernel,
    () => openSlotFiles(kernel, data, slot.file),
    (files) => openSlotFile(kernel, files, slot.file, flags),
  );
}

type Kind = abstract new (...args: never[]) => Error;

function refuses(run: () => unknown, kind: Kind, words: RegExp): void {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof kind, String(error));
    assert.match(error instanceof Error ? error.message : "", words);
    return;
  }
  assert.unreachable(`nothing said ${words}`);
}

for (const type of filesystems) {
  test(`${type}: a file is made with all of its size allocated, and reads as an empty slot`, () => {
    const { data, place, close } = mountDisk(type, makeFilesystem(type));
    const { kernel: counting, open: held } = countingKernel();
    const fd = makeSlotFile(counting, data, slot);
    const { size, allocated, mode, owner } = kernel.status(fd);
    assert.equal([size, mode, owner], [BigInt(slot.size), 0o600, 0]);
    assert.ok(allocated >= BigInt(slot.size), `${allocated} bytes are allocated`);
    assert.is(kernel.statusAt("images", data).mode, 0o700);
    if (type === "btrfs") assert.match(program("lsattr", `${place}/images/c.img`), /^[^ ]*C[^ ]* /, "NOCOW");
    counting.close(fd);
    assert.equal([...held], []);
    assert.is(readImageId(kernel, `${place}/${slot.file}`), null);

    install(place);
    const again = makeSlotFile(kernel, data, slot);
    kernel.close(again);
    assert.ok(readImageId(kernel, `${place}/${slot.file}`) !== null, "what is there stays");
    close();
  });

  test(`${type}: a sparse file is filled, a short one grows, and a long one stays long`, () => {
    const { data, place, close } = mountDisk(type, makeFilesystem(type));
    mkdirSync(`${place}/images`);
    for (const [name, made, expected] of [
      ["sparse", 8 * MiB, 8 * MiB],
      ["short", 3 * MiB, 8 * MiB],
      ["empty", 0, 8 * MiB],
      ["long", 12 * MiB, 12 * MiB],
    ] as const) {
      program("truncate", "-s", String(made), `${place}/images/${name}`);
      const fd = makeSlotFile(kernel, data, { ...slot, file: `images/${name}` });
      const { size, allocated } = kernel.status(fd);
      kernel.close(fd);
      assert.is(size, BigInt(expected), name);
      assert.ok(allocated >= BigInt(slot.size), `${name}: ${allocated}`);
    }
    close();
  });

  test(`${type}: no room is a refusal before anything is there, and what was there stays`, () => {
    const { data, place, close } = mountDisk(type, makeFilesystem(type));
    const large = { ...slot, size: 1024 * MiB };
    refuses(
      () => makeSlotFile(kernel, data, large),
      Refusal,
      /images\/c\.img takes 1\.0 GiB, .* not allocated yet, and the data/,
    );
    assert.equal(program("ls", "-A", `${place}/images`), "");
    kernel.close(makeSlotFile(kernel, data, slot));
    install(place);
    const before = readFileSync(`${place}/${slot.file}`);
    refuses(() => makeSlotFile(kernel, data, large), Refusal, /of which 10\d\d MiB are not allocated yet/);
    assert.ok(before.equals(readFileSync(`${place}/${slot.file}`)));
    // What statfs promises and the filesystem has not: another writer, metadata, quota.
    const full = guarded("allocate", "ENOSPC");
    refuses(
      () => makeSlotFile(full, data, { ...slot, file: "images/d.img" }),
      Refusal,
      /which the data filesystem has not \(ENOSPC\)/,
    );
    assert.equal(program("ls", "-A", `${place}/images`), "c.img");
    close();
  });

  test(`${type}: a filesystem that cannot allocate gets a file with holes`, () => {
    const { data, close } = mountDisk(type, makeFilesystem(type));
    const fd = makeSlotFile(guarded("allocate", "EOPNOTSUPP"), data, slot);
    const { size, allocated } = kernel.status(fd);
    kernel.close(fd);
    assert.is(size, BigInt(slot.size));
    assert.ok(allocated < BigInt(MiB));
    close();
  });

  test(`${type}: the file is a device that reads as the file, cannot be written, and is free when nothing uses it`, () => {
    const { data, place, close } = mountDisk(type, makeFilesystem(type));
    kernel.close(makeSlotFile(kernel, data, slot));
    install(place);
    const fd = open(data);
    assert.is(loopOver(kernel, fd), null);
    const { path, held } = attachLoop(kernel, fd, slot.file);
    kernel.close(fd);
    assert.ok(readFileSync(path).equals(readFileSync(`${place}/${slot.file}`)));
    assert.is(loopOver(kernel, open(data)), path, "by the file itself");
    assert.equal(program("losetup", "-n", "-l", "-O", "RO,AUTOCLEAR", path).split(/\s+/), ["1", "1"]);
    assert.throws(() => withOpen(kernel, path, O.RDWR, (fd) => kernel.write(fd, new Uint8Array(4096), 0n)), /EPERM|EACCES|EIO/);
    const root = `${scratch}/root-${type}`;
    mkdirSync(root);
    kernel.mount(path, root, "erofs", MS.RDONLY, "");
    kernel.close(held);
    assert.is(readFileSync(`${root}/file-7`).length, 40_000);
    kernel.unmount(root, 0);
    assert.is(loopOver(kernel, open(data)), null);
    closeOpened();
    close();
  });

  test(`${type}: a root on a file survives the filesystem's own mount, and leaves a filesystem that can be made read-only`, () => {
    const disk = makeFilesystem(type);
    const device = attach(disk);
    const own = `${scratch}/own-${type}`;
    mkdirSync(own);
    kernel.mount(device, own, type, MS.NOSUID | MS.NODEV | MS.NOATIME, "");
    const data = kernel.open(own, O.RDONLY | O.DIRECTORY);
    kernel.close(makeSlotFile(kernel, data, slot));
    install(own);
    mkdirSync(`${own}/state`);
    const [kept, root, state] = ["kept", "fileroot", "state"].map((name) => `${scratch}/${name}-${type}`);
    if (kept === undefined || root === undefined || state === undefined) throw new Error("three places");
    for (const place of [root, state]) mkdirSync(place);
    const files = mountSlotFiles(kernel, data, kept, slot.file);
    const fd = openSlotFile(kernel, files, slot.file, O.RDONLY);
    const { path, held } = attachLoop(kernel, fd, slot.file);
    kernel.mount(path, root, "erofs", MS.RDONLY, "");
    for (const done of [held, fd, files, data]) kernel.close(done);
    kernel.mount(`${own}/state`, state, "", MS.BIND, "");
    detachDataFilesystem(kernel, own);

    writeFileSync(`${state}/written`, "late");
    assert.is(readFileSync(`${root}/file-3`).length, 40_000);
    assert.is(spawnSync("umount", [kept]).status === 0, false, "the root pins it");
    // As at the end of a shutdown: the state is unmounted, and what cannot be is made read-only.
    kernel.unmount(state, 0);
    program("mount", "-o", "remount,ro", kept);
    assertClean(type, device);
    assert.is(readFileSync(`${root}/file-5`).length, 40_000, "the root is there to the end");
    kernel.unmount(root, MNT.DETACH);
    detachDataFilesystem(kernel, kept);
    detach(device);
  });

  const hostile: [what: string, make: string, words: RegExp, kind?: Kind][] = [
    ["nothing", "true", /is not on the data filesystem: the slot is empty/, NoSlotFile],
    ["no directory", "rmdir images", /is not on the data filesystem: the slot is empty/, NoSlotFile],
    ["a link to another file", "echo x >secret; ln -s ../secret images/c.img", /\(ELOOP\): a link is in its place/],
    ["a link to a device", "ln -s /dev/sda images/c.img", /\(ELOOP\): a link is in its place/],
    ["a link in the directory's place", "rmdir images; mkdir other; ln -s other images", /\((ELOOP|ENOTDIR)\)/],
    ["a file in the directory's place", "rmdir images; echo x >images", /\(ENOTDIR\): images is no directory/],
    ["a fifo", "mkfifo images/c.img", /is a fifo, no file/],
    ["a directory", "mkdir images/c.img", /is a directory, no file/],
    ["a device", "mknod images/c.img b 7 0", /\(EACCES\): a device is in its place/],
    ["a terminal", "mknod images/c.img c 5 0", /\(EACCES\): a device is in its place/],
    ["an empty file", "true >images/c.img", /has only 0 bytes: the slot is empty/, NoSlotFile],
    ["a short file", "head -c 70000 /dev/zero >images/c.img", /has only 70000 bytes: the slot is empty/, NoSlotFile],
  ];
  test(`${type}: what is no file is never opened as one, nor written to`, () => {
    for (const [what, make, words, kind = Error] of hostile) {
      const { data, place, close } = mountDisk(type, makeFilesystem(type));
      program("sh", "-ec", `cd ${place}; mkdir images; ${make}`);
      const { kernel: counting, open: held } = countingKernel();
      const kept = `${scratch}/hostile`;
      refuses(() => mountSlotFiles(counting, data, kept, slot.file), kind, words);
      assert.is(spawnSync("test", ["-e", kept]).status, 1, `${what}: nothing is mounted`);
      if (kind !== NoSlotFile) {
        assert.throws(() => makeSlotFile(counting, data, slot), undefined, what);
        if (what.startsWith("a link to another")) assert.is(readFileSync(`${place}/secret`, "utf8"), "x\n");
      }
      assert.equal([...held], [], `${what}: nothing stays open`);
      close();
    }
  });
}

test("a mount over the file is not crossed", () => {
  const { data, place, close } = mountDisk("ext4", makeFilesystem("ext4"));
  kernel.close(makeSlotFile(kernel, data, slot));
  kernel.mount(image, `${place}/${slot.file}`, "", MS.BIND, "");
  refuses(() => open(data), Error, /\(EXDEV\): something is mounted over it/);
  kernel.unmount(`${place}/${slot.file}`, 0);
  close();
});

test("a read-only data filesystem: the file can be read, and not made", () => {
  const disk = makeFilesystem("ext4");
  const first = mountDisk("ext4", disk);
  kernel.close(makeSlotFile(kernel, first.data, slot));
  program("mount", "-o", "remount,ro", first.place);
  kernel.close(open(first.data));
  refuses(() => makeSlotFile(kernel, first.data, slot), Refusal, /\(EROFS\): it became read-only after an error/);
  refuses(() => makeSlotFile(kernel, first.data, { ...slot, file: "images/d.img" }), Refusal, /\(EROFS\)/);
  first.close();
});

/** The kernel, one of whose calls always fails. */
function guarded(method: "allocate", code: string): Kernel {
  return new Proxy(kernel, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name);
      if (typeof found !== "function") return found;
      return (...args: unknown[]): unknown => {
        if (name === method) throw new KernelError("fallocate", "file", code);
        return Reflect.apply(found, target, args);
      };
    },
  });
}

/** Descriptors that a test opened beneath the scratch directory. */
function closeOpened(): void {
  for (let fd = 3; fd < 200; fd++) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`).includes("/images/c.img")) kernel.close(fd);
    } catch {
      // Not open.
    }
  }
}

/** Whether the filesystem would have anything to replay, as its own tool sees it. */
function assertClean(type: DataFilesystem, device: string): void {
  if (type === "ext4") assert.not.match(program("dumpe2fs", "-h", device), /needs_recovery/);
  if (type === "xfs") assert.match(program("xfs_logprint", "-t", device), /<CLEAN>/);
  if (type === "btrfs") assert.match(program("btrfs", "inspect-internal", "dump-super", device), /^log_root\s+0$/m);
}

test.run();
