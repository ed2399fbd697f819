/** An image of more than 4 GiB, most of it zeros: nothing is cut at 32 bits, and memory stays what it is for a small one. */
import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeEnvelope, PAYLOAD_TYPE } from "../../boot/image/envelope.ts";
import { encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { encodeManifest, imageSizeOf, layoutOf, type Manifest, superblockOf } from "../../boot/image/seal.ts";
import { TreeBuilder } from "../../boot/image/tree-build.ts";
import { BLOCK, saltOf } from "../../boot/image/verity.ts";

const project = join(import.meta.dirname, "../..");
mkdirSync(join(project, ".cache"), { recursive: true });
// Not on a tmpfs: older kernels have no O_DIRECT there.
const directory = mkdtempSync(join(project, ".cache/large-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));

const MiB = 1024 * 1024;
const PIECE = 256;
/** What the whole process may take. */
const MEMORY = 128 * MiB;
/** One block more than a window, so that there are two; the second holds its only data behind 4 GiB. */
const BLOCKS = 2 ** 20 + 300;

/** Writes a sealed image whose pieces of 1 MiB are those that `isFull` says, numbered by `tag`; the others are holes. */
function writeImage(path: string, tag: number, isFull: (piece: number) => boolean): Manifest {
  const fd = openSync(path, "w");
  const sizes = { filesystemSize: BLOCKS * BLOCK };
  const { treeOffset, hashOffset, sealOffset } = layoutOf(sizes);
  const salt = saltOf("acme").toHex();
  const tree = new TreeBuilder(salt, BLOCKS, (block, bytes) => void writeSync(fd, bytes, 0, BLOCK, treeOffset + block * BLOCK));
  const zeros = new Uint8Array(PIECE * BLOCK);
  for (let first = 0; first < BLOCKS; first += PIECE) {
    const count = Math.min(PIECE, BLOCKS - first);
    if (!isFull(first / PIECE)) {
      tree.add(zeros.subarray(0, count * BLOCK));
      continue;
    }
    const piece = new Uint8Array(count * BLOCK);
    for (let block = 0; block < count; block++) new DataView(piece.buffer).setUint32(block * BLOCK + 100, first + block + tag);
    writeSync(fd, piece, 0, piece.length, first * BLOCK);
    tree.add(piece);
  }
  const manifest: Manifest = {
    ...{ schema: 1, system: "acme", version: `${tag}`, filesystem: "erofs", ...sizes, rootHash: tree.rootHash(), salt },
    ...{ rollbackIndex: 0, revokesBelow: null, needs: { controlFormat: 1, features: [] }, kernelSignature: null },
  };
  const payload = encodeManifest(manifest);
  const seal = encodeEnvelope({ payloadType: PAYLOAD_TYPE.seal, payload, signatures: [] });
  writeSync(fd, superblockOf(manifest), 0, BLOCK, hashOffset);
  writeSync(fd, seal, 0, seal.length, sealOffset);
  const size = imageSizeOf(manifest, seal.length);
  writeSync(fd, encodeFooter(footerOf(seal, sealOffset)), 0, BLOCK, size - BLOCK);
  closeSync(fd);
  return manifest;
}

/** Makes `target` hold the image in a process of its own. Returns what converge says, and the most memory that it had, in bytes. */
function converged(image: string, target: string, donor: string): { done: Record<string, unknown>; memory: number } {
  const script = `
    import { readFileSync } from "node:fs";
    import { converge } from "${project}/init/converge/converge.ts";
    import { FileSource, openToRead } from "${project}/init/converge/file-source.ts";
    import { OpenSlot } from "${project}/init/converge/open-slot.ts";
    import { readSourceSeal } from "${project}/init/converge/read-source-seal.ts";
    import { linuxKernel } from "${project}/init/kernel/linux.ts";
    const kernel = linuxKernel();
    const open = (path) => FileSource.of(kernel, path, openToRead(kernel, path));
    const [image, target, donor] = ${JSON.stringify([image, target, donor])};
    const source = open(image);
    const { manifest } = (await readSourceSeal(open(donor))).seal;
    const done = await converge({
      ...(await readSourceSeal(source)), source,
      target: OpenSlot.open(kernel, target, "write"),
      donors: [{ name: "a", slot: OpenSlot.open(kernel, donor, "read"), manifest }],
      withdraw() {}, told() {},
    });
    const [, peak] = /VmHWM:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
    console.log(JSON.stringify({ done, memory: Number(peak) * 1024 }));`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  assert.is(status, 0, stderr);
  return JSON.parse(stdout);
}

test("an image of more than 4 GiB is installed and repaired within 128 MiB", () => {
  const [donor, image, target] = ["donor", "image", "target"].map((name) => join(directory, name));
  if (donor === undefined || image === undefined || target === undefined) throw new Error("three names");
  const last = Math.floor((BLOCKS - 1) / PIECE);
  writeImage(donor, 1, (piece) => piece < 100);
  writeImage(image, 1, (piece) => piece < 160 || piece === 4000 || piece === last);
  const size = statSync(image).size + 5 * MiB;
  const fd = openSync(target, "w+");
  ftruncateSync(fd, size);

  const installed = converged(image, target, donor);
  const full = 61 * PIECE + (BLOCKS - last * PIECE);
  const { there, donors, source, changed } = installed.done;
  assert.equal(
    { there, donors, source, changed },
    { there: BLOCKS - full - 100 * PIECE, donors: [100 * PIECE], source: full, changed: true },
  );
  assert.ok(installed.memory < MEMORY, `${installed.memory / MiB} MiB`);
  console.log(`install of ${size / MiB} MiB: at most ${Math.round(installed.memory / MiB)} MiB of memory`);
  assert.ok(statSync(target).blocks * 512 < 400 * MiB, "zeros that were there were not written");

  const behind = (last * PIECE + 3) * BLOCK;
  assert.ok(behind > 2 ** 32);
  writeSync(fd, new Uint8Array(10).fill(9), 0, 10, behind);
  const repaired = converged(image, target, donor);
  assert.equal([repaired.done.source, repaired.done.changed], [1, true]);
  assert.ok(repaired.memory < MEMORY, `${repaired.memory / MiB} MiB`);
  const block = new Uint8Array(BLOCK);
  readSync(fd, block, 0, BLOCK, behind);
  assert.is(new DataView(block.buffer).getUint32(100), last * PIECE + 3 + 1);
  closeSync(fd);
});

test.run();
