/** `npm run bench -- --scale`: the same work on inputs of several sizes. */
import { bootWithDisks, bootWithOperators } from "./boots.ts";
import { Collected, type Series } from "./growth.ts";
import type { ScalePart } from "./parts.ts";
import { runWorker } from "./run-worker.ts";

const filesystems = ["ext4", "xfs", "btrfs"];
const counts = { operators: [10, 100, 1000], files: [1000, 10_000, 100_000] };
/** 0.1, 1 and 4 GiB. */
const imageMebibytes = [102, 1024, 4096];

/** Measures the parts that are named, each natively and in virtual machines where both mean something. Throws Error. */
export async function measureScale(runs: number, parts: readonly ScalePart[], say: (text: string) => void): Promise<Series[]> {
  const into = new Collected();
  if (parts.includes("operators")) {
    for (const count of counts.operators) {
      say(`${count} operators`);
      await runWorker("state-worker", ["operators", "ext4", String(count), String(runs)], into);
    }
    await bootWithOperators(into, say);
  }
  if (parts.includes("disks")) await bootWithDisks(into, say);
  if (parts.includes("install")) {
    for (const size of imageMebibytes) {
      say(`an image of ${size} MiB`);
      await runWorker("install-worker", [String(size), String(runs)], into);
    }
  }
  if (parts.includes("clone")) {
    for (const filesystem of filesystems) {
      for (const count of counts.files) {
        say(`${count} files on ${filesystem}`);
        await runWorker("state-worker", ["files", filesystem, String(count), String(runs)], into);
      }
    }
  }
  return into.series();
}
