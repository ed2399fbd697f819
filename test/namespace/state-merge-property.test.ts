/** Random edits of a random overlay over a random next image: what is visible is what was decided. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { MergeRule } from "../../state-ops/control.ts";
import { mergeTree } from "../../state-ops/merge/three-way.ts";
import { contentDigest, type Entry, type Tree } from "../../state-ops/merge/tree.ts";
import { sampleOperator } from "../samples/operator.ts";
import { randomNumbers } from "../samples/random.ts";
import { MergeWorld, makeImage, prepareRun, type TestImage } from "./merge-world.ts";
import { cleanUp, unmountAll } from "./state-machine.ts";

test.before(prepareRun);
test.after(cleanUp);

/** Path below the root; "x" a file, "link x", "dir"; "+" another mode. */
type Words = Map<string, string>;

const names = ["a", "b", "c"];
const paths = names.flatMap((one) => [one, ...names.flatMap((two) => [`${one}/${two}`, `${one}/${two}/a`])]);
const words = ["x", "y", "z", "x+", "y+", "link x", "dir", "dir+", "dir"];

function choose<Value>(random: () => number, from: readonly Value[]): Value {
  const chosen = from[Math.floor(random() * from.length)];
  if (chosen === undefined) throw new Error("nothing to choose from");
  return chosen;
}

function anyWords(random: () => number): Words {
  const made: Words = new Map();
  for (const path of paths) {
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (random() < 0.7 && (parent === "" || made.get(parent)?.startsWith("dir"))) made.set(path, choose(random, words));
  }
  return made;
}

/** Most of it as it was. */
function changedWords(random: () => number, from: Words): Words {
  const other = anyWords(random);
  const made: Words = new Map();
  for (const path of paths) {
    const word = (random() < 0.3 ? other : from).get(path);
    const parent = path.slice(0, Math.max(0, path.lastIndexOf("/")));
    if (word !== undefined && (parent === "" || made.get(parent)?.startsWith("dir"))) made.set(path, word);
  }
  return made;
}

/** Makes what is at `root` say `wanted`, with as few changes as a program would make. */
function write(root: string, wanted: Words): void {
  const now = read(root);
  for (const path of [...now.keys()].reverse()) {
    const [is, to] = [now.get(path), wanted.get(path)];
    if (to === undefined || kindOf(to) !== kindOf(is ?? "")) rmSync(`${root}/${path}`, { recursive: true, force: true });
  }
  const left = read(root);
  for (const [path, word] of wanted) {
    const place = `${root}/${path}`;
    if (left.get(path) === word) continue;
    const kind = kindOf(word);
    if (kind === "dir" && !left.has(path)) mkdirSync(place);
    if (kind === "link") {
      rmSync(place, { force: true });
      symlinkSync(word.slice(5), place);
    }
    if (kind === "file" && left.get(path)?.[0] !== word[0]) writeFileSync(place, word.slice(0, 1));
    if (kind !== "link") chmodSync(place, modeOf(word));
  }
}

const kindOf = (word: string) => (word.startsWith("dir") ? "dir" : word.startsWith("link") ? "link" : "file");
const modeOf = (word: string) => (kindOf(word) === "dir" ? 0o755 : 0o644) & (word.endsWith("+") ? 0o700 : 0o777);

function read(root: string): Words {
  const seen: Words = new Map();
  const visit = (path: string): void => {
    const place = `${root}/${path}`;
    const status = lstatSync(place);
    const odd = (status.mode & 0o77) === 0 ? "+" : "";
    if (status.isSymbolicLink()) seen.set(path, `link ${readlinkSync(place)}`);
    else if (status.isDirectory()) {
      seen.set(path, `dir${odd}`);
      for (const name of readdirSync(place).sort()) visit(`${path}/${name}`);
    } else seen.set(path, `${readFileSync(place, "utf8")}${odd}`);
  };
  for (const name of readdirSync(root).sort()) visit(name);
  return seen;
}

function tree(from: Words): Map<string, Entry> {
  const plain = { mode: 0o755, owner: 0, group: 0, size: 0, attributes: null };
  const made = new Map<string, Entry>([[".", { ...plain, type: "directory", content: null }]]);
  for (const [path, word] of from) {
    const kind = kindOf(word);
    const text = kind === "link" ? word.slice(5) : word.slice(0, 1);
    const content = kind === "dir" ? null : contentDigest(Buffer.from(text));
    const type = kind === "dir" ? "directory" : kind === "link" ? "symlink" : "file";
    made.set(path, { ...plain, type, mode: kind === "link" ? 0o777 : modeOf(word), size: kind === "dir" ? 0 : 1, content });
  }
  return made;
}

/** What the pure merge says that is there, path by path. */
function expected(base: Tree, state: Tree, image: Tree, rule: MergeRule): string[] {
  const { outcomes } = mergeTree(base, state, image, { rule, operatorPath: "/srv" });
  return Array.from(outcomes, ([path, outcome]) => {
    const from = (outcome === "state" ? state : image).get(path);
    const metadata = (outcome === "image" ? image : state).get(path);
    return `${path} ${from?.type} ${metadata?.mode.toString(8)} ${from?.content ?? ""}`;
  }).sort();
}

const shown = (all: Tree) =>
  Array.from(all, ([path, { type, mode, content }]) => `${path} ${type} ${mode.toString(8)} ${content ?? ""}`).sort();

/** Two merges one after the other. Returns how many actions the first one needed. */
function mergeTwice(world: MergeWorld, via: "overlay" | "bind", seed: number): number {
  const random = randomNumbers(seed);
  const rule: MergeRule = random() < 0.5 ? "local" : "image";
  const operator = sampleOperator("/srv", { via, merge: rule });
  const first = anyWords(random);
  const [here, there, later] = [changedWords(random, first), changedWords(random, first), changedWords(random, first)];
  const make = (content: Words) => makeImage([operator], (root) => write(`${root}/srv`, content));
  const [v1, v2, v3] = [make(first), make(there), make(later)];
  const inside = (number: number, image: TestImage, use: (place: string) => void) =>
    via === "overlay" ? world.withOverlay(number, image, operator, use) : use(world.at(number, "tree/srv"));
  const { number } = world.create(v1);
  if (via === "bind") mkdirSync(world.at(number, "tree/srv"));
  inside(number, v1, (place) => {
    if (via === "bind") write(place, first);
    write(place, here);
    assert.equal([...read(place)].sort(), [...here].sort(), "the edits");
  });
  const second = world.clone(number, v2).number;
  let afterSecond: Words = new Map();
  inside(second, v2, (place) => {
    afterSecond = read(place);
    assert.equal(shown(tree(afterSecond)), expected(tree(first), tree(here), tree(there), rule), `seed ${seed}`);
  });
  inside(world.clone(second, v3).number, v3, (place) => {
    const wanted = expected(tree(there), tree(afterSecond), tree(later), rule);
    assert.equal(shown(tree(read(place))), wanted, `seed ${seed}, the third image`);
  });
  inside(number, v1, (place) => assert.equal([...read(place)].sort(), [...here].sort(), "the parent"));
  for (const { root } of [v1, v2, v3]) unmountAll(root);
  return mergeTree(tree(first), tree(here), tree(there), { rule, operatorPath: "/srv" }).actions.length;
}

for (const [via, rounds] of [
  ["overlay", 40],
  ["bind", 20],
] as const) {
  test(`${via}: what is visible over the next image is what the merge decided`, () => {
    let contested = 0;
    const world = new MergeWorld("ext4");
    try {
      for (let seed = 1; seed <= rounds; seed++) contested += mergeTwice(world, via, seed);
    } finally {
      world.close();
    }
    assert.ok(contested > rounds, `only ${contested} actions in ${rounds} merges`);
  });
}

test.run();
