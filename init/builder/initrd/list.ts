import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import type { CpioListing } from "../../../boot/cpio.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { flag, type Verb } from "../../commands/verb.ts";
import { readInput } from "../input.ts";
import { withScratch } from "../output.ts";
import { runHostProgram } from "../program.ts";
import { readCpio } from "./cpio.ts";
import { RUNTIME_IMAGE } from "./layout.ts";
import { weighInitrd, weightsAsJson, weightsAsText } from "./weigh.ts";

interface Line {
  size: number;
  name: string;
}

const fileKinds: Record<number, string> = { 4: "directory", 12: "symlink", 2: "character device", 6: "block device" };

/** What is in an initrd, as a table: the archive's entries, then the files of the runtime image before compression. */
export async function describeInitrd(archive: Uint8Array): Promise<string> {
  const entries = readCpio(archive);
  const parts = [
    releaseLine(archive, entries),
    section("In the archive", entries.map(entryLine), archive.length, "with headers and padding"),
  ];
  const runtime = entries.find((entry) => entry.path === RUNTIME_IMAGE);
  if (runtime) {
    const image = archive.subarray(runtime.start, runtime.start + runtime.size);
    parts.push(section(`In ${RUNTIME_IMAGE}, before compression`, await runtimeLines(image), runtime.size, "compressed"));
  }
  return parts.join("\n\n");
}

/** Whose initrd it is and for which machine, from etc/initrd-release. */
function releaseLine(archive: Uint8Array, entries: CpioListing[]): string {
  const entry = entries.find(({ path }) => path === "etc/initrd-release");
  if (entry === undefined) return "no etc/initrd-release: not made by slipway initrd build";
  const text = new TextDecoder().decode(archive.subarray(entry.start, entry.start + entry.size));
  const value = (key: string): string => new RegExp(`^${key}=(.*)$`, "m").exec(text)?.[1] ?? "not said";
  return `${value("ID")} ${value("VERSION")} for ${value("ARCHITECTURE")}`;
}

function entryLine(entry: CpioListing): Line {
  const kind = fileKinds[entry.mode >> 12];
  return { size: entry.size, name: kind === undefined ? entry.path : `${entry.path} (${kind})` };
}

/** Files and links of a squashfs, from unsquashfs(1). */
async function runtimeLines(image: Uint8Array): Promise<Line[]> {
  return withScratch(tmpdir(), async (scratch) => {
    writeFileSync(`${scratch}/image`, image);
    const said = (await runHostProgram("unsquashfs", ["-lln", "-d", "", `${scratch}/image`])).toString();
    // -rwxr-xr-x 0/0   109226160 1970-01-01 00:00 /usr/bin/slipway
    return said.split("\n").flatMap((line): Line[] => {
      const found = /^([-l])\S+ +\d+\/\d+ +(\d+) \S+ \S+ (.+)$/.exec(line);
      return found ? [{ size: Number(found[2]), name: found[3] ?? "" }] : [];
    });
  });
}

/** Lines from heavy to light, their sum, and what the whole weighs. */
function section(title: string, lines: Line[], whole: number, wholeName: string): string {
  const sorted = lines.toSorted((left, right) => right.size - left.size || (left.name < right.name ? -1 : 1));
  const sum = lines.reduce((total, line) => total + line.size, 0);
  const row = (size: number, name: string): string =>
    `${String(size).padStart(12)} ${(size / 2 ** 20).toFixed(2).padStart(8)}  ${name}`;
  return [
    `${title}:`,
    `${"bytes".padStart(12)} ${"MiB".padStart(8)}  name`,
    ...sorted.map((line) => row(line.size, line.name)),
    row(sum, `total of ${lines.length}`),
    row(whole, wholeName),
  ].join("\n");
}

export const verb: Verb = {
  help: `
Usage: slipway initrd list [--weights [--json]] FILE

Shows which machine an initrd that slipway initrd build made is for, what is in it, and what each part weighs: the archive's
entries, and the files of the runtime image (with unsquashfs).

  --weights  instead, what each byte of the archive is for, as the loader reads it, and how it can be left out. A
             compressed block counts for what is in it by its part of the content
  --json     the weights as one line of JSON, with the files of each part`,
  options: { weights: { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["FILE"],
  async run(values, [file = ""]) {
    const [weights, json] = [flag(values, "weights"), flag(values, "json")];
    if (json && !weights) throw new BadInput("--json is there for --weights only; say both");
    const archive = readInput(file, file);
    try {
      if (json) console.log(JSON.stringify(weightsAsJson(archive, weighInitrd(archive))));
      else if (weights) console.log(weightsAsText(archive, weighInitrd(archive)));
      else console.log(await describeInitrd(archive));
    } catch (error) {
      throw error instanceof BadInput ? new BadInput(`${file}: ${error.message}`) : error;
    }
    return 0;
  },
};
