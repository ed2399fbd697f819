import { endOf } from "../../boot/timeline/parts.ts";
import { type BootTimeline, bootTimeline, totals } from "../../boot/timeline/rows.ts";
import { timelineSvg } from "../../boot/timeline/svg.ts";
import { SYSTEMD_PROPERTIES, systemdTimes } from "../../boot/timeline/systemd.ts";
import { timelineText } from "../../boot/timeline/text.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { checkOutput, replaceFile } from "../builder/output.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { PLACES, type Places, readBootReport } from "./machine.ts";
import { managerProperties } from "./systemctl.ts";
import { flag, text, type Verb } from "./verb.ts";

/** The timeline of the boot of this machine, and what to write above it. Throws Refusal where slipway did not boot it. */
export function readTimeline(kernel: Kernel, places: Places): { timeline: BootTimeline; title: string } {
  const { timeline: parts, slot, attempt } = readBootReport(kernel, places);
  const properties = managerProperties(places.systemctl, SYSTEMD_PROPERTIES);
  const systemd = properties === null ? null : systemdTimes(properties, kernel.now().bootMs);
  const timeline = bootTimeline(parts, systemd);
  const endMs = Math.max(0, ...timeline.rows.map(endOf));
  const until = systemd === null ? "slipway's last note" : systemd.finishMs === null ? "now" : "the default target";
  return { timeline, title: `Slot ${slot}, attempt ${attempt}: ${(endMs / 1000).toFixed(2)} s from kernel start to ${until}` };
}

/** What `slipway timeline` prints, without the newline at its end. */
export function timelineAnswer({ timeline, title }: ReturnType<typeof readTimeline>, as: "text" | "json" | "svg"): string {
  if (as === "svg") return timelineSvg(timeline, title).trimEnd();
  if (as === "json") return JSON.stringify({ schema: 1, ...timeline, totals: totals(timeline.rows) });
  return `${title}\n\n${timelineText(timeline)}`;
}

export const verb: Verb = {
  help: `
Usage: slipway timeline [--json | --svg] [-o FILE]

Shows where the time of this boot went: the firmware's and the loader's (where systemd has them from EFI variables), the
kernel's up to the initrd, each part of slipway's, and systemd's up to the default target. Parts that lie in another one are
indented; "+" marks a length whose end is not known.

Options:
  --json              print one JSON object: rows (by, name, startMs, lengthMs, open, depth, overlaps) in the order of their
                      starts, milliseconds since kernel start; totals (by, wholeMs, notedMs, open); notes
  --svg               a picture instead
  -o, --output FILE   write to FILE instead of standard output`,
  options: { json: { type: "boolean" }, svg: { type: "boolean" }, output: { type: "string", short: "o" } },
  positionals: [],
  async run(values) {
    const [json, svg] = [flag(values, "json"), flag(values, "svg")];
    if (json && svg) throw new BadInput("--json and --svg are two answers; give one of them");
    const output = text(values, "output");
    const path = output === undefined ? null : checkOutput(output);
    const answer = timelineAnswer(readTimeline(linuxKernel(), PLACES), svg ? "svg" : json ? "json" : "text");
    if (path === null) console.log(answer);
    else await replaceFile(path, (file) => Bun.write(file, `${answer}\n`));
    return 0;
  },
};
