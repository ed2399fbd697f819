/**
 * The kernel modules of an initrd: which there are, what each needs, and which the hardware asks for. `slipway initrd
 * build` writes the index from depmod's files; PID 1 reads it, so that it need not parse those at every boot.
 */
import { BadInput } from "../state-ops/outcome.ts";

/** Places in the initrd: in the runtime image, so that only what is loaded is ever unpacked. */
export const MODULES = {
  /** Holds the module files of the index, without subdirectories. */
  directory: "/runtime/modules",
  index: "/runtime/modules/index.json",
} as const;

export interface ModuleIndex {
  schema: 1;
  /** Version of the kernel that the modules belong to, as uname -r says it. */
  kernel: string;
  /** File names ("virtio_blk.ko") to load at every boot, in order, each after what it needs. */
  load: string[];
  /** For every file in the initrd: what has to be loaded before it, in order. Complete; need not be followed further. */
  depends: Record<string, string[]>;
  /**
   * Alias pattern and file, in depmod's order: "virtio:d00000002v*" for hardware, "fs-xfs" for a filesystem (what the
   * kernel would ask modprobe for at the mount). Patterns are in {@link normalizeAlias}'s form.
   */
  aliases: [pattern: string, file: string][];
  /** Files whose hardware an ordinary boot leaves alone: only a recovery wants a network. */
  recovery: string[];
}

/** The index as text: JSON, aliases grouped by file. Same index, same text. */
export function writeModuleIndex(index: ModuleIndex): string {
  const grouped: Record<string, string[]> = {};
  for (const [pattern, file] of index.aliases) {
    grouped[file] ??= [];
    grouped[file].push(pattern);
  }
  const { schema, kernel, load, depends, recovery } = index;
  return `${JSON.stringify({ schema, kernel, load, depends, aliases: grouped, recovery })}\n`;
}

/** Reads what {@link writeModuleIndex} wrote. Throws BadInput. */
export function readModuleIndex(text: string): ModuleIndex {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadInput(`module index: not JSON (${error instanceof Error ? error.message : error}); build the initrd again`);
  }
  const fields = record(value, "index");
  if (fields.schema !== 1) {
    throw new BadInput(`module index: schema is ${JSON.stringify(fields.schema)}, 1 is known; build the initrd again`);
  }
  const kernel = fields.kernel;
  if (typeof kernel !== "string") throw new BadInput("module index: kernel is not text; build the initrd again");
  const depends = Object.entries(record(fields.depends, "depends")).map(([file, needs]) => [file, texts(needs, file)] as const);
  const aliases = Object.entries(record(fields.aliases, "aliases")).flatMap(([file, patterns]) =>
    texts(patterns, file).map((pattern): [string, string] => [pattern, file]),
  );
  return {
    schema: 1,
    kernel,
    load: texts(fields.load, "load"),
    depends: Object.fromEntries(depends),
    aliases,
    recovery: texts(fields.recovery, "recovery"),
  };
}

/** Files to load for `modalias` ("pci:v00001AF4d00001042sv…", "fs-xfs"), each after what it needs; empty when none fits. */
export function filesForAlias(index: ModuleIndex, modalias: string): string[] {
  const wanted = normalizeAlias(modalias);
  const files = index.aliases.filter(([pattern]) => matchesAlias(pattern, wanted)).map(([, file]) => file);
  return [...new Set(files.flatMap((file) => [...(index.depends[file] ?? []), file]))];
}

/** "-" as "_" outside of brackets, as kmod compares names and aliases. */
export function normalizeAlias(alias: string): string {
  if (!alias.includes("[")) return alias.replaceAll("-", "_");
  return alias.replace(/\[[^\]]*\]|-/g, (part) => (part === "-" ? "_" : part));
}

const moduleEndings = [".ko", ".ko.gz", ".ko.xz", ".ko.zst"];

/** Name of the module in a file: "kernel/drivers/mmc/host/sdhci-pci.ko.xz" is "sdhci_pci". */
export function moduleName(file: string): string {
  const base = file.slice(file.lastIndexOf("/") + 1);
  const ending = moduleEndings.find((end) => base.endsWith(end)) ?? "";
  return base.slice(0, base.length - ending.length).replaceAll("-", "_");
}

/**
 * Whether `text` fits `pattern` as fnmatch(3) without flags does: "*" any run of characters, "?" one, "[a-f]" one of a
 * set, "[!a]" one not of it, "\\x" x itself. Both in {@link normalizeAlias}'s form.
 */
export function matchesAlias(pattern: string, text: string): boolean {
  let at = 0;
  let place = 0;
  let star = -1; // where to go on in the pattern, and from where in the text, when a later part does not fit
  let retry = 0;
  while (place < text.length || at < pattern.length) {
    if (pattern[at] === "*") {
      star = at + 1;
      retry = place;
      at = star;
      continue;
    }
    const next = at < pattern.length && place < text.length ? matchOne(pattern, at, text.charAt(place)) : -1;
    if (next >= 0) {
      at = next;
      place++;
    } else if (star >= 0 && retry < text.length) {
      at = star;
      place = ++retry;
    } else {
      return false;
    }
  }
  return true;
}

/** Index behind the part of the pattern at `at` if it fits `character`, else -1. */
function matchOne(pattern: string, at: number, character: string): number {
  const part = pattern[at];
  if (part === "?") return at + 1;
  if (part === "\\" && at + 1 < pattern.length) return pattern[at + 1] === character ? at + 2 : -1;
  if (part === "[") {
    const negated = pattern[at + 1] === "!" || pattern[at + 1] === "^";
    const first = negated ? at + 2 : at + 1;
    const end = pattern.indexOf("]", first + 1); // a "]" that comes first is one of the set
    if (end >= 0) return inSet(pattern.slice(first, end), character) !== negated ? end + 1 : -1;
  }
  return part === character ? at + 1 : -1;
}

function inSet(set: string, character: string): boolean {
  for (let at = 0; at < set.length; at++) {
    const low = set.charAt(at);
    if (set[at + 1] === "-" && at + 2 < set.length) {
      if (low <= character && character <= set.charAt(at + 2)) return true;
      at += 2;
    } else if (low === character) {
      return true;
    }
  }
  return false;
}

function record(value: unknown, name: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new BadInput(`module index: ${name} is not an object; build the initrd again`);
  }
  return { ...value };
}

function texts(value: unknown, name: string): string[] {
  if (!Array.isArray(value) || !value.every((entry) => typeof entry === "string")) {
    throw new BadInput(`module index: ${name} is not a list of texts; build the initrd again`);
  }
  return value;
}
