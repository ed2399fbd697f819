/**
 * The real thing: two Debian images a point release's security updates apart, the newer from nginx into a slot beside one with
 * the older. What is fetched is what the leaves say is missing, and little more.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LONGEST_SEAL } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { converge } from "../../init/converge/converge.ts";
import { OpenSlot } from "../../init/converge/open-slot.ts";
import { openSource } from "../../init/converge/open-source.ts";
import { readSourceSeal } from "../../init/converge/read-source-seal.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { PLAIN } from "../../init/network/options.ts";
import { compareLeaves, readSealedFile, type SealedFile } from "../../qemu/missing-blocks.ts";
import { startNginx } from "../../qemu/nginx.ts";
import { cache } from "../../qemu/places.ts";
import { updatePair } from "../../qemu/update-pair.ts";

const kernel = linuxKernel();
mkdirSync(cache, { recursive: true });
// Not on a tmpfs: older kernels have no O_DIRECT there.
const scratch = mkdtempSync(`${cache}/update-debian-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

/** Beside missing blocks (one that is there twice is fetched once), tree and seal: for gaps between runs that are closed. */
const MOST_MORE = 0.03;

const pair = await updatePair();
const [older, newer] = [readSealedFile(pair.older), readSealedFile(pair.newer)];
const { blocks, missing, distinct, runs } = compareLeaves(older.leaves, newer.leaves);
const least = distinct * BLOCK + newer.overhead;

/** Installs the newer image from nginx into a new slot, once more into the same where `again`. Returns bytes that nginx sent. */
async function install(name: string, beside: SealedFile | null, again = false): Promise<{ sent: number; changed: boolean }> {
  const slot = `${scratch}/${name}`;
  if (!again) writeFileSync(slot, "");
  truncateSync(slot, newer.size + 16 * 1024 ** 2);
  const nginx = await startNginx({ root: dirname(pair.newer) });
  const target = OpenSlot.open(kernel, slot, "write");
  const donors =
    beside === null ? [] : [{ name: "a", slot: OpenSlot.open(kernel, beside.file, "read"), manifest: beside.seal.manifest }];
  const source = await openSource(`${nginx.url}/${basename(pair.newer)}`, { kernel, network: PLAIN });
  try {
    const { seal, layout } = await readSourceSeal(source);
    const { changed } = await converge({ seal, layout, source, target, donors, withdraw: () => {}, told: () => {} });
    execFileSync("cmp", ["--bytes", String(newer.size - BLOCK), pair.newer, slot]);
    assert.is(readSealedFile(slot).seal.manifest.rootHash, newer.seal.manifest.rootHash);
    return { sent: nginx.requests().reduce((sum, { bytes }) => sum + bytes, 0), changed };
  } finally {
    await source.close();
    target.close();
    for (const donor of donors) donor.slot.close();
    await nginx.stop();
  }
}

test("the images differ, and have most in common", () => {
  const share = ((100 * missing) / blocks).toFixed(1);
  const why = pair.synthetic ? "apt offers no security updates now, every eighth library was altered" : pair.changes.join(", ");
  console.log(`missing: ${missing} of ${blocks} blocks (${share} %), ${distinct} of them different, in ${runs} runs: ${why}`);
  assert.ok(missing > 0 && missing < blocks / 2, `${missing} of ${blocks} blocks are missing`);
});

test("the update fetches missing blocks, tree and seal, and at most 3 % more", async () => {
  const { sent, changed } = await install("slot-b", older);
  console.log(`sent: ${sent} bytes, ${(((sent - least) * 100) / least).toFixed(2)} % more than missing blocks, tree and seal`);
  assert.is(changed, true);
  assert.ok(sent <= least * (1 + MOST_MORE), `${sent} bytes were sent, the least are ${least}`);
  assert.ok(sent > distinct * BLOCK, "what is nowhere else was sent");
});

test("once more, it fetches the seal, and nothing of the image", async () => {
  const { sent, changed } = await install("slot-b", older, true);
  assert.is(changed, false);
  assert.ok(sent <= 2 * BLOCK + LONGEST_SEAL, `${sent} bytes were sent`);
});

test("without the older image beside it, the whole is sent", async () => {
  const { sent } = await install("slot-c", null);
  assert.ok(sent > 0.9 * newer.size && sent <= newer.size * (1 + MOST_MORE), `${sent} of ${newer.size} bytes were sent`);
});

test.run();
