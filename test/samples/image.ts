/** An image tree in memory, for tests of the compiler. */
import type { ImageEntry, ImageFile, ImageTree } from "../../state-ops/image-tree.ts";

/** A file's text, a symlink, or something with more to it. */
export type SampleFile = string | { target: string } | { kind: "file" | "device" | "pipe"; text?: string; mode?: number };

/** `files` by path, and `directories` besides those that the files are in. */
export function sampleImage(files: Record<string, SampleFile>, directories: readonly string[] = []): ImageTree {
  const entries = new Map<string, SampleFile | null>(Object.entries(files));
  for (const path of directories) entries.set(path, null);
  for (const path of [...entries.keys()]) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const above = path.slice(0, end);
      if (!entries.has(above)) entries.set(above, null);
    }
  }
  const below = (path: string): string[] => [...entries.keys()].filter((other) => other.startsWith(`${path}/`)).sort();
  const look = (path: string): ImageEntry | null => {
    const found = entries.get(path);
    if (found === undefined) return null;
    if (found === null) return { kind: "directory", target: null, empty: below(path).length === 0 };
    const kind = kindOf(found);
    const target = typeof found === "object" && "target" in found ? found.target : null;
    return { kind, target, empty: kind === "file" && textOf(found) === "" };
  };
  return {
    look,
    text: (path) => (look(path)?.kind === "file" ? textOf(entries.get(path) ?? "") : null),
    place: (path) => path,
    files: (path) => {
      const kind = look(path)?.kind;
      const paths = kind === "directory" ? below(path) : kind === undefined ? [] : [path];
      return paths.map((own) => describe(own, entries.get(own) ?? null));
    },
  };
}

function describe(path: string, found: SampleFile | null): ImageFile {
  const isDevice = found !== null && typeof found === "object" && "kind" in found && found.kind === "device";
  const mode = found !== null && typeof found === "object" && "mode" in found ? (found.mode ?? 0) : 0;
  const text = found === null ? "" : textOf(found);
  return {
    path,
    kind: kindOf(found),
    isDevice,
    isPrivileged: (mode & 0o6000) !== 0,
    size: text.length,
    head: () => text.slice(0, 4096),
  };
}

function kindOf(found: SampleFile | null): ImageEntry["kind"] {
  if (found === null) return "directory";
  if (typeof found === "string") return "file";
  if ("target" in found) return "symlink";
  return found.kind === "file" ? "file" : "other";
}

function textOf(found: SampleFile): string {
  if (typeof found === "string") return found;
  return "kind" in found ? (found.text ?? "") : "";
}
