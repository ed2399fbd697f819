/** Boots whose clock counts instructions, a nanosecond each: what of their time is work, and not waiting. */
import { readFileSync, writeFileSync } from "node:fs";
import { writeCpio } from "../../init/builder/initrd/cpio.ts";
import { keptOf } from "../../qemu/product.ts";
import { type BenchMachine, bootOnce } from "./boot.ts";
import type { BootFacts, BootTimes } from "./facts.ts";
import type { Ground } from "./ground.ts";
import { compileNextInit, nextInitText } from "./next-init.ts";

/**
 * The same times without those in which the processor had nothing to do. Where a clock counts instructions, it jumps over
 * these to whatever comes next, so that they say nothing.
 * @param kernelIdleMs what the kernel is idle before it runs /init
 */
export function withoutIdle(facts: BootTimes & Pick<BootFacts, "idleMs">, kernelIdleMs: number): BootTimes {
  const kernelToInitMs = facts.kernelToInitMs - kernelIdleMs;
  const kernelToExecMs = facts.kernelToExecMs - facts.idleMs;
  const initToExecMs = kernelToExecMs - kernelToInitMs;
  if (!(kernelToInitMs > 0) || !(initToExecMs > 0))
    throw new Error(
      `idle ${facts.idleMs} ms (${kernelIdleMs} ms of it before /init) of ${facts.kernelToExecMs} ms leaves no time to work: ` +
        "does the kernel tell idle times in /proc/timer_list?",
    );
  return { kernelToInitMs, initToExecMs, kernelToExecMs };
}

/** How long the kernel is idle before it runs /init, milliseconds: a boot whose /init is the bench's next init, which tells it. */
export async function kernelIdleMs(ground: Ground, machine: BenchMachine): Promise<number> {
  const directory = await keptOf("bench-idle", [nextInitText()], async (aside) => {
    await compileNextInit(`${aside}/init`);
    const content = readFileSync(`${aside}/init`);
    const pieces = writeCpio([
      { path: "dev", kind: "directory", mode: 0o755 },
      { path: "dev/console", kind: "character", mode: 0o600, major: 5, minor: 1 },
      { path: "proc", kind: "directory", mode: 0o755 },
      { path: "init", kind: "file", mode: 0o755, content },
    ]);
    writeFileSync(`${aside}/initrd`, Buffer.concat(pieces));
  });
  return (await bootOnce(ground, { name: "idle", append: "" }, `${directory}/initrd`, machine)).idleMs;
}
