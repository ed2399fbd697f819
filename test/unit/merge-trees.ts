import * as fc from "fast-check";
import { parentPath } from "../../state-ops/merge/path-text.ts";
import type { MergeAction } from "../../state-ops/merge/three-way.ts";
import type { Entry, EntryType, Tree } from "../../state-ops/merge/tree.ts";
import { contentDigest } from "../../state-ops/merge/tree.ts";

/** A file with `text`, "dir", "link TARGET"; a suffix "+mode" has another mode. */
export function entry(word: string): Entry {
  const [text = "", odd] = word.split("+");
  const type: EntryType = text === "dir" ? "directory" : text.startsWith("link ") ? "symlink" : "file";
  const content = type === "directory" ? null : contentDigest(Buffer.from(text));
  const mode = (type === "directory" ? 0o755 : type === "symlink" ? 0o777 : 0o644) & (odd === undefined ? 0o777 : 0o700);
  return { type, mode, owner: 0, group: 0, size: type === "directory" ? 0 : text.length, content, attributes: null };
}

/** By path; parents are made directories where they are not said. */
export function tree(words: Record<string, string>): Map<string, Entry> {
  const made = new Map<string, Entry>([[".", entry("dir")]]);
  for (const [path, word] of Object.entries(words).sort(([left], [right]) => (left < right ? -1 : 1))) {
    for (let at = parentPath(path); at !== null; at = parentPath(at)) if (!made.has(at)) made.set(at, entry("dir"));
    made.set(path, entry(word));
  }
  return made;
}

const names = ["a", "b", "c"];

/** Small trees of three levels with few contents, so that random triples meet each other. */
export function anyTree(): fc.Arbitrary<Map<string, Entry>> {
  const words = ["x", "y", "z", "x+", "y+", "link x", "dir", "dir+"];
  const first = names.flatMap((name) => [name, ...names.map((below) => `${name}/${below}`), `${name}/a/a`, `${name}/a/b`]);
  const choice = fc.option(fc.constantFrom(...words, "dir", "dir"), { nil: null });
  return fc.array(choice, { minLength: first.length, maxLength: first.length }).map((chosen) => {
    const made = new Map<string, Entry>([[".", entry("dir")]]);
    const paths = first.map((path, index) => ({ path, word: chosen[index] ?? null }));
    for (const { path, word } of paths.sort((left, right) => (left.path < right.path ? -1 : 1))) {
      if (word !== null && made.get(parentPath(path) ?? ".")?.type === "directory") made.set(path, entry(word));
    }
    return made;
  });
}

/** A tree with a few of its paths taken from another, so that most is unchanged. */
export function changed(from: Tree, other: Tree, choose: (path: string) => boolean): Map<string, Entry> {
  const made = new Map<string, Entry>();
  for (const path of [...new Set([...from.keys(), ...other.keys()])].sort()) {
    const found = (choose(path) ? other : from).get(path);
    const parent = parentPath(path);
    if (found !== undefined && (parent === null || made.get(parent)?.type === "directory")) made.set(path, found);
  }
  return made;
}

export interface Triple {
  base: Map<string, Entry>;
  state: Map<string, Entry>;
  image: Map<string, Entry>;
}

/** A baseline, and two trees that each differ from it in some paths. */
export function anyTriple(): fc.Arbitrary<Triple> {
  const choices = fc.func(fc.integer({ min: 0, max: 2 }).map((number) => number === 0));
  return fc.tuple(anyTree(), anyTree(), anyTree(), choices, choices).map(([base, here, there, mine, its]) => ({
    base,
    state: changed(base, here, mine),
    image: changed(base, there, its),
  }));
}

/** Carries a plan out on a model of a filesystem; throws where a real one would fail. Returns what was put aside too. */
export function applyPlan(
  state: Tree,
  image: Tree,
  actions: readonly MergeAction[],
): { tree: Map<string, Entry>; aside: Map<string, Entry> } {
  const made = new Map(state);
  const aside = new Map<string, Entry>();
  const below = (path: string, all: Tree) => [...all].filter(([other]) => other === path || other.startsWith(`${path}/`));
  for (const action of actions) {
    const { path } = action;
    const now = made.get(path);
    if (action.do === "keep-aside") {
      for (const [other, found] of below(path, action.of === "state" ? made : image)) aside.set(`${action.of} ${other}`, found);
    } else if (action.do === "delete") {
      if (now === undefined) throw new Error(`ENOENT: delete ${path}`);
      if (below(path, made).length > 1) throw new Error(`ENOTEMPTY: delete ${path}`);
      made.delete(path);
    } else if (action.do === "take-image") {
      const found = image.get(path);
      const parent = parentPath(path);
      if (found === undefined) throw new Error(`the image has no ${path}`);
      if (parent !== null && made.get(parent)?.type !== "directory") throw new Error(`ENOTDIR: ${path}`);
      if (now !== undefined && (now.type === "directory") !== (found.type === "directory")) throw new Error(`EISDIR: ${path}`);
      const { mode, owner, group, attributes } = action.metadata === "state" && now !== undefined ? now : found;
      made.set(path, { ...found, mode, owner, group, attributes });
    } else if (action.do === "merge-keyed" || action.do === "conflict") {
      throw new Error(`${action.do} ${path} is not for this model`);
    }
  }
  return { tree: made, aside };
}

/** For a message and for comparing: sorted, entries as text. */
export function shown(all: Tree): string[] {
  return Array.from(
    all,
    ([path, { type, mode, content }]) => `${path} ${type} ${mode.toString(8)} ${content?.slice(7, 13)}`,
  ).sort();
}
