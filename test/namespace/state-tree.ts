/** A tree with one of everything. */
import { O } from "../../init/kernel/constants.ts";
import type { Descriptor, Path } from "../../init/kernel/kernel.ts";
import { procPath, withDescriptor, withDirectory } from "../../init/state/beneath.ts";
import { kernel } from "./state-machine.ts";

export const MiB = 1024n * 1024n;
const time = 1_700_000_000_123_456_789n;

export function plantFile(at: Descriptor, name: Path, bytes: Uint8Array, mode = 0o644, size?: bigint): void {
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
export function plantTree(top: Descriptor): void {
  kernel.makeDirectory("tree", 0o755, top);
  withDirectory(kernel, top, "tree", (tree) => {
    const set = (name: Path, key: string, value: Uint8Array) => kernel.setAttribute(procPath(tree, name), key, value);
    plantFile(tree, "plain", Buffer.from("hello"), 0o640);
    plantFile(tree, "empty", new Uint8Array(0), 0o600);
    plantFile(tree, "large", Buffer.alloc(9 * 1024 * 1024, "0123456789"), 0o644);
    plantFile(tree, "sparse", Buffer.alloc(65536, "x"), 0o644, 64n * MiB);
    plantFile(tree, "setuid", Buffer.from("#!/bin/true"), 0o4755);
    kernel.changeOwner("setuid", 33, 44, tree);
    withDescriptor(
      kernel,
      () => kernel.open("setuid", O.RDONLY, { at: tree }),
      (fd) => kernel.changeMode(fd, 0o6755),
    );
    plantFile(tree, "capable", Buffer.from("x"), 0o755);
    kernel.changeOwner("capable", 7, 8, tree);
    set("capable", "security.capability", capability);
    plantFile(tree, "acl", Buffer.from("x"), 0o750);
    set("acl", "system.posix_acl_access", userAcl);
    set("plain", "user.note", Buffer.from("kept"));
    set("empty", "user.\xff", Buffer.from("a name that is no valid UTF-8"));
    set("plain", "trusted.anything", Buffer.from([0, 255, 1]));
    plantFile(tree, "first name", Buffer.from("linked"), 0o644);
    kernel.makeSymlink("../somewhere/else", "symlink", tree);
    kernel.makeSymlink("/etc/passwd", "absolute", tree);
    kernel.changeOwner("symlink", 5, 6, tree);
    kernel.changeTimes("symlink", time + 5n, time + 6n, tree);
    plantFile(tree, new Uint8Array([0xff, 0xfe, 0x0a, 0x2f ^ 0x80]), Buffer.from("odd"), 0o644);
    plantFile(tree, "new\nline", Buffer.from("odd"), 0o644);
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
      plantFile(inner, "before", Buffer.from("1"), 0o604);
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
