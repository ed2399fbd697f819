/** Bytes and trees that the machines of the golden boots are made of. */
import { createHash } from "node:crypto";
import { link, file as memoryFile, type Tree } from "../../init/kernel/recording/memory-tree.ts";
import { canonicalJsonWithDigest } from "../../state-ops/canonical-json.ts";
import type { ControlFile, Operator } from "../../state-ops/control.ts";
import { sampleControl } from "../samples/control-file.ts";
import { sampleOperator } from "../samples/operator.ts";

export const MiB = 1024 * 1024;

/** A UUID that is easy to tell apart: "0000000b-0000-…". */
function uuidBytes(tag: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes[3] = tag;
  bytes[15] = 1;
  return bytes;
}

/** An erofs superblock (fs/erofs/erofs_fs.h) and as much behind it as identifies an image. */
export function erofs(tag: number): Uint8Array {
  const bytes = new Uint8Array(64 * 1024);
  const view = new DataView(bytes.buffer);
  view.setUint32(1024, 0xe0f5e1e2, true);
  view.setUint8(1024 + 12, 12);
  view.setUint32(1024 + 36, 16, true);
  bytes.set(uuidBytes(tag), 1024 + 48);
  return bytes;
}

/** An ext4 superblock (Documentation/filesystems/ext4/super.rst). */
export function ext4(tag: number): Uint8Array {
  const bytes = new Uint8Array(4096);
  const view = new DataView(bytes.buffer);
  view.setUint32(1024 + 4, 4096, true);
  view.setUint32(1024 + 0x18, 2, true);
  view.setUint16(1024 + 0x38, 0xef53, true);
  view.setUint16(1024 + 0x3a, 1, true);
  view.setUint32(1024 + 0x5c, 0x04, true);
  view.setUint32(1024 + 0x60, 0x42, true);
  bytes.set(uuidBytes(tag), 1024 + 0x68);
  return bytes;
}

/** The same with another s_state: 1 valid, 2 errors, 4 orphans. */
export function ext4Errors(tag: number, state: number): Uint8Array {
  const bytes = ext4(tag);
  new DataView(bytes.buffer).setUint16(1024 + 0x3a, state, true);
  return bytes;
}

/** A program for this machine (elf(5)) that needs `interpreter`, where one is given. */
export function program(interpreter: string | null): Uint8Array {
  const bytes = new Uint8Array(512);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(18, process.arch === "arm64" ? 183 : 62, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, interpreter === null ? 0 : 1, true);
  if (interpreter === null) return bytes;
  const interp = 3;
  view.setUint32(64, interp, true);
  view.setBigUint64(64 + 8, 256n, true);
  view.setBigUint64(64 + 32, BigInt(interpreter.length + 1), true);
  bytes.set(new TextEncoder().encode(interpreter), 256);
  return bytes;
}

const plainOperator = sampleOperator("", { origin: "machine/state.yaml:1" });

/** One of each kind that the state's first part knows. */
export const operators: Operator[] = [
  { ...plainOperator, id: "etc", path: "/etc", via: "overlay" },
  {
    ...plainOperator,
    id: "etc-machine\\x2did",
    path: "/etc/machine-id",
    kind: "file",
    state: "identity",
    seed: "none",
    generate: "machine-id",
    mode: 0o444,
  },
  { ...plainOperator, id: "var-lib-app", path: "/var/lib/app", owner: 100, group: 100 },
  { ...plainOperator, id: "var-tmp", path: "/var/tmp", state: "ephemeral", via: "tmpfs", mode: 0o1777, size: 16 * MiB },
];

/** The text of a control file, and its values. */
export function controlFile(change: Partial<ControlFile> = {}): { text: string; control: ControlFile } {
  const control: ControlFile = { ...sampleControl({ operators, ...change }), digest: change.digest ?? "" };
  return { text: canonicalJsonWithDigest(control), control };
}

/** A system image: what its first bytes are, and what a mount shows. */
export interface Image {
  head: Uint8Array;
  tree: Tree;
  id: string;
}

export const KERNEL_RELEASE = "6.1.0-slipway";

/** An image whose files tell its number; `change` adds or replaces files. */
export function image(number: number, change: Tree = {}): Image {
  const head = erofs(number);
  const tree: Tree = {
    "usr/lib/systemd/systemd": memoryFile(program("/lib64/ld-linux-x86-64.so.2"), { mode: 0o755 }),
    "usr/lib64/ld-linux-x86-64.so.2": memoryFile(program(null), { mode: 0o755 }),
    "usr/sbin/init": link("../lib/systemd/systemd"),
    [`usr/lib/modules/${KERNEL_RELEASE}/modules.dep`]: "",
    "usr/lib/slipway/control.json": controlFile().text,
    sbin: link("usr/sbin"),
    lib: link("usr/lib"),
    lib64: link("usr/lib64"),
    "etc/machine-id": "",
    "etc/os-release": `VERSION_ID=${number}\n`,
    "var/lib/app/default": `from image ${number}\n`,
    "var/tmp": {},
    ...{ dev: {}, proc: {}, sys: {}, run: {} },
    ...change,
  };
  return { head, tree, id: createHash("sha256").update(head).digest("hex") };
}
