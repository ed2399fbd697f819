/** What of a store and of an image is looked at for a merge, and what is read of it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { O } from "../../init/kernel/constants.ts";
import type { Kernel } from "../../init/kernel/kernel.ts";
import { link, type Tree as MemoryTree } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { excludedPaths, Gatherer } from "../../init/state/merge/gather.ts";
import type { Operator } from "../../state-ops/control.ts";
import { contentDigest, type Entry } from "../../state-ops/merge/tree.ts";
import { sampleOperator } from "../samples/operator.ts";

const MiB = 1024 * 1024;
const app = sampleOperator("/srv/app");
const root: Entry = { type: "directory", mode: 0o755, owner: 0, group: 0, size: 0, content: null, attributes: null };
const onlyRoot = new Map([[".", root]]);

interface Looked {
  gatherer: Gatherer;
  kernel: Kernel;
  /** Bytes that each read asked for. */
  reads: number[];
  /** Directories that were listed. */
  listed: () => number;
  /** Bytes and files at each report of progress. */
  progress: [number, number][];
  place: { at: number; name: string };
}

/** `tree` at /srv/app of a machine. */
function looking(tree: MemoryTree, operators: readonly Operator[] = [app]): Looked {
  const recording = new RecordingKernel({ initramfs: { "srv/app": tree } });
  const reads: number[] = [];
  const progress: [number, number][] = [];
  let listed = 0;
  const kernel = new Proxy<Kernel>(recording, {
    get(target, name) {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== "function") return method;
      return (...args: unknown[]): unknown => {
        if (name === "read") reads.push(Number(args[1]));
        if (name === "readDirectory") listed++;
        return Reflect.apply(method, target, args);
      };
    },
  });
  const gatherer = new Gatherer(kernel, operators, (bytes, files) => progress.push([bytes, files]));
  const place = { at: kernel.open("/srv", O.RDONLY | O.DIRECTORY), name: "app" };
  return { gatherer, kernel, reads, listed: () => listed, progress, place };
}

test("an image's file is read in pieces of a MiB, and progress is told every few of them", () => {
  const content = new Uint8Array(21 * MiB + 7).fill(3);
  const { gatherer, reads, progress, place } = looking({ big: content, small: "x" });
  const { entries } = gatherer.image(place, app);
  assert.is(entries.get("big")?.content, contentDigest(content));
  assert.is(Math.max(...reads), MiB);
  assert.ok(progress.length >= 5, `${progress.length} reports`);
  assert.ok(progress.every(([bytes], index) => bytes - (progress[index - 1]?.[0] ?? 0) <= 5 * MiB));
});

test("progress is told every hundred files", () => {
  const files = Object.fromEntries(Array.from({ length: 450 }, (_, index) => [`file-${index}`, ""]));
  const { gatherer, progress, place } = looking(files);
  gatherer.image(place, app);
  assert.equal(
    progress.map(([, count]) => count),
    [100, 200, 300, 400],
  );
});

test("of the state only what the image or the baseline has too is looked into and read", () => {
  const { gatherer, kernel, reads, listed, place } = looking({
    "shared/same-size": "here",
    "shared/longer": "longer than theirs",
    "shared/own": "here",
    "own/deep/er/file": "here",
    "was-a-file/now/a/directory": "here",
  });
  const image = looking({ "shared/same-size": "them", "shared/longer": "short", "was-a-file": "them" });
  const theirs = image.gatherer.image(image.place, app).entries;
  const state = gatherer.state(place, app, new Map(), theirs);
  assert.equal([...state.keys()], [".", "own", "shared", "shared/longer", "shared/own", "shared/same-size", "was-a-file"]);
  assert.is(state.get("shared/same-size")?.content, contentDigest(Buffer.from("here")));
  assert.is(state.get("shared/longer")?.content, null);
  assert.is(state.get("shared/own")?.content, null);
  assert.is(reads.length, 1);
  assert.is(listed(), 2, "the store itself and shared");
  kernel.close(place.at);
});

test("of any number of files that the state alone has, one in each directory is remembered", () => {
  const files = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`spool/${index}`, ""]));
  const { gatherer, place } = looking({ ...files, own: "", "spool/known": "", passwd: "" });
  const tree = new Map([...onlyRoot, ["spool", root], ["spool/known", root]] as const);
  assert.equal([...gatherer.state(place, app, tree, onlyRoot).keys()], [".", "own", "spool", "spool/0", "spool/known"]);
  const etc = sampleOperator("/etc");
  assert.ok(gatherer.state(place, etc, tree, onlyRoot).has("passwd"), "the accounts are merged with what the image has not");
});

test("a baseline that lies about sizes does not make PID 1 read more than the image and 256 MiB weigh", () => {
  const size = 100 * MiB;
  const { gatherer, reads, place } = looking({ a: "", b: "", c: "", d: "" });
  const lie: Entry = {
    type: "file",
    mode: 0o644,
    owner: 0,
    group: 0,
    size,
    content: contentDigest(Buffer.from("")),
    attributes: null,
  };
  for (const name of ["a", "b", "c", "d"]) {
    const file = gatherer.kernel.open(`/srv/app/${name}`, O.RDWR);
    gatherer.kernel.truncate(file, BigInt(size));
    gatherer.kernel.close(file);
  }
  const lies = ["a", "b", "c", "d"].map((name): [string, Entry] => [name, lie]);
  const state = gatherer.state(place, app, new Map([...onlyRoot, ...lies]), new Map());
  assert.is([...state.values()].filter(({ content }) => content !== null).length, 2);
  assert.is(
    reads.reduce((sum, length) => sum + length, 0),
    2 * size,
  );
});

test("an upper layer's whiteouts and opaque directories are seen, and links are only read", () => {
  const { gatherer, kernel, place } = looking({ "dir/f": "x", to: link("/etc/passwd"), marked: "" });
  kernel.makeNode("/srv/app/gone", "character", 0, { major: 0, minor: 0 });
  kernel.setAttribute("/srv/app/marked", "trusted.overlay.whiteout", new Uint8Array());
  kernel.setAttribute("/srv/app/dir", "trusted.overlay.opaque", Buffer.from("y"));
  const overlay = { ...app, via: "overlay" as const };
  const lower = new Map([...onlyRoot, ["dir", root], ["to", root]] as const);
  const upper = gatherer.upper(place, overlay, lower, lower);
  assert.equal(upper.get("gone"), { whiteout: true });
  assert.equal(upper.get("marked"), { whiteout: true });
  const dir = upper.get("dir");
  assert.ok(dir?.whiteout === false && dir.opaque && dir.entry.attributes === null, "the mark is no attribute of the directory");
  const to = upper.get("to");
  assert.ok(to?.whiteout === false && to.entry.content === contentDigest(Buffer.from("/etc/passwd")));
  assert.is(gatherer.state(place, app, onlyRoot, onlyRoot).get("dir")?.type, "directory");
  const gone = new Map([...onlyRoot, ["gone", root]] as const);
  assert.is(gatherer.state(place, app, gone, onlyRoot).get("gone")?.type, "character", "a bind has no whiteouts");
});

test("what other operators below have, and what is not cloned, is left out", () => {
  const inner = sampleOperator("/srv/app/inner");
  const outer = { ...app, exclude: ["tmp/*", "**/core"] };
  const { gatherer, place } = looking({ "inner/f": "x", "tmp/f": "x", core: "x", "kept/f": "x" }, [outer, inner]);
  const { entries } = gatherer.image(place, outer);
  assert.equal([...entries.keys()], [".", "core", "kept", "kept/f", "tmp", "tmp/f"]);
  assert.equal([...gatherer.state(place, outer, new Map(), entries).keys()], [".", "kept", "kept/f", "tmp"]);
  const isExcluded = excludedPaths(outer);
  assert.equal(["tmp", "tmp/f", "tmp/f/below", "a/core", "a/core/b", "core2"].map(isExcluded), [
    false,
    true,
    true,
    true,
    true,
    false,
  ]);
});

test.run();
