import { closeSync } from "node:fs";
import { basename } from "node:path";
import { type MachineDisk, throwAwayCopy } from "../../qemu/disks.ts";
import { startMachine } from "../../qemu/machine.ts";
import { machinesAtATime, takePlaces } from "../../qemu/pool.ts";
import { type BootFacts, readFacts } from "./facts.ts";
import type { Ground } from "./ground.ts";
import { nextInit } from "./next-init.ts";

/** What of the machine may be chosen. */
export interface BenchMachine {
  memoryMiB: number;
  cpus: number;
  /** The guest's clock counts instructions, a nanosecond each. */
  countInstructions: boolean;
}

/** What of a boot may be chosen. */
export interface BootOrder {
  timeoutMs?: number;
  expectPanic?: boolean;
  /** The machine's disks, one of which is the copy `disk`; by default that alone. */
  disksOf?: (disk: string) => MachineDisk[];
}

export const usualMachine: BenchMachine = { memoryMiB: 512, cpus: 1, countInstructions: false };

/** Boots `peer` once from a copy of the disk, with no other machine of this checkout beside it, up to the bench's next init. */
export async function bootOnce(
  ground: Pick<Ground, "kernel" | "disk">,
  peer: { name: string; append: string },
  initrd: string,
  bench: BenchMachine = usualMachine,
  { timeoutMs = 120_000, expectPanic = false, disksOf = (file) => [{ file }] }: BootOrder = {},
): Promise<BootFacts> {
  const [place, ...others] = await takePlaces(machinesAtATime);
  const disk = throwAwayCopy(ground.disk);
  try {
    const machine = await startMachine({
      ...bench,
      name: `bench-${peer.name}`,
      kernel: ground.kernel.kernel,
      initrd,
      append: `console=ttyS0 quiet init=${nextInit} ${peer.append}`.trim(),
      noReboot: true,
      expectPanic,
      disks: disksOf(disk),
      timeoutMs,
      ...(place ? { place } : {}),
    });
    try {
      const [, told = ""] = await machine.expectResult(/bench begins\r?\n([\s\S]*)bench ends/);
      await machine.exited;
      return readFacts(told);
    } finally {
      await machine.cutPower();
    }
  } finally {
    for (const other of others) other.release();
    closeSync(Number(basename(disk)));
  }
}
