import { closeSync } from "node:fs";
import { basename } from "node:path";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { startMachine } from "../../qemu/machine.ts";
import { machinesAtATime, takePlaces } from "../../qemu/pool.ts";
import { type BootFacts, readFacts } from "./facts.ts";
import { type Ground, nextInit } from "./ground.ts";
import type { Peer } from "./peers.ts";

export const memoryMiB = 512;

/** Boots `peer` once from a copy of the disk, with no other machine of this checkout beside it, up to the bench's next init. */
export async function bootOnce(
  ground: Pick<Ground, "kernel" | "disk">,
  peer: Pick<Peer, "name" | "append">,
  initrd: string,
): Promise<BootFacts> {
  const [place, ...others] = await takePlaces(machinesAtATime);
  const disk = throwAwayCopy(ground.disk);
  try {
    const machine = await startMachine({
      name: `bench-${peer.name}`,
      kernel: ground.kernel.kernel,
      initrd,
      append: `console=ttyS0 quiet init=${nextInit} ${peer.append}`.trim(),
      memoryMiB,
      noReboot: true,
      disks: [{ file: disk }],
      timeoutMs: 120_000,
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

/** Throws unless the peers left the same mounts to the next init: only then their times compare. */
export function checkMounts(measured: { name: string; mounts: string[] }[]): void {
  const [first, ...rest] = measured;
  for (const other of rest) {
    const missing = first?.mounts.filter((mount) => !other.mounts.includes(mount)) ?? [];
    const more = other.mounts.filter((mount) => !first?.mounts.includes(mount));
    if (missing.length + more.length === 0) continue;
    const words = [...missing.map((mount) => `without "${mount}"`), ...more.map((mount) => `with "${mount}"`)];
    throw new Error(`${other.name} does not do the mounts of ${first?.name}: ${words.join(", ")}`);
  }
}
