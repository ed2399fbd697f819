/** The least memory with which a peer boots. */
import { type BenchMachine, bootOnce } from "./boot.ts";
import type { Ground } from "./ground.ts";
import { checkMounts } from "./mounts.ts";
import type { Peer } from "./peers.ts";

/** What is tried: multiples of `step` from `low` to `high`. */
export interface Range {
  low: number;
  high: number;
  step: number;
}

export const memoryRange: Range = { low: 48, high: 512, step: 8 };

/** The least value that works, by bisection; null where not even the highest does. What works must work with more, too. */
export async function leastThat(works: (value: number) => Promise<boolean>, { low, high, step }: Range): Promise<number | null> {
  if (!(await works(high))) return null;
  let [fails, least] = [low - step, high];
  while (least - fails > step) {
    const middle = fails + Math.floor((least - fails) / step / 2) * step;
    if (await works(middle)) least = middle;
    else fails = middle;
  }
  return least;
}

export interface MemoryTrial {
  ground: Ground;
  peer: Peer;
  initrd: string;
  /** More words for the kernel's command line than the measured boots had. */
  more: string;
  machine: BenchMachine;
  /** What the measured boots left, all of which must be there. */
  mounts: string[];
  /** The longest of the measured boots, from the kernel's start to exec. */
  longestMs: number;
}

/** MiB; null where not even the most that is tried is enough. A boot counts when the next init ran on the same mounts. */
export function leastMemory(trial: MemoryTrial, say: (text: string) => void): Promise<number | null> {
  const { ground, peer, initrd, more, machine, mounts, longestMs } = trial;
  const append = ["panic=-1", peer.append, peer.whenFailing, more].filter((words) => words !== "").join(" ");
  const timeoutMs = 30_000 + 4 * longestMs;
  const works = async (memoryMiB: number): Promise<boolean> => {
    const told = `${[peer.name, more].join(" ").trim()} with ${memoryMiB} MiB`;
    try {
      const facts = await bootOnce(
        ground,
        { name: peer.name, append },
        initrd,
        { ...machine, memoryMiB },
        { timeoutMs, expectPanic: true },
      );
      checkMounts([
        { name: `${peer.name} with more memory`, leaves: "all", mounts },
        { name: peer.name, leaves: "all", mounts: facts.mounts },
      ]);
      peer.timeline?.(facts);
      say(`${told}: boots`);
      return true;
    } catch (error) {
      const [reason] = (error instanceof Error ? error.message : String(error)).split("\n");
      say(`${told}: does not boot (${reason?.replace(/^.* not seen: /, "")})`);
      return false;
    }
  };
  return leastThat(works, memoryRange);
}
