import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import type { Descriptor, Path } from "../../init/kernel/kernel.ts";
import { procPath, withDescriptor, withDirectory } from "../../init/state/beneath.ts";
import { cloneTree } from "../../init/state/clone-tree.ts";
import {
  cleanUp,
  countingKernel,
  extents,
  filesystems,
  kernel,
  look,
  makeFilesystem,
  mountDisk,
  mountTmpfs,
  scratch,
  unmountAll,
} from "./state-machine.ts";

const MiB = 1024n * 1024n;
const time = 1_700_000_000_123_456_789n;

function file(at: Descriptor, name: Path, bytes: Uint8Array, mode = 0o644, size?: bigint): void {
  const open = () => kernel.open(name, O.RDWR | O.CREAT | O.EXCL, { at });
  withDescriptor(kernel, open, (fd) => {
    if (size !== undefined) kernel.truncate(fd, size);
    kernel.write(fd, bytes, size === undefined ? 0n : size / 2n);
    kernel.changeMode(fd, mode);
  });
}

/** A POSIX ACL as the kernel stores it: version 2, then tag, permissions, id, each little endian. linux/posix_acl_xattr.h */
function acl(...entries: [tag: number, permissions: number, id: number][]): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 + 8 * entries.length));
  view.setUint32(0, 2, true);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    view.setUint16(4 + 8 * index, tag, true);
    view.setUint16(6 + 8 * index, permissions, true);
    view.setUint32(8 + 8 * index, id, true);
  }
  return new Uint8Array(view.buffer);
}

const none = 0xffffffff;
const userAcl = acl([1, 7, none], [2, 5, 1234], [4, 5, none], [16, 5, none], [32, 0, none]);
/** VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective. linux/capability.h */
const capability = new Uint8Array([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/** One of everything that a store or an overlay's upper layer can hold. */
function plant(top: Descriptor): void {
  kernel.makeDirectory("tree", 0o755, top);
  withDirectory(kernel, top, "tree", (tree) => {
    const set = (name: Path, key: string, value: Uint8Array) => kernel.setAttribute(procPath(tree, name), key, value);
    file(tree, "plain", Buffer.from("hello"), 0o640);
    file(tree, "empty", new Uint8Array(0), 0o600);
    file(tree, "large", Buffer.alloc(9 * 1024 * 1024, "0123456789"), 0o644);
    file(tree, "sparse", Buffer.alloc(65536, "x"), 0o644, 64n * MiB);
    file(tree, "setuid", Buffer.from("#!/bin/true"), 0o4755);
    kernel.changeOwner("setuid", 33, 44, tree);
    withDescriptor(
      kernel,
      () => kernel.open("setuid", O.RDONLY, { at: tree }),
      (fd) => kernel.changeMode(fd, 0o6755),
    );
    file(tree, "capable", Buffer.from("x"), 0o755);
    kernel.changeOwner("capable", 7, 8, tree);
    set("capable", "security.capability", capability);
    file(tree, "acl", Buffer.from("x"), 0o750);
    set("acl", "system.posix_acl_access", userAcl);
    set("plain", "user.note", Buffer.from("kept"));
    set("plain", "trusted.anything", Buffer.from([0, 255, 1]));
    file(tree, "first name", Buffer.from("linked"), 0o644);
    kernel.makeSymlink("../somewhere/else", "symlink", tree);
    kernel.makeSymlink("/etc/passwd", "absolute", tree);
    kernel.changeOwner("symlink", 5, 6, tree);
    kernel.changeTimes("symlink", time + 5n, time + 6n, tree);
    file(tree, new Uint8Array([0xff, 0xfe, 0x0a, 0x2f ^ 0x80]), Buffer.from("odd"), 0o644);
    file(tree, "new\nline", Buffer.from("odd"), 0o644);
    kernel.makeNode("whiteout", "character", 0, { major: 0, minor: 0 }, tree);
    kernel.makeNode("null", "character", 0o666, { major: 1, minor: 3 }, tree);
    kernel.makeNode("large-minor", "block", 0o660, { major: 259, minor: 70000 }, tree);
    kernel.makeNode("fifo", "fifo", 0o622, { major: 0, minor: 0 }, tree);
    kernel.makeDirectory("opaque", 0o700, tree);
    set("opaque", "trusted.overlay.opaque", Buffer.from("y"));
    kernel.makeDirectory("inherits", 0o2775, tree);
    withDirectory(kernel, tree, "inherits", (inner) => {
      kernel.makeHardLink("../first name", "second name", inner);
      kernel.makeHardLink("../whiteout", "shared whiteout", inner);
      file(inner, "before", Buffer.from("1"), 0o604);
      kernel.changeMode(inner, 0o2775);
    });
    set("inherits", "system.posix_acl_default", userAcl);
    let level = "deep";
    for (let depth = 0; depth < 40; depth++, level = `${level}/deeper`) kernel.makeDirectory(level, 0o711, tree);
    for (const { name } of kernel.readDirectory(tree)) {
      kernel.changeTimes(name, time + BigInt(name.length), time - BigInt(name[0] ?? 0), tree);
    }
    kernel.changeTimes(".", time, time + 1n, tree);
  });
}

for (const type of filesystems) {
  test(`${type}: a clone keeps everything`, () => {
    const disk = mountDisk(type, makeFilesystem(type));
    try {
      plant(disk.data);
      const before = look(disk.data, "tree");
      const counting = countingKernel();
      const progress: [number, number][] = [];
      const result = cloneTree(
        counting.kernel,
        { at: disk.data, name: "tree" },
        { at: disk.data, name: "copy" },
        { onProgress: (bytes, files) => progress.push([bytes, files]), dropOptionalAttributes: false },
      );
      assert.is(counting.open.size, 0);
      assert.equal(look(disk.data, "copy"), before);
      assert.equal(look(disk.data, "tree"), before, "the source is not touched, access times included");
      assert.equal(extents(disk.data, "copy/sparse"), extents(disk.data, "tree/sparse"));
      assert.ok((extents(disk.data, "copy/sparse")[0]?.[0] ?? 0n) > 30n * MiB, "the hole is there");
      assert.is(result.files, Object.keys(before).length);
      assert.ok(result.bytes >= 9 * 1024 * 1024);
      assert.ok(progress.length >= (type === "ext4" ? 3 : 1), `progress was reported ${progress.length} times`);
    } finally {
      disk.close();
    }
  });
}

test("a clone into a tmpfs keeps what a tmpfs knows, and names what it left out", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  const place = `${scratch}/memory`;
  mountTmpfs(place);
  const memory = kernel.open(place, O.RDONLY | O.DIRECTORY);
  try {
    plant(disk.data);
    const options = { onProgress: () => {}, dropOptionalAttributes: true };
    const { lostAttributes } = cloneTree(kernel, { at: disk.data, name: "tree" }, { at: memory, name: "tree" }, options);
    const strip = (tree: Record<string, unknown>) =>
      JSON.stringify(tree, (key, value: unknown) => {
        if (lostAttributes.includes(key)) return undefined;
        return typeof value === "bigint" ? `${value}` : value;
      });
    assert.is(strip(look(memory, "tree")), strip(look(disk.data, "tree")));
    assert.ok(lostAttributes.every((name) => name.startsWith("user.")));
  } finally {
    kernel.close(memory);
    unmountAll(place);
    disk.close();
  }
});

test("sockets and an overlay's origin marks are left out, foreign overlay marks are refused", () => {
  const disk = mountDisk("ext4", makeFilesystem("ext4"));
  const clone = (name: string) =>
    cloneTree(
      kernel,
      { at: disk.data, name },
      { at: disk.data, name: `${name}-copy` },
      { onProgress: () => {}, dropOptionalAttributes: false },
    );
  try {
    kernel.makeDirectory("upper", 0o755, disk.data);
    kernel.makeNode("upper/socket", "socket", 0o666, { major: 0, minor: 0 }, disk.data);
    kernel.makeDirectory("upper/inner", 0o755, disk.data);
    kernel.setAttribute(`${disk.place}/upper/inner`, "trusted.overlay.origin", Buffer.from("x"));
    kernel.setAttribute(`${disk.place}/upper/inner`, "trusted.overlay.uuid", Buffer.from("x"));
    clone("upper");
    const copy = look(disk.data, "upper-copy");
    assert.equal(Object.keys(copy), [".", "./inner"]);
    assert.equal(kernel.listAttributes(`${disk.place}/upper-copy/inner`), []);
    kernel.setAttribute(`${disk.place}/upper/inner`, "trusted.overlay.redirect", Buffer.from("/x"));
    kernel.makeDirectory("outer", 0o755, disk.data);
    kernel.rename("upper", "outer/upper", { at: disk.data });
    assert.throws(() => clone("outer"), /\.\/upper\/inner: the attribute trusted\.overlay\.redirect/);
  } finally {
    disk.close();
  }
});

test.after(cleanUp);
test.run();
