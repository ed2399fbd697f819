/** Any tree is the same after it was cloned, on each filesystem, as a walker of its own sees it. SLIPWAY_SEED repeats a run's trees. */
import { chmodSync, closeSync, ftruncateSync, lchownSync, linkSync, mkdirSync, openSync, symlinkSync, writeSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { cloneTree } from "../../init/state/clone-tree.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { differenceOf, treeContent } from "../samples/tree-content.ts";
import { cleanUp, extents, filesystems, kernel, makeFilesystem, mountDisk, program } from "./state-machine.ts";

const long = process.env.SLIPWAY_TIER === "long";
const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}`);

const block = 4096;
const aclTag = { ownUser: 1, user: 2, ownGroup: 4, group: 8, mask: 16, others: 32 } as const;
const nobody = 0xffffffff;

/** A name on a disk is any bytes but these two. */
const name = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
  .filter((bytes) => ![".", ".."].includes(bytes.toString("latin1")));

/** Nanoseconds since the epoch, between 1970 and 2100. */
const time = fc.bigInt({ min: 0n, max: 4_102_444_800_000_000_000n });

const acl = fc.record({ user: fc.nat(70_000), group: fc.nat(70_000), bits: fc.array(fc.nat(7), { minLength: 6, maxLength: 6 }) });

const node = fc.record({
  name,
  parent: fc.nat(),
  kind: fc.constantFrom(
    "directory",
    "directory",
    "file",
    "file",
    "file",
    "symlink",
    "link",
    "link",
    "whiteout",
    "device",
    "fifo",
  ),
  mode: fc.nat(0o7777),
  owner: fc.nat(70_000),
  group: fc.nat(70_000),
  accessed: time,
  modified: time,
  /** Blocks that hold data, and how many bytes of each; between them are holes. */
  data: fc.array(fc.tuple(fc.nat(40), fc.integer({ min: 1, max: block })), { maxLength: 4 }),
  /** Bytes behind the last data that are a hole. */
  tail: fc.nat(20_000),
  other: fc.nat(),
  target: fc.uint8Array({ minLength: 1, maxLength: 80 }).map((bytes) => Buffer.from(bytes.map((byte) => byte || 0x62))),
  note: fc.option(fc.uint8Array({ maxLength: 60 })),
  trusted: fc.option(fc.uint8Array({ maxLength: 60 })),
  special: fc.boolean(),
  access: fc.option(acl),
  inherited: fc.option(acl),
});
type Node = typeof node extends fc.Arbitrary<infer Value> ? Value : never;

interface Planted {
  path: Buffer;
  kind: Node["kind"];
  node: Node;
}

const exists = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EEXIST";

/** Makes what the nodes say below the new directory `top`. A name that is taken is left out. */
function plant(top: Buffer, nodes: readonly Node[]): Planted[] {
  mkdirSync(top);
  const directories = [top];
  const others: Planted[] = [];
  const planted: Planted[] = [];
  for (const node of nodes) {
    const path = Buffer.concat([directories[node.parent % directories.length] ?? top, Buffer.from("/"), node.name]);
    const linked = others[node.other % Math.max(1, others.length)];
    if (node.kind === "link" && linked === undefined) continue;
    try {
      make(path, node, linked?.path ?? top);
    } catch (error) {
      if (!exists(error)) throw error;
      continue;
    }
    if (node.kind === "link") continue;
    planted.push({ path, kind: node.kind, node });
    if (node.kind === "directory") directories.push(path);
    else others.push({ path, kind: node.kind, node });
  }
  for (const { path, kind, node } of planted) describe(path, kind, node);
  // What is made in a directory changes its time: the innermost first.
  for (const { path, node } of planted.reverse()) kernel.changeTimes(path, node.accessed, node.modified);
  return planted;
}

function make(path: Buffer, node: Node, linked: Buffer): void {
  if (node.kind === "directory") mkdirSync(path);
  else if (node.kind === "symlink") symlinkSync(node.target, path);
  else if (node.kind === "link") linkSync(linked, path);
  else if (node.kind === "whiteout") kernel.makeNode(path, "character", 0, { major: 0, minor: 0 });
  else if (node.kind === "fifo") kernel.makeNode(path, "fifo", 0o600, { major: 0, minor: 0 });
  else if (node.kind === "device") {
    kernel.makeNode(path, "block", 0o600, { major: 1 + (node.other % 400), minor: node.other % 100_000 });
  } else makeFile(path, node);
}

function makeFile(path: Buffer, { data, tail }: Node): void {
  const fd = openSync(path, "wx");
  try {
    for (const [at, length] of data) writeSync(fd, Buffer.alloc(length, at + 1), 0, length, at * block);
    const end = Math.max(0, ...data.map(([at, length]) => at * block + length));
    ftruncateSync(fd, end + tail);
  } finally {
    closeSync(fd);
  }
}

function describe(path: Buffer, kind: Node["kind"], node: Node): void {
  lchownSync(path, node.owner, node.group);
  const isContent = kind === "file" || kind === "directory";
  // Setuid and setgid mean nothing on a node that is no program; a clone's change of owner clears them there.
  if (kind !== "symlink") chmodSync(path, isContent ? node.mode : node.mode & 0o1777);
  const set = (key: string, value: Uint8Array | null): void => {
    if (value !== null) kernel.setAttribute(path, key, value);
  };
  set("trusted.note", node.trusted);
  if (isContent) set("user.note", node.note);
  if (kind === "file" && node.special) set("security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex"));
  if (kind === "directory" && node.special) set("trusted.overlay.opaque", Buffer.from("y"));
  if (isContent && node.access !== null) set("system.posix_acl_access", aclBytes(node.access));
  if (kind === "directory" && node.inherited !== null) set("system.posix_acl_default", aclBytes(node.inherited));
}

/** linux/posix_acl_xattr.h: version 2, then tag, permissions and id of each entry. */
function aclBytes({ user, group, bits }: { user: number; group: number; bits: number[] }): Uint8Array {
  const entries: [tag: number, id: number][] = [
    [aclTag.ownUser, nobody],
    [aclTag.user, user],
    [aclTag.ownGroup, nobody],
    [aclTag.group, group],
    [aclTag.mask, nobody],
    [aclTag.others, nobody],
  ];
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, id]] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * index);
    bytes.writeUInt16LE(bits[index] ?? 0, 6 + 8 * index);
    bytes.writeUInt32LE(id, 8 + 8 * index);
  }
  return bytes;
}

/** How much of what was told of was met, over all trees of one filesystem. */
type Met = Record<string, number>;

function checkOne(type: DataFilesystem, place: string, nodes: readonly Node[], met: Met): void {
  const planted = plant(Buffer.from(`${place}/source`), nodes);
  const at = kernel.open(place, 0);
  try {
    kernel.syncFilesystem(at); // what is not written yet has no place, and xfs tells of more data than there is
    const before = treeContent(kernel, `${place}/source`, true);
    const options = { onProgress: () => {}, dropOptionalAttributes: false };
    const { files } = cloneTree(kernel, { at, name: "source" }, { at, name: "copy" }, options);
    const seen = treeContent(kernel, `${place}/copy`, true);
    assert.is(differenceOf(seen, before), null, `${type}: the clone is another tree: ${differenceOf(seen, before)}`);
    assert.is(differenceOf(treeContent(kernel, `${place}/source`, true), before), null, `${type}: the clone changed its source`);
    kernel.syncFilesystem(at);
    assert.is(files, Object.keys(before).length);
    for (const { path, kind } of planted) {
      met[kind] = (met[kind] ?? 0) + 1;
      if (kind !== "file") continue;
      const relative = path.subarray(place.length + "/source/".length);
      const [was = [], is = []] = ["source/", "copy/"].map((top) => extents(at, Buffer.concat([Buffer.from(top), relative])));
      // Zeros behind the data that xfs had laid out beforehand need not be laid out in the clone.
      const filled = is.filter(([start, end]) => !was.some(([first, last]) => start >= first && end <= last));
      assert.equal(filled, [], `${type}: holes were filled in ${relative.toString("hex")}`);
      if (was.length > 1) met.holes = (met.holes ?? 0) + 1;
    }
    for (const facts of Object.values(before)) {
      for (const what of ["is ", "security.capability", "posix_acl_access", "posix_acl_default", "overlay.opaque", "user.note"]) {
        if (facts.includes(what)) met[what] = (met[what] ?? 0) + 1;
      }
    }
    if (Object.keys(before).some((path) => path.includes("hex "))) met["odd names"] = (met["odd names"] ?? 0) + 1;
  } finally {
    kernel.close(at);
    program("rm", "-rf", `${place}/source`, `${place}/copy`);
  }
}

for (const type of filesystems) {
  test(`${type}: any tree is the same after it was cloned`, () => {
    const disk = mountDisk(type, makeFilesystem(type));
    const met: Met = {};
    try {
      const trees = fc.array(node, { minLength: 1, maxLength: 60, size: "max" });
      const property = fc.property(trees, (nodes) => checkOne(type, disk.place, nodes, met));
      fc.assert(property, { numRuns: long ? 500 : 25, seed, endOnFailure: !long, includeErrorInReport: true });
    } finally {
      disk.close();
    }
    for (const what of ["directory", "file", "symlink", "whiteout", "device", "fifo", "holes", "odd names", "is "]) {
      assert.ok((met[what] ?? 0) > 5, `the trees had too little of "${what}": ${JSON.stringify(met)}`);
    }
    for (const what of ["security.capability", "posix_acl_access", "posix_acl_default", "overlay.opaque", "user.note"]) {
      assert.ok((met[what] ?? 0) > 5, `the trees had too little of "${what}": ${JSON.stringify(met)}`);
    }
  });
}

test.after(cleanUp);
test.run();
