/**
 * A program of its own, for a mount namespace of its own: rebuilds a disk at every point of a job, says what is in its slots and
 * which of them would boot, and runs the install again. `bun install-check.ts JOB` writes one line of JSON for each point. The
 * job's directory is for it alone.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { dirname } from "node:path";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../../boot/devices/superblock.ts";
import { publicKey } from "../../../boot/image/keys.ts";
import { layoutOf, type Seal } from "../../../boot/image/seal.ts";
import { judgeEnvelope, type Trust } from "../../../boot/image/trust.ts";
import type { Policy } from "../../../boot/selection/policy.ts";
import { selectSlot } from "../../../boot/selection/select.ts";
import { converge } from "../../../init/converge/converge.ts";
import { OpenSlot } from "../../../init/converge/open-slot.ts";
import { openSource } from "../../../init/converge/open-source.ts";
import { readSourceSeal } from "../../../init/converge/read-source-seal.ts";
import { checkSlot } from "../../../init/image/check-slot.ts";
import { readSeal } from "../../../init/image/read-seal.ts";
import { O } from "../../../init/kernel/constants.ts";
import { withOpen } from "../../../init/kernel/files.ts";
import { linuxKernel } from "../../../init/kernel/linux.ts";
import { PLAIN } from "../../../init/network/options.ts";
import { partition, readAt } from "../../../qemu/disk-partitions.ts";
import { sha256Hex } from "../../../state-ops/sha256.ts";
import { recordOn } from "./disk-file.ts";
import type { InstallFacts, InstallJob, TargetFacts } from "./install-job.ts";
import { eachPoint } from "./rebuild-disk.ts";

const kernel = linuxKernel();
const [jobFile = ""] = process.argv.slice(2);
const job: InstallJob = JSON.parse(readFileSync(jobFile, "utf8"));
/** In memory: a disk is rebuilt for each point. */
const scratch = `${dirname(jobFile)}/memory`;
mkdirSync(scratch);
execFileSync("mount", ["-t", "tmpfs", "-o", "size=6G", "tmpfs", scratch]);

const key = publicKey(Uint8Array.fromHex(job.key));
const trust: Trust = { mode: "signed", keys: [key], threshold: 1 };
const policy: Policy = {
  slots: ["a", "b"],
  tries: { trial: 3, committed: 10 },
  trust: { mode: "signed", keys: [job.key], threshold: 1, rollbackFloor: 0, kernelSignature: "ignored" },
};

/** SHA-256 of each version's data, and how many bytes that is. */
const contents = Object.entries(job.images).map(([version, file]) => {
  const size = sealIn(file)?.manifest.filesystemSize ?? 0;
  return { version, size, hash: sha256Hex(readAt(file, 0, size)) };
});

function sealIn(file: string): Seal | null {
  const size = BigInt(statSync(file).size);
  const reading = withOpen(kernel, file, O.RDONLY, (fd) => readSeal(kernel, fd, size));
  return reading.is === "sealed" ? reading.seal : null;
}

/** The partition `label`, as a file of its own, with holes where it has zeros. */
function cutOut(disk: string, label: string): string {
  const { firstLba, lastLba } = partition(disk, label);
  const [start, length] = [firstLba * 512n, (lastLba - firstLba + 1n) * 512n];
  const file = `${scratch}/${label}`;
  rmSync(file, { force: true });
  const words = ["iflag=skip_bytes,count_bytes", `skip=${start}`, `count=${length}`, "conv=sparse", "status=none"];
  execFileSync("dd", [`if=${disk}`, `of=${file}`, "bs=64K", ...words]);
  truncateSync(file, Number(length));
  return file;
}

async function targetFacts(file: string): Promise<TargetFacts> {
  const filesystem = readSuperblock(readAt(file, 0, SUPERBLOCK_BYTES))?.type ?? null;
  const holds = contents.find(({ size, hash }) => sha256Hex(readAt(file, 0, size)) === hash)?.version ?? null;
  const none = { seal: null, fault: null, damaged: [], filesystem, holds };
  const fd = kernel.open(file, O.RDONLY);
  try {
    const reading = readSeal(kernel, fd, BigInt(statSync(file).size));
    if (reading.is !== "sealed") return { ...none, fault: reading.is === "fault" ? reading.reason : null };
    const { manifest, envelope } = reading.seal;
    if (!(await judgeEnvelope("the seal", envelope, trust)).trusted) return { ...none, fault: "not trusted" };
    const damaged = [...checkSlot(kernel, fd, manifest)].flatMap((step) => step.damaged);
    return { ...none, seal: manifest.version, damaged: damaged.map(({ part, block }) => `${part} ${block}`) };
  } finally {
    kernel.close(fd);
  }
}

/** Runs the install again into `file`, as after the reboot. Returns how many blocks were fetched. */
async function again(file: string): Promise<number> {
  const source = await openSource(job.images[job.wanted] ?? "", { kernel, network: PLAIN });
  const target = OpenSlot.open(kernel, file, "write");
  try {
    const { seal } = await readSourceSeal(source);
    const done = await converge({
      ...{ seal, layout: layoutOf(seal.manifest), source, target, donors: [], withdraw: () => {}, told: () => {} },
    });
    return done.source;
  } finally {
    target.close();
    await source.close();
  }
}

await eachPoint(job, scratch, async (disk) => {
  const { reading } = recordOn(disk);
  const facts = { preferred: null, failed: new Map(), recordWritable: true };
  const next = reading.record === null ? null : selectSlot(reading.record, facts, policy).slot;
  const file = cutOut(disk, "root-b");
  const target = await targetFacts(file);
  const fetched = await again(file);
  const found: InstallFacts = {
    ...{ record: reading.condition, next, target },
    again: { target: await targetFacts(file), fetched },
  };
  console.log(JSON.stringify(found));
});
execFileSync("umount", ["--lazy", scratch]);
