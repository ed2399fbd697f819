/**
 * `bun install-worker.ts SCRATCH MIB RUNS`, in a mount namespace of its own: what an image of MIB mebibytes costs to seal, verify,
 * install, update by a hundredth of its blocks, and read before a commit. A line of JSON for each run of each.
 */
import { rmSync } from "node:fs";
import { z } from "zod";
import { BLOCK } from "../../../boot/image/verity.ts";
import { checkSlot, openRaw } from "../../../init/image/check-slot.ts";
import { O } from "../../../init/kernel/constants.ts";
import { linuxKernel } from "../../../init/kernel/linux.ts";
import { tellOfMachine } from "../../../qemu/host-machine.ts";
import { readSealedFile } from "../../../qemu/missing-blocks.ts";
import { dist } from "../../../qemu/places.ts";
import { runProgram } from "../../../qemu/program.ts";
import { sealWords, testKeyFiles } from "../../../qemu/seal.ts";
import { Slot } from "../update-world.ts";
import type { Measure } from "./growth.ts";
import { memoryKiB, probe, tell } from "./probe.ts";

const [scratch = "", mebibytes = "0", runs = "1"] = process.argv.slice(2);
const MiB = 1024 ** 2;
const bytes = Number(mebibytes) * MiB;
const system = "bench-scale";
const key = "scale";
/** Of so many blocks an update changes one. */
const share = 100;

function report(what: string, costs: Partial<Record<Measure, number>>): void {
  tell({ subject: "install", what, unit: "GiB", size: Math.round((bytes / 1024 ** 3) * 1000) / 1000, costs });
}

/** Runs the built executable. Its peak is looked at while it runs: what it has at its very end is not missed by much. */
async function slipway(words: string[]): Promise<{ costs: Partial<Record<Measure, number>>; output: string }> {
  const began = performance.now();
  const child = Bun.spawn([`${dist}/slipway`, ...words], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  let peakKiB = 0;
  const watch = setInterval(() => {
    peakKiB = Math.max(peakKiB, memoryKiB("VmHWM", child.pid));
  }, 10);
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  clearInterval(watch);
  if (code !== 0) throw new Error(`slipway ${words.join(" ")} ended with ${code}: ${errors || output}`);
  const used = child.resourceUsage()?.cpuTime.total ?? 0n;
  return { costs: { cpuMs: Number(used) / 1000, peakKiB, wallMs: performance.now() - began }, output };
}

/** A filesystem of random bytes: what is looked at of it is its superblock. */
async function makeFilesystem(file: string): Promise<void> {
  rmSync(file, { force: true });
  await runProgram("truncate", ["--size", String(bytes), file]);
  await runProgram("mkfs.ext4", ["-q", "-F", file]);
  await random(file, 1, Number(mebibytes) - 1);
}

/** Writes random bytes, from and so many MiB. */
async function random(file: string, from: number, count: number): Promise<void> {
  const place = [`seek=${from}`, `count=${count}`, "bs=1M", "iflag=fullblock", "conv=notrunc", "status=none"];
  await runProgram("dd", ["if=/dev/urandom", `of=${file}`, ...place]);
}

/** Changes one of each {@link share} blocks. */
function changeBlocks(file: string): void {
  const kernel = linuxKernel();
  const fd = kernel.open(file, O.WRONLY);
  const block = new Uint8Array(BLOCK);
  for (let at = MiB; at + BLOCK <= bytes; at += share * BLOCK) kernel.write(fd, crypto.getRandomValues(block), BigInt(at));
  kernel.close(fd);
}

async function seal(version: string): Promise<Partial<Record<Measure, number>>> {
  const words = await sealWords({ system, version, keys: [key] });
  const { costs } = await slipway(["image", "seal", raw, ...words, "-o", `${scratch}/${version}.img`]);
  return costs;
}

/** Installs from a file into the slot that does not run. Returns the costs, with the bytes that were read from the file. */
async function install(image: string): Promise<Partial<Record<Measure, number>>> {
  const slots = { a: running.device, b: target.device };
  await tellOfMachine({ system, key: publicKey, slots, running: older.seal.manifest.rootHash, directory: scratch });
  const { costs, output } = await slipway(["install", `file:${image}`, "--json"]);
  await target.check(image, newer.size - BLOCK);
  return { ...costs, bytes: fetched(output.trim().split("\n").at(-1) ?? "") };
}

const Result = z.object({
  bytes: z.object({ sourceBytes: z.number(), betweenBytes: z.number(), treeBytes: z.number() }),
});

/** What install says that it took from its source. */
function fetched(line: string): number {
  const { sourceBytes, betweenBytes, treeBytes } = Result.parse(JSON.parse(line)).bytes;
  return sourceBytes + betweenBytes + treeBytes;
}

const raw = `${scratch}/raw`;
const { publicKey } = await testKeyFiles(key);
await runProgram("mount", ["-t", "tmpfs", "tmpfs", "/run"]);
await makeFilesystem(raw);
for (let run = 1; run <= Number(runs); run++) {
  rmSync(`${scratch}/older.img`, { force: true });
  report("image seal", await seal("older"));
}
changeBlocks(raw);
await seal("newer");
rmSync(raw);
const [older, newer] = [readSealedFile(`${scratch}/older.img`), readSealedFile(`${scratch}/newer.img`)];
const slotBytes = Math.ceil(newer.size / MiB + 1) * MiB;
const running = await Slot.make(`${scratch}/slot-a`, slotBytes);
const target = await Slot.make(`${scratch}/slot-b`, slotBytes);
try {
  for (let run = 1; run <= Number(runs); run++) {
    report("image verify", (await slipway(["image", "verify", `${scratch}/newer.img`, "--trust", publicKey])).costs);
    await running.fill(null);
    await target.fill(null);
    report("install, nothing to reuse", await install(`${scratch}/newer.img`));
    const kernel = linuxKernel();
    const fd = openRaw(kernel, target.device);
    report(
      "read before a commit",
      probe(() => {
        for (const { damaged } of checkSlot(kernel, fd, newer.seal.manifest))
          if (damaged.length > 0) throw new Error("it is damaged");
      }),
    );
    kernel.close(fd);
    await running.fill(`${scratch}/older.img`);
    await target.fill(null);
    report("install, 1 % of the blocks changed", await install(`${scratch}/newer.img`));
    report("install again", await install(`${scratch}/newer.img`));
  }
} finally {
  running.close();
  target.close();
}
