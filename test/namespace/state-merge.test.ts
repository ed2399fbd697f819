/** Overlays and stores over a new image: what programs see afterwards. */
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
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
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { sampleOperator } from "../samples/operator.ts";
import { MergeWorld, makeImage, prepareRun, readReport } from "./merge-world.ts";
import { cleanUp, filesystems, program } from "./state-machine.ts";

test.before(prepareRun);
test.after(cleanUp);

const etc = sampleOperator("/etc", { via: "overlay" });

function write(root: string, files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    writeFileSync(`${root}/${path}`, text);
  }
}

const text = (path: string) => readFileSync(path, "utf8");
const mode = (path: string) => (lstatSync(path).mode & 0o7777).toString(8);

/** What the two images ship below /etc, by path below it. */
function first(root: string): void {
  write(`${root}/etc`, {
    untouched: "v1",
    edited: "v1",
    contested: "v1",
    chmodded: "v1",
    deleted: "v1",
    "deleted-changed": "v1",
    dropped: "v1",
    "dropped-edited": "v1",
    same: "v1",
    "dir/a": "v1",
    "dir/b": "v1",
    "renamed/file": "v1",
    "becomes-dir": "v1",
    "was-dir/inner": "v1",
  });
  symlinkSync("v1", `${root}/etc/link`);
}

function second(root: string): void {
  write(`${root}/etc`, {
    untouched: "v2",
    edited: "v1",
    contested: "v2",
    chmodded: "v2 and longer",
    deleted: "v1",
    "deleted-changed": "v2",
    same: "both",
    "dir/a": "v2",
    "dir/b": "v1",
    "dir/new": "v2",
    "renamed/file": "v1",
    "becomes-dir/inner": "v2",
    "was-dir": "v2",
    fresh: "v2",
    "made/by-image": "v2",
  });
  symlinkSync("v2", `${root}/etc/link`);
}

/** What somebody does in the running system. */
function edit(place: string): void {
  writeFileSync(`${place}/edited`, "here");
  writeFileSync(`${place}/contested`, "here");
  chmodSync(`${place}/chmodded`, 0o600);
  rmSync(`${place}/deleted`);
  rmSync(`${place}/deleted-changed`);
  writeFileSync(`${place}/dropped-edited`, "here");
  writeFileSync(`${place}/same`, "both");
  writeFileSync(`${place}/dir/own`, "here");
  mkdirSync(`${place}/made`);
  writeFileSync(`${place}/made/here`, "here");
  assert.throws(() => renameSync(`${place}/renamed`, `${place}/moved`), /EXDEV/, "the kernel renames no directory of the lower");
  program("mv", `${place}/renamed`, `${place}/moved`);
  symlinkSync("/nowhere", `${place}/own-link`);
  chmodSync(`${place}/dir`, 0o750);
}

for (const type of filesystems) {
  test(`${type}: an overlay over the next image shows what the table of the merge says`, () => {
    const world = new MergeWorld(type);
    try {
      const [v1, v2] = [makeImage([etc], first), makeImage([etc], second)];
      assert.equal(world.create(v1).notes, []);
      world.withOverlay(1, v1, etc, edit);
      const { notes } = world.clone(1, v2);
      world.withOverlay(2, v2, etc, (place) => {
        const seen = (path: string) => text(`${place}/${path}`);
        assert.is(seen("untouched"), "v2");
        assert.is(seen("edited"), "here");
        assert.is(seen("contested"), "here");
        assert.is(seen("chmodded"), "v2 and longer", "a chmod does not freeze a content");
        assert.is(mode(`${place}/chmodded`), "600");
        assert.not(existsSync(`${place}/deleted`));
        assert.not(existsSync(`${place}/deleted-changed`));
        assert.not(existsSync(`${place}/dropped`));
        assert.is(seen("dropped-edited"), "here");
        assert.is(seen("same"), "both");
        assert.is(seen("dir/a"), "v2");
        assert.is(seen("dir/new"), "v2");
        assert.is(seen("dir/own"), "here");
        assert.is(mode(`${place}/dir`), "750");
        assert.is(seen("made/here"), "here");
        assert.is(seen("made/by-image"), "v2", "a directory made here does not hide the image's new one");
        assert.not(existsSync(`${place}/renamed`));
        assert.is(seen("moved/file"), "v1");
        assert.is(seen("becomes-dir/inner"), "v2");
        assert.is(seen("was-dir"), "v2");
        assert.is(seen("fresh"), "v2");
        assert.is(readlinkSync(`${place}/link`), "v2");
        assert.is(readlinkSync(`${place}/own-link`), "/nowhere");
      });
      assert.equal(readdirSync(world.at(2, "aside/etc/image")), ["contested"]);
      assert.is(text(world.at(2, "aside/etc/image/contested")), "v2");
      assert.not(existsSync(world.at(2, "ovl/etc/upper/same")), "what equals the image's is not kept");
      assert.match(notes.join(), /^state was merged: 3 paths differ on both sides, first \/etc\/contested/);
      const report = readReport();
      assert.equal([report.from, report.to, report.imageId, report.refused], ["000001", "000002", v2.id, false]);
      assert.equal(
        report.stores[0]?.contested.map(({ path }) => path),
        ["/etc/contested", "/etc/deleted-changed", "/etc/dropped-edited"],
      );
      world.withOverlay(1, v1, etc, (place) => {
        assert.is(text(`${place}/contested`), "here", "the parent is as it was");
        assert.is(text(`${place}/untouched`), "v1");
        assert.is(text(`${place}/same`), "both");
      });
      assert.equal(world.clone(2, v1).notes.length, 1);
      world.withOverlay(3, v1, etc, (place) => {
        assert.is(text(`${place}/untouched`), "v1", "and back to the first image");
        assert.is(text(`${place}/chmodded`), "v1");
        assert.is(mode(`${place}/chmodded`), "600");
        assert.not(existsSync(`${place}/fresh`));
        assert.is(text(`${place}/contested`), "here");
      });
    } finally {
      world.close();
    }
  });
}

test.run();
void [chownSync, linkSync];
