/** What a clone leaves out, what it needs, and how it is told of. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { progressLine } from "../../state-ops/clone-progress.ts";
import { cloneRules } from "../../state-ops/clone-rules.ts";
import { type CloneNeed, spaceFault } from "../../state-ops/clone-space.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import { sampleOperator } from "../samples/operator.ts";

const MiB = 1024 * 1024;
const bytes = (path: string) => Buffer.from(path, "latin1");

test("a clone leaves out caches, what begins anew, and what was half made", () => {
  const operators = [
    sampleOperator("/var", { state: "persistent" }),
    sampleOperator("/cache", { state: "persistent", cache: true }),
    sampleOperator("/new", { state: "persistent", renamedFrom: "old" }),
    sampleOperator("/shared", { state: "shared", renamedFrom: "gone" }),
  ];
  const rules = cloneRules(operators, ["anew"]);
  const names = (...ids: string[]) => ids.map((id) => rules.nameOf(id, (other) => ids.includes(other)));
  assert.equal(names("var", "cache", "anew", ".seed-var", "unknown"), ["var", null, null, null, "unknown"]);
  assert.equal(names("old"), ["new"]);
  assert.equal(names("old", "new"), ["old", "new"], "a store under the new name is not overwritten");
  assert.equal(names("gone"), ["gone"], "only stores of the generation are renamed");
  assert.equal(
    cloneRules(operators, ["new"]).nameOf("old", () => false),
    null,
    "what begins anew does so under its old name too",
  );
});

test("globs count from the store's root, bytes as they are", () => {
  const rules = cloneRules([sampleOperator("/var", { state: "persistent", exclude: ["*.sock", "run/**", "\u00e9"] })], []);
  const excluded = rules.excluded("var");
  assert.ok(excluded);
  assert.equal(
    ["a.sock", "b/a.sock", "run", "run/x/y", "\xc3\xa9", "\xe9"].map((path) => excluded(bytes(path))),
    [...[true, false, false, true, true, false]],
  );
  assert.is(rules.excluded("unknown"), null);
});

test("sizes", () => {
  const rows: [number, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1023.7 * 1024, "1.0 MiB"],
    [9.94 * MiB, "9.9 MiB"],
    [9.96 * MiB, "10 MiB"],
    [1024 * MiB, "1.0 GiB"],
  ];
  for (const [value, text] of rows) assert.is(sizeText(value), text);
});

test("a long clone: done, rate and time left", () => {
  const line = (done: number, files: number, elapsedMs: number, total: { bytes: number; files: number } | null) =>
    progressLine("000001", { bytes: done, files, elapsedMs, total });
  assert.is(
    line(512 * MiB, 500, 4000, { bytes: 1024 * MiB, files: 1000 }),
    "cloning generation 000001: 512 MiB of 1.0 GiB, 128 MiB/s, 4 s left",
  );
  assert.is(
    line(512 * MiB, 100, 4000, { bytes: 1024 * MiB, files: 10_000 }),
    "cloning generation 000001: 512 MiB of 1.0 GiB, 128 MiB/s, 6 min 36 s left",
  );
  assert.is(line(0, 300, 2000, { bytes: 0, files: 900 }), "cloning generation 000001: 300 of 900 files, 4 s left");
  assert.is(
    line(100 * MiB, 0, 2000, { bytes: 400 * MiB, files: 3 }),
    "cloning generation 000001: 100 MiB of 400 MiB, 50 MiB/s, 6 s left",
  );
  assert.is(line(90 * MiB, 10, 3000, null), "cloning generation 000001: 90 MiB, 30 MiB/s, 3 s so far");
  assert.is(line(0, 0, 2000, { bytes: 5 * MiB, files: 5 }), "cloning generation 000001: 0 B of 5.0 MiB, 2 s so far");
  assert.is(
    line(8 * MiB, 9, 2000, { bytes: 5 * MiB, files: 5 }),
    "cloning generation 000001: 8.0 MiB, 4.0 MiB/s, 2 s so far",
    "it grew",
  );
});

const need = (changes: Partial<CloneNeed> = {}): CloneNeed => ({
  ...{ generation: 3, engine: "copy" as const, bytes: 100 * MiB, files: 1000, whole: true },
  ...changes,
});

test("a clone that does not fit names what is missing and what to do", () => {
  const free = { bytes: 50 * MiB, files: 900 };
  assert.is(
    spaceFault(need(), free),
    'its first boot clones generation 000003, which needs 104 MiB, and 50 MiB are free; 1064 inodes, and 900 are free; run "slipway state gc", delete what is not needed (slipway state list shows sizes), or declare it cache: true',
  );
  assert.match(spaceFault(need({ whole: false }), free) ?? "", /needs at least 104 MiB/);
  assert.is(spaceFault(need(), { bytes: 104 * MiB, files: 1064 }), null);
  assert.match(spaceFault(need(), { bytes: 104 * MiB - 1, files: 1064 }) ?? "", /104 MiB, and 104 MiB/);
  assert.match(spaceFault(need(), { bytes: 999 * MiB, files: 1063 }) ?? "", /needs 1064 inodes, and 1063 are free/);
  assert.is(spaceFault(need(), { bytes: 104 * MiB, files: null }), null, "btrfs makes inodes as it needs them");
});

test("the cheaper engines need little", () => {
  const free = { bytes: 6 * MiB, files: 2000 };
  assert.is(spaceFault(need({ engine: "reflink" }), free), null);
  assert.is(spaceFault(need({ engine: "snapshot" }), { bytes: 6 * MiB, files: 64 }), null);
  assert.ok(spaceFault(need({ engine: "reflink", files: 1_000_000 }), { bytes: 900 * MiB, files: null }));
  assert.ok(spaceFault(need({ engine: "snapshot" }), { bytes: 1 * MiB, files: null }));
});

test.run();
