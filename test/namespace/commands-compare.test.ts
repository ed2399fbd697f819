/** What differs in an overlay's upper layer is what one sees in the overlay itself: random changes, compared the plain way. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareTrees } from "../../init/commands/state/compare-tree.ts";
import { MNT, MS, O } from "../../init/kernel/constants.ts";
import { overlayOptions } from "../../init/state/lay-store.ts";
import { randomNumbers } from "../samples/random.ts";
import { cleanUp, kernel, mountTmpfs, scratch, unmountAll } from "./state-machine.ts";

test.after(cleanUp);

const RUNS = 150;
const names = ["a", "b", "c", "d"];

/** A few names in up to three levels, so that changes meet. */
function somePath(random: () => number): string {
  const depth = 1 + Math.floor(random() * 3);
  return Array.from({ length: depth }, () => names[Math.floor(random() * names.length)]).join("/");
}

/** What does not work (a file where a directory would have to be) is no change. */
function change(random: () => number, root: string): void {
  const path = `${root}/${somePath(random)}`;
  const acts = [
    () => writeFileSync(path, `text ${Math.floor(random() * 3)}`),
    () => mkdirSync(path),
    () => rmSync(path, { recursive: true }),
    () => symlinkSync(`to ${Math.floor(random() * 2)}`, path),
    () => chmodSync(path, lstatSync(path).isDirectory() ? 0o700 : 0o600),
    () => renameSync(path, `${root}/${somePath(random)}`),
    () => {
      rmSync(path, { recursive: true });
      mkdirSync(path);
    },
  ];
  try {
    acts[Math.floor(random() * acts.length)]?.();
  } catch {}
}

interface Seen {
  content: string;
  mode: number;
}

function look(root: string): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  const visit = (path: string): void => {
    for (const name of readdirSync(`${root}/${path}`)) {
      const inside = path === "" ? name : `${path}/${name}`;
      const status = lstatSync(`${root}/${inside}`);
      const content = status.isDirectory()
        ? "directory"
        : status.isSymbolicLink()
          ? `link ${readlinkSync(`${root}/${inside}`)}`
          : `file ${readFileSync(`${root}/${inside}`, "utf8")}`;
      seen.set(inside, { content, mode: status.mode & 0o7777 });
      if (status.isDirectory()) visit(inside);
    }
  };
  visit("");
  return seen;
}

function expected(lower: string, merged: string): string[] {
  const before = look(lower);
  const now = look(merged);
  const within = (path: string) => path.slice(0, Math.max(0, path.lastIndexOf("/")));
  const found: string[] = [];
  for (const [path, { content, mode }] of now) {
    const was = before.get(path);
    if (was === undefined) found.push(`added ${path}`);
    else if (was.content !== content) found.push(`changed ${path}`);
    else if (was.mode !== mode) found.push(`metadata ${path}`);
  }
  for (const path of before.keys()) {
    const parent = within(path);
    // Below what is gone, or is no directory any more, nothing needs telling.
    if (!now.has(path) && (parent === "" || now.get(parent)?.content === "directory")) found.push(`deleted ${path}`);
  }
  return found.sort();
}

test(`the upper layer of ${RUNS} random overlays`, () => {
  const random = randomNumbers(20261120);
  let differences = 0;
  const kinds = new Set<string>();
  for (let run = 0; run < RUNS; run++) {
    const place = `${scratch}/overlay`;
    mountTmpfs(place);
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(`${place}/${name}`);
    for (let step = 0; step < 12; step++) change(random, `${place}/lower`);
    const layers = `lowerdir=${place}/lower,upperdir=${place}/upper,workdir=${place}/work`;
    kernel.mount("overlay", `${place}/merged`, "overlay", MS.NODEV, `${layers},${overlayOptions}`);
    for (let step = 0; step < 15; step++) change(random, `${place}/merged`);
    const wanted = expected(`${place}/lower`, `${place}/merged`);
    const [store, image] = ["upper", "lower"].map((name) => kernel.open(`${place}/${name}`, O.RDONLY | O.DIRECTORY));
    if (store === undefined || image === undefined) throw new Error("both were opened");
    const compared = compareTrees(kernel, { store, image, overlay: true, nested: new Set() });
    assert.equal(compared.differences.map((found) => `${found.change} ${found.path}`).sort(), wanted, `run ${run}`);
    // The merged tree as a store of its own says the same.
    const whole = kernel.open(`${place}/merged`, O.RDONLY | O.DIRECTORY);
    const bound = compareTrees(kernel, { store: whole, image, overlay: false, nested: new Set() });
    assert.equal(bound.differences.map((found) => `${found.change} ${found.path}`).sort(), wanted, `run ${run}, as a bind`);
    for (const fd of [store, image, whole]) kernel.close(fd);
    differences += wanted.length;
    for (const found of compared.differences) kinds.add(found.change);
    kernel.unmount(`${place}/merged`, MNT.DETACH);
    unmountAll(place);
  }
  assert.ok(differences > RUNS, `${differences} differences in all`);
  assert.equal([...kinds].sort(), ["added", "changed", "deleted", "metadata"]);
});

test.run();
