/** Boots the peers in turn, and finds how much memory each needs. */
import { statSync } from "node:fs";
import { accelerator, countingInstructions } from "../../qemu/accelerator.ts";
import { guestArchitecture, hostArchitecture } from "../../qemu/architecture.ts";
import { type BenchMachine, bootOnce, usualMachine } from "./boot.ts";
import { type Ground, makeGround } from "./ground.ts";
import { kernelIdleMs, withoutIdle } from "./instructions.ts";
import { leastMemory } from "./least-memory.ts";
import { type Measured, spread } from "./measured.ts";
import { checkMounts, type LeftMounts } from "./mounts.ts";
import type { BootOptions } from "./options.ts";
import { type Peer, peers } from "./peers.ts";

interface Contestant {
  peer: Peer;
  initrd: string;
  measured: Measured;
  /** Of its first boot; empty before. */
  mounts: string[];
}

export interface MeasuredPeers {
  measured: Measured[];
  /** What it was measured on, a line or two. */
  machine: string;
}

/** Throws Error where a boot failed, or left other mounts than the others. */
export async function measurePeers(runs: number, options: BootOptions, say: (text: string) => void): Promise<MeasuredPeers> {
  if (guestArchitecture !== hostArchitecture)
    throw new Error(`the peers are made by Debian's tools as they run here: SLIPWAY_ARCH must not be ${guestArchitecture}`);
  say("making the image, the disk and the initrds, some of them by Debian's tools; kept for the next time");
  const ground = await makeGround();
  const machine: BenchMachine = { ...usualMachine, cpus: options.cpus, countInstructions: options.instructions };
  const contestants: Contestant[] = [];
  for (const peer of peers.filter(({ name }) => options.peers.includes(name))) contestants.push(await contestantOf(ground, peer));
  const kernelIdle = options.instructions ? await kernelIdleMs(ground, machine) : null;
  for (let run = 1; run <= runs; run++) {
    const left: LeftMounts[] = [];
    for (const contestant of contestants) {
      left.push(await measureOnce(ground, machine, contestant, kernelIdle));
      const { name, runs: done } = contestant.measured;
      const { initToExecMs = 0, kernelToExecMs = 0 } = done.at(-1) ?? {};
      const unit = options.instructions ? "million instructions" : "ms";
      say(`run ${run} of ${runs}: ${name} ${initToExecMs.toFixed(0)} ${unit}, ${kernelToExecMs.toFixed(0)} from kernel start`);
    }
    checkMounts(left);
  }
  if (options.memory && !options.instructions)
    for (const contestant of contestants) await measureMemory(ground, machine, contestant, say);
  return { measured: contestants.map(({ measured }) => measured), machine: await describe(ground, machine, runs) };
}

async function contestantOf(ground: Ground, peer: Peer): Promise<Contestant> {
  const { file, by } = await peer.makeInitrd(ground);
  const { name } = peer;
  const note = by === undefined ? peer.note : `${by}; ${peer.note}`;
  const measured: Measured = { name, note, initrdBytes: statSync(file).size, runs: [], leastMemoryMiB: null };
  return { peer, initrd: file, measured, mounts: [] };
}

/** @param kernelIdle where instructions are counted: what of them is none, before /init */
async function measureOnce(
  ground: Ground,
  machine: BenchMachine,
  contestant: Contestant,
  kernelIdle: number | null,
): Promise<LeftMounts> {
  const { peer, initrd, measured } = contestant;
  const facts = await bootOnce(ground, peer, initrd, machine);
  const { kernelToInitMs, initToExecMs, kernelToExecMs } = kernelIdle === null ? facts : withoutIdle(facts, kernelIdle);
  const { heldAfterKiB } = facts;
  const run = { kernelToInitMs, initToExecMs, kernelToExecMs, heldAfterKiB };
  measured.runs.push(peer.timeline ? { ...run, timeline: peer.timeline(facts) } : run);
  contestant.mounts = facts.mounts;
  return { name: peer.name, leaves: peer.leaves, mounts: facts.mounts };
}

async function measureMemory(
  ground: Ground,
  machine: BenchMachine,
  contestant: Contestant,
  say: (text: string) => void,
): Promise<void> {
  const { peer, initrd, measured, mounts } = contestant;
  const trial = { ground, peer, initrd, machine, mounts, longestMs: spread(measured, "kernelToExecMs").max };
  measured.leastMemoryMiB = await leastMemory({ ...trial, more: "" }, say);
  const words = peer.memoryWord;
  if (words !== undefined)
    measured.leastMemoryOtherwise = { words, memoryMiB: await leastMemory({ ...trial, more: words }, say) };
}

async function describe({ kernel, rootType, modules }: Ground, machine: BenchMachine, runs: number): Promise<string> {
  const { memoryMiB, cpus, countInstructions } = machine;
  const emulation = countInstructions ? countingInstructions(guestArchitecture) : await accelerator(kernel.kernel);
  const processors = cpus === 1 ? "1 processor" : `${cpus} processors`;
  return [
    `Kernel ${kernel.version}, ${memoryMiB} MiB, ${processors}, QEMU ${emulation.join(" ")}; ${runs} ${runs === 1 ? "boot" : "boots"} each, in turn.`,
    `Debian in ${rootType}, committed; all but tiny-initramfs leave the same mounts, and all load ${modules.join(", ")} where these are modules.`,
  ].join("\n");
}
