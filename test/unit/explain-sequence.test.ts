/** What explain plans is what the sequence does: the same machine, gathered from and planned for, then booted. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootReport } from "../../boot/report.ts";
import { effectLine } from "../../init/explain/effect-line.ts";
import { gatherFacts } from "../../init/explain/gather.ts";
import { planBoot } from "../../init/explain/plan.ts";
import type { BootPlan, Effect } from "../../init/explain/plan-shape.ts";
import { machines } from "./explain-worlds.ts";

/** Calls that a plan shows. Of renames those count that make a generation, a pin or a slot's pointer real, or take one away. */
const SHOWN = [
  /^mount\(/,
  /^umount\(/,
  /^rename\("[^"]*\/(gens\/(\.tmp-|\d+"|\d+\/\.new-PINNED")|slots\/)/,
  /^ioctl\("[^"]*", (BLKROSET|LOOP_CONFIGURE|DM_)/,
  /^add-key/,
  /^write\("\/dev\/vda1", record/,
  /^write\("\/run\/(slipway\/[a-z.-]+"|systemd\/)/,
  /^set-clock/,
  /WDIOC_SETTIMEOUT/,
  /^chroot/,
  /^exec/,
  /^reboot/,
];

/** Of files below /run only the path: what is in them is compared apart. */
const comparable = (line: string): string => line.replace(/^(write\("\/run\/[^"]*").*$/s, "$1)");

function shown(trace: string): string[] {
  const lines = trace.split("\n").filter((line) => SHOWN.some((pattern) => pattern.test(line)));
  return lines.map(comparable);
}

function effects({ start, record, attempts, end }: BootPlan): Effect[] {
  const tried = attempts.flatMap(({ effects: { count, image, state, leave } }) => [...count, ...image, ...state, ...leave]);
  return [...start.effects, ...(record?.effects ?? []), ...tried, ...end.effects];
}

for (const [name, prepare] of Object.entries(machines)) {
  test(`${name}: as planned`, async () => {
    const { world, kernel } = await prepare();
    const restore = world.checkpoint();
    const looking = kernel();
    looking.plant("/", { mnt: {} });
    const mountsBefore = looking.mounts();
    const plan = await planBoot(gatherFacts(looking, { control: null, commandLine: null }));
    assert.equal(looking.mounts(), mountsBefore, "nothing stays mounted");
    assert.not.match(
      looking.trace.replaceAll(/^ioctl.*LOOP_CONFIGURE.*$/gm, ""),
      /write|BLKROSET|mkdir|rename|O_CREAT|RDWR/,
      "looking changes nothing",
    );
    restore();

    const boot = await world.boot(kernel());
    assert.is(boot.escaped, null);
    const planned = effects(plan).filter((effect) => effect.do !== "make-directory");
    assert.equal(planned.map(effectLine).map(comparable), shown(boot.kernel.trace));
    if (plan.end.do !== "hand-over") return;
    const report: BootReport = JSON.parse(boot.kernel.peek("/run/slipway/boot.json") ?? "{}");
    assert.equal({ ...plan.end.report, timeline: [] }, { ...report, timeline: [] });
    assert.is(boot.root, plan.end.report.verity?.device ?? plan.end.report.slotDevice);
  });
}

test.run();
