/**
 * The real thing: two Debian images a point release's security updates apart. `slipway install` of the newer from nginx, on a
 * machine whose running slot holds the older: what is fetched is what the leaves say is missing, and little more.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { LONGEST_SEAL } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { openBootRecord } from "../../init/store/boot-record.ts";
import { tellOfMachine } from "../../qemu/host-machine.ts";
import { compareLeaves, readSealedFile } from "../../qemu/missing-blocks.ts";
import { startNginx } from "../../qemu/nginx.ts";
import { cache } from "../../qemu/places.ts";
import { slipway } from "../../qemu/product.ts";
import { pairSystem, updatePair } from "../../qemu/update-pair.ts";
import { attach, cleanUp, detach, kernel, mountTmpfs } from "./state-machine.ts";

mkdirSync(cache, { recursive: true });
// Not on a tmpfs: older kernels have no O_DIRECT there.
const scratch = mkdtempSync(`${cache}/update-debian-`);
test.before(() => mountTmpfs("/run"));
test.after(() => {
  cleanUp();
  rmSync(scratch, { recursive: true, force: true });
});

/** Beside missing blocks (one that is there twice is fetched once), tree and seal: for gaps between runs that are closed. */
const MOST_MORE = 0.03;

const pair = await updatePair();
const [older, newer] = [readSealedFile(pair.older), readSealedFile(pair.newer)];
const { blocks, missing, distinct, runs } = compareLeaves(older.leaves, newer.leaves);
const least = distinct * BLOCK + newer.overhead;
const wanted = newer.seal.manifest.rootHash;

/** A machine that runs `image`, or something without a seal, and has a slot b that is empty. */
async function withMachine(image: string | null, use: (slotB: string) => Promise<void>): Promise<void> {
  const files = { a: `${scratch}/slot-a`, b: `${scratch}/slot-b` };
  for (const file of Object.values(files)) writeFileSync(file, "");
  if (image !== null) copyFileSync(image, files.a);
  for (const file of Object.values(files)) truncateSync(file, Math.max(older.size, newer.size) + 16 * 1024 ** 2);
  // Slot a is as after a dd of the image: its seal is found behind the filesystem.
  const slots = { a: attach(files.a), b: attach(files.b) };
  try {
    const running = image === null ? "0".repeat(64) : readSealedFile(image).seal.manifest.rootHash;
    await tellOfMachine({ system: pairSystem, key: pair.key, slots, running, directory: scratch });
    await use(slots.b);
  } finally {
    for (const device of Object.values(slots)) detach(device);
  }
}

/** Installs the newer image from nginx. Returns bytes that nginx sent, and what slipway said of them. */
async function install(): Promise<{ sent: number; networkBytes: number; changed: boolean; slot: string }> {
  const nginx = await startNginx({ root: dirname(pair.newer) });
  try {
    const said = await slipway(["install", `${nginx.url}/${basename(pair.newer)}`, "--json"]);
    const result: { networkBytes: number; changed: boolean; slot: string } = JSON.parse(said.trim().split("\n").at(-1) ?? "");
    return { ...result, sent: nginx.requests().reduce((sum, { bytes }) => sum + bytes, 0) };
  } finally {
    await nginx.stop();
  }
}

/** Asserts that the slot holds the newer image, whole, and that the next boot tries it. */
function holds(slot: string): void {
  execFileSync("cmp", ["--bytes", String(newer.size - BLOCK), pair.newer, slot]);
  assert.is(readSealedFile(slot).seal.manifest.rootHash, wanted);
  const store = openBootRecord(kernel, `${scratch}/boot-record`);
  const { record } = store.read().record;
  store.close();
  assert.is(record?.slots.b?.imageId, wanted);
  assert.is(record?.slots.b?.state, "trial");
  assert.ok((record?.slots.b?.priority ?? 0) > (record?.slots.a?.priority ?? 0));
}

test("the images differ, and have most in common", () => {
  const share = ((100 * missing) / blocks).toFixed(1);
  const why = pair.synthetic ? "apt offers no security updates now, every eighth library was altered" : pair.changes.join(", ");
  console.log(`missing: ${missing} of ${blocks} blocks (${share} %), ${distinct} of them different, in ${runs} runs: ${why}`);
  assert.ok(missing > 0 && missing < blocks / 2, `${missing} of ${blocks} blocks are missing`);
});

test("the update fetches missing blocks, tree and seal, and at most 3 % more; once more, the seal and nothing else", async () => {
  await withMachine(pair.older, async (slotB) => {
    const { sent, networkBytes, changed, slot } = await install();
    console.log(`sent: ${sent} bytes, ${(((sent - least) * 100) / least).toFixed(2)} % more than missing blocks, tree and seal`);
    assert.equal({ changed, slot, networkBytes }, { changed: true, slot: "b", networkBytes: sent });
    assert.ok(sent <= least * (1 + MOST_MORE), `${sent} bytes were sent, the least are ${least}`);
    assert.ok(sent > distinct * BLOCK, "what is nowhere else was sent");
    holds(slotB);
    const again = await install();
    assert.is(again.changed, false);
    assert.ok(again.sent <= 2 * BLOCK + LONGEST_SEAL, `${again.sent} bytes were sent`);
    holds(slotB);
  });
});

test("without the older image, the whole is sent", async () => {
  await withMachine(null, async (slotB) => {
    const { sent } = await install();
    assert.ok(sent > 0.9 * newer.size && sent <= newer.size * (1 + MOST_MORE), `${sent} of ${newer.size} bytes were sent`);
    holds(slotB);
  });
});

test.run();
