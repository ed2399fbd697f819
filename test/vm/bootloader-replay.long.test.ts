/** The disk as it may be after each write of an install of a bootloader, and with writes between flushes in any order, or torn. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeManifest, MANIFEST } from "../../boot/bootloader/edition.ts";
import { describePoint, flushBoundaries, reorderings } from "../../qemu/crash-points.ts";
import { bytesOnEsp, textOnEsp } from "../../qemu/esp.ts";
import { readWriteLog } from "../../qemu/write-log.ts";
import { sha256Hex } from "../../state-ops/sha256.ts";
import { randomNumbers } from "../samples/random.ts";
import { DIRECTORIES, install, PROGRAM, readyMachine } from "./support/bootloader-ground.ts";
import { eachPoint } from "./support/rebuild-disk.ts";

const scratch = mkdtempSync(join(tmpdir(), "slipway-bootloader-"));
test.after(() => rmSync(scratch, { recursive: true, force: true }));
const [FACTORY_A, FACTORY_B] = DIRECTORIES;

/** What an install never touches. */
const WHOLE = [
  ["esp-a", "EFI/BOOT/BOOTX64.EFI"],
  ["esp-a", `${FACTORY_A}/${PROGRAM}`],
  ["esp-b", `${FACTORY_B}/${PROGRAM}`],
  ["esp-b", `${FACTORY_B}/grub.cfg`],
] as const;

test("what the disk may hold after a cut anywhere in an install: what boots is whole, and so is what has its manifest", async () => {
  const machine = await readyMachine();
  const log = `${scratch}/log`;
  const before = `${scratch}/before`;
  writeFileSync(log, "");
  execFileSync("cp", ["--sparse=always", machine.disk, before]);
  await machine.run(install("one"), { disks: machine.disks({ blklogwrites: log }) });
  const entries = readWriteLog(readFileSync(log));
  const boundaries = flushBoundaries(entries);
  const points = [...boundaries, ...reorderings(entries, 80, randomNumbers(7))];
  points.sort((left, right) => left.durable - right.durable);
  assert.ok(boundaries.length > 15, `${boundaries.length} flushes`);
  const wanted = new Map<string, string>();
  for (const [label, path] of WHOLE) wanted.set(`${label} ${path}`, sha256Hex(await bytesOnEsp(before, path, label)));
  const seen = { unfinished: 0, whole: 0 };
  const work = mkdtempSync(`${scratch}/points-`);
  let index = 0;
  await eachPoint({ disk: before, log, points }, work, async (disk) => {
    const text = describePoint(points[index++] ?? { durable: 0, later: [], torn: null }, entries);
    for (const [label, path] of WHOLE)
      assert.is(sha256Hex(await bytesOnEsp(disk, path, label)), wanted.get(`${label} ${path}`), `${text}: ${path} on ${label}`);
    const manifest = await textOnEsp(disk, `${FACTORY_B}/000001/${MANIFEST}`, "esp-b").then(decodeManifest, () => "not there");
    if (typeof manifest === "string") {
      seen.unfinished++;
      return;
    }
    seen.whole++;
    for (const { path, sha256 } of manifest.files) {
      const bytes = await bytesOnEsp(disk, `${FACTORY_B}/000001/${path}`, "esp-b");
      assert.is(sha256Hex(bytes), sha256, `${text}: ${path} of a finished edition`);
    }
  });
  assert.ok(seen.unfinished > 10 && seen.whole > 0, JSON.stringify(seen));
});

test.run();
