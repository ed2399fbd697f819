/** What each byte of an initrd is for. */

import type { CpioListing } from "../../../boot/cpio.ts";
import { isElf } from "../../../boot/elf.ts";
import { MODULES, readModuleIndex } from "../../../boot/modules.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readCpio } from "./cpio.ts";
import { executableRanges } from "./executable-parts.ts";
import { RUNTIME_IMAGE } from "./layout.ts";
import { type ModulePurpose, purposesOf } from "./module-purposes.ts";
import { distribute, type WeighedFile, weighRuntime } from "./weigh-runtime.ts";
import { type Purpose, purposes } from "./weight-purposes.ts";

/** One file's share of a part. */
export interface WeightOfFile {
  /** In the archive, or "/usr/bin/slipway" in the runtime image. */
  path: string;
  bytes: number;
}

export interface Weight {
  purpose: Purpose;
  /** Of the archive as the loader reads it. */
  bytes: number;
  files: WeightOfFile[];
}

/** The archive's own files, by their paths in it. */
const own: Record<string, Purpose> = { init: "preinit", "etc/slipway/control.json": "control", "runtime.hot": "hot" };

const executable = "/usr/bin/slipway";
const inImage = (path: string): string => path.replace(/^\/runtime/, "");

/**
 * The archive by purpose, from heavy to light; their bytes add up to the archive's. A compressed block counts for what is in it
 * in proportion to the content. Throws BadInput where it is no initrd of slipway's, or damaged.
 */
export function weighInitrd(archive: Uint8Array): Weight[] {
  const weights = new Map<Purpose, Map<string, number>>();
  const add = (purpose: Purpose, path: string, bytes: number): void => {
    const files = weights.get(purpose) ?? new Map<string, number>();
    files.set(path, (files.get(path) ?? 0) + bytes);
    if (bytes > 0) weights.set(purpose, files);
  };
  let left = archive.length;
  for (const entry of readCpio(archive)) {
    left -= entry.size;
    if (entry.path === RUNTIME_IMAGE) addRuntime(archive, entry, add);
    else add(purposeOfEntry(entry), entry.path, entry.size);
  }
  add("headers", "", left);
  return [...weights]
    .map(([purpose, files]): Weight => {
      const sorted = [...files].map(([path, bytes]) => ({ path, bytes })).sort(heavyFirst);
      return { purpose, bytes: sorted.reduce((sum, { bytes }) => sum + bytes, 0), files: sorted };
    })
    .sort((one, other) => other.bytes - one.bytes || (one.purpose < other.purpose ? -1 : 1));
}

function heavyFirst(one: WeightOfFile, other: WeightOfFile): number {
  return other.bytes - one.bytes || (one.path < other.path ? -1 : 1);
}

function purposeOfEntry({ path }: CpioListing): Purpose {
  if (path.startsWith("modules/")) return "module-preinit";
  return own[path] ?? "small";
}

function addRuntime(archive: Uint8Array, entry: CpioListing, add: (purpose: Purpose, path: string, bytes: number) => void): void {
  const files = weighRuntime(archive.subarray(entry.start, entry.start + entry.size));
  const index = files.find(({ path }) => path === inImage(MODULES.index));
  const modules =
    index === undefined
      ? new Map<string, ModulePurpose>()
      : purposesOf(readModuleIndex(new TextDecoder().decode(index.content())));
  let left = entry.size;
  for (const file of files) {
    for (const { purpose, bytes } of purposesOfFile(file, modules)) {
      add(purpose, file.path, bytes);
      left -= bytes;
    }
  }
  if (left < 0) throw new BadInput("squashfs is damaged: its files take more than it has; build it again");
  add("tables", "", left);
}

function purposesOfFile(file: WeighedFile, modules: ReadonlyMap<string, ModulePurpose>): { purpose: Purpose; bytes: number }[] {
  const bytes = file.pieces.reduce((sum, piece) => sum + piece.bytes, 0);
  const directory = `${inImage(MODULES.directory)}/`;
  if (file.path === executable) return partsOfExecutable(file);
  if (file.path === inImage(MODULES.index)) return [{ purpose: "module-index", bytes }];
  if (file.path.startsWith(directory)) {
    return [{ purpose: `module-${modules.get(file.path.slice(directory.length)) ?? "other"}`, bytes }];
  }
  if (file.path === "/usr/bin/busybox") return [{ purpose: "busybox", bytes }];
  return [{ purpose: /\.so(\.|$)/.test(file.path) ? "libraries" : "extra", bytes }];
}

function partsOfExecutable(file: WeighedFile): { purpose: Purpose; bytes: number }[] {
  const content = file.content();
  if (!isElf(content)) return [{ purpose: "executable-rest", bytes: file.pieces.reduce((sum, piece) => sum + piece.bytes, 0) }];
  const ranges = executableRanges(content);
  return file.pieces.flatMap((piece) => {
    const within = ranges.filter(({ start, end }) => start < piece.end && end > piece.start);
    const lengths = within.map(({ start, end }) => Math.min(end, piece.end) - Math.max(start, piece.start));
    return distribute(piece.bytes, lengths).map((bytes, place) => ({
      purpose: `executable-${within[place]?.part ?? "rest"}` as const,
      bytes,
    }));
  });
}

/** The archive as JSON: `parts` from heavy to light. */
export function weightsAsJson(archive: Uint8Array, weights: readonly Weight[]): unknown {
  return {
    schema: 1,
    bytes: archive.length,
    parts: weights.map(({ purpose, bytes, files }) => ({ purpose, ...purposes[purpose], bytes, files })),
  };
}

/** A table of them. */
export function weightsAsText(archive: Uint8Array, weights: readonly Weight[]): string {
  const row = (bytes: number, what: string, leftOut: string): string => {
    const share = archive.length === 0 ? 0 : (bytes / archive.length) * 100;
    return `${String(bytes).padStart(10)} ${(bytes / 1e6).toFixed(2).padStart(7)} ${share.toFixed(1).padStart(6)} %  ${what.padEnd(width)}  ${leftOut}`.trimEnd();
  };
  const width = Math.max(...weights.map(({ purpose }) => purposes[purpose].what.length));
  return [
    `${"bytes".padStart(10)} ${"MB".padStart(7)} ${"share".padStart(8)}  ${"what for".padEnd(width)}  can be left out by`,
    ...weights.map(({ purpose, bytes }) => row(bytes, purposes[purpose].what, purposes[purpose].leftOutBy ?? "")),
    row(archive.length, "the archive as the loader reads it", ""),
  ].join("\n");
}
