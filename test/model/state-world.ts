/** Random images and random fragments over them, and a simulation of what the mounts of a plan hide. */
import * as fc from "fast-check";
import type { ImageTree } from "../../state-ops/image-tree.ts";
import type { StateStep } from "../../state-ops/state-plan.ts";
import { fragment, sampleTree } from "../samples/compile.ts";
import { type SampleFile, sampleImage } from "../samples/image.ts";

export interface World {
  files: Record<string, SampleFile>;
  /** Fragments by file name: the flow maps of their operators. */
  fragments: Record<string, string[]>;
}

const top = fc.constantFrom("/etc", "/var", "/srv");
const name = fc.constantFrom("a", "b", "c-d");
const path = fc.tuple(top, fc.array(name, { maxLength: 3 })).map(([root, names]) => [root, ...names].join("/"));

/** A directory where a later entry is below it, else what is said. */
const file: fc.Arbitrary<SampleFile | null> = fc.oneof(
  { weight: 9, arbitrary: fc.constant(null) },
  { weight: 3, arbitrary: fc.constantFrom("", "text") },
  { weight: 1, arbitrary: fc.constantFrom<SampleFile[]>({ target: "/run/x" }, { target: "/var/a" }, { kind: "device" }) },
);

const image = fc.array(fc.tuple(path, file), { minLength: 8, maxLength: 40, size: "max" });

const ways = fc.constantFrom(
  "state: ephemeral",
  "state: ephemeral, via: overlay",
  "state: ephemeral, via: bind",
  "state: persistent",
  "state: persistent, via: bind",
  "state: persistent, via: overlay, merge: keyed",
  "state: persistent, cache: true",
  "state: persistent, exclude: ['*.x']",
  "state: identity",
  "state: identity, generate: random",
  "state: shared, reason: r",
  "state: shared, reason: r, via: bind",
  "state: persistent, via: bind, seed: { literal: x }",
  "state: ephemeral, via: symlink, target: /run/x",
  "state: persistent, via: symlink, target: /var/a",
  "via: mask",
  "via: readonly",
);

const more = fc.constantFrom(
  "",
  "",
  "",
  ", owner: app",
  ', mode: "0700"',
  ", flags: [noexec]",
  ", on-failure: degraded",
  ", seed: none",
);
const operator = fc.tuple(path, ways, more).map(([where, how, rest]) => `path: ${where}, ${how}${rest}`);
const fragments = fc.dictionary(
  fc.stringMatching(/^[a-z]{1,3}\.yaml$/),
  fc.uniqueArray(operator, { minLength: 3, maxLength: 8, selector: (text) => text.split(",")[0] }),
  { minKeys: 2, maxKeys: 4 },
);

export const world: fc.Arbitrary<World> = fc
  .record({ image, fragments })
  .map((random) => ({ files: filesOf(random.image), fragments: random.fragments }));

export function imageOf({ files }: World): ImageTree {
  return sampleImage({ ...sampleTree, ...files }, ["/tmp", "/etc", "/var", "/srv", "/home", "/opt"]);
}

/** The fragments' texts, each a package of its own. */
export function textsOf(fragments: World["fragments"]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fragments).map(([name, operators]) => [name, fragment(operators, name.replace(".yaml", ""))]),
  );
}

/** Without the operators that the messages place themselves in. */
export function withoutRefused(fragments: World["fragments"], lines: readonly string[]): World["fragments"] {
  const refused = new Set(lines.map((line) => line.split(":").slice(0, 2).join(":")));
  const kept = Object.entries(fragments).map(([name, operators]): [string, string[]] => [
    name,
    operators.filter((_, index) => !refused.has(`${name}:${index + 3}`)),
  ]);
  return Object.fromEntries(kept);
}

function filesOf(entries: readonly [string, SampleFile | null][]): Record<string, SampleFile> {
  const paths = entries.map(([own]) => own);
  const isDirectory = (own: string) => paths.some((other) => other.startsWith(`${own}/`)) || own.lastIndexOf("/") === 0;
  const files: Record<string, SampleFile> = {};
  for (const [own, content] of entries) {
    if (isDirectory(own)) continue;
    if (content === null) files[`${own}/inside`] = "x";
    else files[own] = content;
  }
  return files;
}

/** What covers `path` once `laid` are laid in their order: the last one at it or above it hides all that was there. */
export function coverOf(path: string, laid: readonly StateStep[]): StateStep | null {
  return laid.findLast((step) => path === `/${step.path}` || path.startsWith(`/${step.path}/`)) ?? null;
}

/** Whether a mount point, or a link's place, is there or can be made before `step`, with `laid` laid already. */
export function canBeLaid(step: StateStep, laid: readonly StateStep[], tree: ImageTree): boolean {
  const path = `/${step.path}`;
  const outer = coverOf(path, laid);
  if (step.onRun) return true;
  if (outer === null || outer.do === "readonly") {
    const found = tree.look(path);
    return step.do === "symlink" ? found?.target === step.target : found?.kind === step.kind;
  }
  return outer.kind === "directory" && outer.do !== "mask" && outer.do !== "symlink";
}
