/** What seal, signature and dm-verity add to a boot: one filesystem with and without them, booted in turn. */
import { bootOnce } from "./boot.ts";
import { makeGround } from "./ground.ts";
import { checkMounts, type LeftMounts } from "./mounts.ts";
import type { MeasuredProof } from "./proof-table.ts";
import { slipwayInitrd } from "./slipway.ts";
import { timelineOf } from "./timeline.ts";

const kinds = [
  { name: "unsigned", proven: false },
  { name: "signed", proven: true },
] as const;

/** Throws Error where a boot failed, or one left other mounts than the other. */
export async function measureProof(runs: number, say: (text: string) => void): Promise<MeasuredProof[]> {
  say("making image, disks and initrds, and booting each once to commit it; kept for the next time");
  const contestants = [];
  for (const { name, proven } of kinds) {
    const ground = await makeGround({ proven });
    const measured: MeasuredProof = { name, runs: [] };
    contestants.push({ ground, initrd: await slipwayInitrd(ground), measured });
  }
  for (let run = 1; run <= runs; run++) {
    const left: LeftMounts[] = [];
    for (const { ground, initrd, measured } of contestants) {
      const facts = await bootOnce(ground, { name: `proof-${measured.name}`, append: "" }, initrd);
      const { initToExecMs, kernelToExecMs } = facts;
      measured.runs.push({ initToExecMs, kernelToExecMs, timeline: timelineOf(facts) });
      left.push({ name: measured.name, leaves: "all", mounts: facts.mounts });
      say(`run ${run} of ${runs}: ${measured.name}: Run /init to exec ${initToExecMs.toFixed(0)} ms`);
    }
    checkMounts(left);
  }
  return contestants.map(({ measured }) => measured);
}
