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
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Operator } from "../../state-ops/control.ts";
import { sampleOperator } from "../samples/operator.ts";
import { MergeWorld, makeImage, prepareRun, readReport, type TestImage } from "./merge-world.ts";
import { cleanUp, filesystems, kernel, program } from "./state-machine.ts";

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

const app = (change: Partial<Operator> = {}) => sampleOperator("/srv/app", change);

/** A generation with a store of /srv/app as the first image seeds it, changed by `edit`. */
function seeded(world: MergeWorld, image: TestImage, edit: (store: string) => void): void {
  world.create(image);
  program("cp", "-a", `${image.root}/srv/app`, world.at(1, "tree/srv-app"));
  edit(world.at(1, "tree/srv-app"));
}

test("a store over the next image: policies, losers aside, hard links are not written through", () => {
  for (const merge of ["local", "image", "fail"] as const) {
    const world = new MergeWorld("ext4");
    try {
      const [v1, v2] = ["v1", "v2"].map((version) =>
        makeImage([app({ merge })], (root) =>
          write(`${root}/srv/app`, { both: version, follows: version, "deep/er/both": version, linked: version }),
        ),
      );
      if (v1 === undefined || v2 === undefined) throw new Error("two images were made");
      seeded(world, v1, (store) => {
        write(store, { both: "here", "deep/er/both": "here", own: "here" });
        linkSync(`${store}/linked`, `${store}/other-name`);
      });
      const before = program("find", world.at(1), "-ls");
      if (merge === "fail") {
        assert.throws(
          () => world.clone(1, v2),
          /state cannot be merged: 2 paths with the rule "fail" changed on both sides, first \/srv\/app\/both/,
        );
        assert.is(readReport().refused, true);
        assert.is(program("find", world.at(1), "-ls"), before);
        assert.equal(readdirSync(`${world.disk.place}/gens`), ["000001"]);
        continue;
      }
      world.clone(1, v2);
      const store = world.at(2, "tree/srv-app");
      assert.is(text(`${store}/both`), merge === "local" ? "here" : "v2");
      assert.is(text(`${store}/deep/er/both`), merge === "local" ? "here" : "v2");
      assert.is(text(`${store}/follows`), "v2");
      assert.is(text(`${store}/own`), "here");
      assert.is(text(`${store}/linked`), "v2");
      assert.is(text(`${store}/other-name`), "v1", "the other name of the file is the device's own");
      const [side, lost] = merge === "local" ? ["image", "v2"] : ["state", "here"];
      assert.is(text(world.at(2, `aside/srv-app/${side}/both`)), lost);
      assert.is(text(world.at(2, `aside/srv-app/${side}/deep/er/both`)), lost);
      assert.equal(
        readReport().stores[0]?.contested.map(({ aside }) => aside),
        [`aside/srv-app/${side}/both`, `aside/srv-app/${side}/deep/er/both`],
      );
      assert.is(mode(world.at(2, "aside")), "700");
      assert.is(program("find", world.at(1), "-ls"), before);
    } finally {
      world.close();
    }
  }
});

test("owners, modes, times and attributes come with what is taken, and stay with what is kept", () => {
  const world = new MergeWorld("ext4");
  try {
    const [v1, v2] = ["v1", "v2"].map((version) =>
      makeImage([app()], (root) => {
        write(`${root}/srv/app`, { taken: version, mine: version, "dir/file": version });
        if (version === "v1") return;
        for (const name of ["taken", "dir"]) {
          kernel.setAttribute(`${root}/srv/app/${name}`, "trusted.mark", Buffer.from("image"));
          chownSync(`${root}/srv/app/${name}`, 12, 34);
        }
        chmodSync(`${root}/srv/app/taken`, 0o4751);
        chmodSync(`${root}/srv/app/dir`, 0o2770);
        utimesSync(`${root}/srv/app/taken`, 1000, 2000);
      }),
    );
    if (v1 === undefined || v2 === undefined) throw new Error("two images were made");
    seeded(world, v1, (store) => {
      chownSync(`${store}/mine`, 7, 8);
      kernel.setAttribute(`${store}/mine`, "user.mark", Buffer.from("here"));
    });
    assert.equal(world.clone(1, v2).notes, []);
    const store = world.at(2, "tree/srv-app");
    const taken = lstatSync(`${store}/taken`);
    assert.equal([taken.uid, taken.gid, mode(`${store}/taken`), taken.mtimeMs], [12, 34, "4751", 2_000_000]);
    assert.is(Buffer.from(kernel.getAttribute(`${store}/taken`, "trusted.mark")).toString(), "image");
    const directory = lstatSync(`${store}/dir`);
    assert.equal([directory.uid, directory.gid, mode(`${store}/dir`)], [12, 34, "2770"]);
    assert.is(Buffer.from(kernel.getAttribute(`${store}/dir`, "trusted.mark")).toString(), "image");
    const mine = lstatSync(`${store}/mine`);
    assert.equal([text(`${store}/mine`), mine.uid, mine.gid], ["v2", 7, 8], "the owner changed here, the content in the image");
    assert.is(Buffer.from(kernel.getAttribute(`${store}/mine`, "user.mark")).toString(), "here");
  } finally {
    world.close();
  }
});

test("the same image again keeps the baseline; a damaged or missing one is told, and nothing is lost", () => {
  const world = new MergeWorld("ext4");
  try {
    const [v1, v2] = ["v1", "v2"].map((version) =>
      makeImage([app(), etc], (root) => {
        write(`${root}/srv/app`, { file: version, other: "same" });
        write(`${root}/etc`, { file: version });
      }),
    );
    if (v1 === undefined || v2 === undefined) throw new Error("two images were made");
    seeded(world, v1, () => {});
    world.withOverlay(1, v1, etc, (place) => chmodSync(`${place}/file`, 0o600));
    assert.equal(world.clone(1, v1).notes, []);
    const baseline = text(world.at(1, "baseline.json"));
    assert.is(text(world.at(2, "baseline.json")), baseline);
    assert.is(mode(world.at(2, "baseline.json")), "600");
    writeFileSync(world.at(1, "baseline.json"), baseline.replace('"mode":420', '"mode":384'));
    const { notes } = world.clone(1, v2);
    assert.match(notes[0] ?? "", /^generation 000001 says nothing of what its image had: its baseline.json is damaged$/);
    assert.is(text(world.at(3, "tree/srv-app/file")), "v1", "what differs is taken for the device's own");
    assert.is(text(world.at(3, "aside/srv-app/image/file")), "v2");
    assert.is(text(world.at(3, "tree/srv-app/other")), "same");
    world.withOverlay(3, v2, etc, (place) => assert.is(text(`${place}/file`), "v1"));
    assert.is(text(world.at(3, "baseline.json")).includes(v2.id), true, "the next merge has a baseline again");
    rmSync(world.at(2, "baseline.json"));
    assert.match(world.clone(2, v1).notes[0] ?? "", /000002 says nothing .* it has no baseline.json that can be read$/);
    symlinkSync("/etc/passwd", world.at(2, "baseline.json"));
    assert.match(world.clone(2, v2).notes[0] ?? "", /it has no baseline.json that can be read$/);
  } finally {
    world.close();
  }
});

test("what belongs to another operator below, is not cloned or is a cache is left alone", () => {
  const world = new MergeWorld("ext4");
  try {
    const inner = sampleOperator("/srv/app/inner");
    const cache = sampleOperator("/srv/cache", { cache: true });
    const outer = app({ exclude: ["tmp/*"] });
    const [v1, v2] = ["v1", "v2"].map((version) =>
      makeImage([outer, ...(version === "v2" ? [inner] : []), cache], (root) => {
        write(`${root}/srv/app`, { "inner/file": version, "tmp/file": version, dropped: version });
        write(`${root}/srv/cache`, { file: version });
        if (version === "v2") rmSync(`${root}/srv/app/dropped`);
      }),
    );
    if (v1 === undefined || v2 === undefined) throw new Error("two images were made");
    seeded(world, v1, (store) => write(store, { "inner/own": "here", "tmp/own": "here" }));
    mkdirSync(world.at(1, "tree/srv-cache"));
    assert.equal(world.clone(1, v2).notes, []);
    const store = world.at(2, "tree/srv-app");
    assert.equal(readdirSync(store).sort(), ["inner", "tmp"]);
    assert.equal(readdirSync(`${store}/inner`).sort(), ["file", "own"]);
    assert.is(text(`${store}/inner/file`), "v1", "below another operator nothing is merged");
    assert.equal(readdirSync(`${store}/tmp`), ["file"]);
    assert.is(text(`${store}/tmp/file`), "v2", "what is not cloned begins with what the image has");
    assert.equal(readdirSync(world.at(2, "tree")), ["srv-app"]);
  } finally {
    world.close();
  }
});

test.run();
