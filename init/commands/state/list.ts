import { sizeText } from "../../../state-ops/size-text.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { PLACES } from "../machine.ts";
import { ageText, table, timeText } from "../text.ts";
import { flag, type Verb } from "../verb.ts";
import { type ListedGeneration, type ListedOperator, type ListedSlotFile, listState, type StateList } from "./list-facts.ts";
import type { Measure } from "./walk.ts";

function cells(size: Measure | null): [bytes: string, files: string] {
  if (size === null) return ["-", "-"];
  const more = size.truncated || size.unread.length > 0 ? "+" : "";
  return [`${sizeText(size.bytes)}${more}`, `${size.files}${more}`];
}

function operatorRow({ path, depth, state, via, size, store, degraded, origin }: ListedOperator): string[] {
  const kept = state === "persistent" ? "generation" : store === null ? "-" : "shared";
  const remark = degraded === null ? origin : `DEGRADED: ${degraded}`;
  return [`${"  ".repeat(depth)}${path}`, state ?? "immutable", via, ...cells(size), store === null ? "-" : kept, remark];
}

function generationRow(generation: ListedGeneration, nowUnixMs: number): string[] {
  const { number, slot, imageId, madeUnixMs, size, fate, why, running } = generation;
  const made = madeUnixMs === null ? "-" : `${timeText(madeUnixMs)} ${ageText(madeUnixMs, nowUnixMs)}`.trimEnd();
  const [bytes] = cells(size);
  return [number, slot ?? "?", imageId?.slice(0, 12) ?? "?", bytes, made, fate, `${running ? "runs now; " : ""}${why}`];
}

function slotFileRow({ slot, file, size, allocated }: ListedSlotFile): string[] {
  const bytes = (count: number | null) => (count === null ? "-" : sizeText(count));
  return [slot ?? "none", file, size === null ? "not there yet" : bytes(size), bytes(allocated)];
}

const plain = (text: string) => text;

/** The list as people read it. `nowUnixMs`: to tell how old things are. */
export function listText(list: StateList, nowUnixMs: number): string {
  const { data } = list;
  const where =
    data === null
      ? "no data filesystem"
      : `${data.device} (${data.filesystem}), ${sizeText(data.free)} of ${sizeText(data.bytes)} free`;
  return [
    `Slot ${list.slot}, generation ${list.generation ?? "none"}, ${where}.`,
    "",
    ...(list.operators.length === 0
      ? ["The running image declares no state: nothing can be written."]
      : table([["PATH", "STATE", "VIA", "SIZE", "FILES", "KEPT IN", "DECLARED"], ...list.operators.map(operatorRow)], plain)),
    ...(list.generations.length === 0
      ? []
      : [
          "",
          ...table(
            [
              ["GENERATION", "SLOT", "IMAGE", "SIZE", "MADE", "FATE", "WHY"],
              ...list.generations.map((generation) => generationRow(generation, nowUnixMs)),
            ],
            plain,
          ),
        ]),
    ...(list.slotFiles.length === 0
      ? []
      : ["", ...table([["SLOT", "FILE", "SIZE", "ON DISK"], ...list.slotFiles.map(slotFileRow)], plain)]),
    ...(list.undeclared.length === 0
      ? []
      : ["", "Kept, but declared by no operator of this image (another image's, or of a former one):"]),
    ...list.undeclared.map(({ store, size }) => `  ${store}  ${cells(size).join(", ")} files`),
    ...(list.warnings.length === 0 ? [] : ["", ...list.warnings.map((text) => `Warning: ${text}`)]),
  ].join("\n");
}

export const verb: Verb = {
  help: `
Usage: slipway state list [--json]

Lists the operators of the running image as a tree, each with its state, how it is done, what its store takes on the disk, and
where it was declared; then the generations: which slot's image each belongs to, its size and age, and whether it is kept; then the
files that are slots.
A file with several names counts once; what generations share by reflink or snapshot counts in each. "+": there is more, which
was not looked at (a million files) or could not be read.

Options:
  --json    print one JSON object: slot, generation, data (device, filesystem, bytes, free), operators (path, id, kind, state,
            via, origin, depth, store, size, degraded), generations (number, slot, imageId, attempt, parent, madeUnixMs, size,
            running, pinned, fate (kept, spare or garbage), why), slotFiles (file, slot, size, allocated: in bytes), undeclared
            (store, size), warnings; any other size is bytes, files, truncated, unread`,
  options: { json: { type: "boolean" } },
  positionals: [],
  async run(values) {
    const kernel = linuxKernel();
    const list = listState(kernel, PLACES);
    console.log(flag(values, "json") ? JSON.stringify(list) : listText(list, kernel.now().unixMs));
    return 0;
  },
};
