/** Stores that nobody would have made in good faith: nothing outside the new generation is written, and no merge hangs. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { formatComplete, GENERATION } from "../../state-ops/layout.ts";
import { formatBaseline, parseBaseline } from "../../state-ops/merge/baseline.ts";
import { sampleOperator } from "../samples/operator.ts";
import { MergeWorld, makeImage, prepareRun, type TestImage } from "./merge-world.ts";
import { cleanUp, failingKernel, filesystems, kernel, look, PowerCut, program, scratch } from "./state-machine.ts";

test.before(prepareRun);
test.after(cleanUp);

const app = sampleOperator("/srv/app", { merge: "image" });
const etc = sampleOperator("/etc", { via: "overlay", merge: "image" });
const outside = `${scratch}/outside`;

const files = ["plain", "link-to-outside", "fifo", "device", "directory", "dir/inner", "dir/deep/er", "becomes/link", "gone/x"];

function makeImages(): [TestImage, TestImage] {
  const make = (version: string) =>
    makeImage([app, etc], (root) => {
      for (const path of files) {
        if (version === "v2" && path.startsWith("gone/")) continue;
        for (const place of [`${root}/srv/app/${path}`, `${root}/etc/${path}`]) {
          mkdirSync(dirname(place), { recursive: true });
          writeFileSync(place, `${version} of ${path}`);
        }
      }
    });
  return [make("v1"), make("v2")];
}

/** What an attacker leaves in a store or upper layer. */
function attack(place: string): void {
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  symlinkSync(`${outside}/victim`, `${place}/link-to-outside`);
  symlinkSync("/etc/passwd", `${place}/plain`);
  program("mkfifo", `${place}/fifo`);
  kernel.makeNode(`${place}/device`, "block", 0o666, { major: 7, minor: 200 });
  mkdirSync(`${place}/directory/with/more`, { recursive: true });
  writeFileSync(`${place}/directory/with/more/file`, "hidden");
  symlinkSync(outside, `${place}/dir`);
  symlinkSync(outside, `${place}/becomes`);
  symlinkSync("gone", `${place}/gone`);
  for (const name of [Buffer.from([0xff, 0xfe, 0x0a]), Buffer.from("line\nbreak\x1b[2J"), Buffer.from("n".repeat(255))]) {
    kernel.makeNode(Buffer.concat([Buffer.from(`${place}/`), name]), "file", 0o4777, { major: 0, minor: 0 });
  }
  let deep = place;
  for (let level = 0; level < 60; level++) deep += "/d";
  mkdirSync(deep, { recursive: true });
  writeFileSync(`${place}/.slipway-merge-0`, "in the way");
}

function prepareOutside(): string {
  rmSync(outside, { recursive: true, force: true });
  for (const path of ["victim", "inner", "deep/er", "link"]) {
    mkdirSync(dirname(`${outside}/${path}`), { recursive: true });
    writeFileSync(`${outside}/${path}`, "of somebody else");
  }
  return program("find", outside, "-ls");
}

for (const type of filesystems) {
  test(`${type}: links, fifos, devices and odd names lead nowhere`, () => {
    const world = new MergeWorld(type);
    try {
      const [v1, v2] = makeImages();
      const before = prepareOutside();
      world.create(v1);
      mkdirSync(world.at(1, "ovl/etc"));
      attack(world.at(1, "tree/srv-app"));
      attack(world.at(1, "ovl/etc/upper"));
      const images = [v1, v2].map(({ root }) => program("find", root, "-ls"));
      const parent = JSON.stringify(look(world.disk.data, "gens/000001"), (_, value) =>
        typeof value === "bigint" ? `${value}` : value,
      );
      world.clone(1, v2);
      assert.is(program("find", outside, "-ls"), before);
      assert.equal(
        [v1, v2].map(({ root }) => program("find", root, "-ls")),
        images,
      );
      const after = JSON.stringify(look(world.disk.data, "gens/000001"), (_, value) =>
        typeof value === "bigint" ? `${value}` : value,
      );
      assert.is(after.replaceAll(/"accessed":"\d+"/g, ""), parent.replaceAll(/"accessed":"\d+"/g, ""));
      const store = world.at(2, "tree/srv-app");
      for (const path of files.filter((file) => !file.startsWith("gone/"))) {
        assert.is(readFileSync(`${store}/${path}`, "utf8"), `v2 of ${path}`, path);
      }
      assert.is(readFileSync(`${store}/.slipway-merge-0`, "utf8"), "in the way");
      assert.is(readFileSync(world.at(2, "aside/srv-app/state/directory/with/more/file"), "utf8"), "hidden");
      assert.ok(existsSync(`${store}/${"d/".repeat(60)}`));
      world.withOverlay(2, v2, etc, (place) => {
        for (const path of files.filter((file) => !file.startsWith("gone/"))) {
          assert.is(readFileSync(`${place}/${path}`, "utf8"), `v2 of ${path}`, path);
        }
      });
    } finally {
      world.close();
    }
  });
}

test("a file of 8 EiB of holes costs nothing, also where a forged baseline says that the image had one", () => {
  const world = new MergeWorld("xfs");
  try {
    const [v1, v2] = makeImages();
    world.create(v1);
    mkdirSync(world.at(1, "tree/srv-app"));
    const huge = Number.MAX_SAFE_INTEGER;
    for (const name of ["plain", "fifo"]) {
      writeFileSync(world.at(1, `tree/srv-app/${name}`), "");
      truncateSync(world.at(1, `tree/srv-app/${name}`), name === "fifo" ? huge : 2 ** 52);
    }
    const baseline = parseBaseline(readFileSync(world.at(1, "baseline.json"), "utf8"));
    const forged = formatBaseline({
      schema: 1,
      stores: baseline.stores.map((store) => ({
        ...store,
        entries: new Map([...store.entries].map(([path, entry]) => [path, path === "fifo" ? { ...entry, size: huge } : entry])),
      })),
    });
    const meta = readFileSync(world.at(1, "meta.json"), "utf8");
    writeFileSync(world.at(1, "baseline.json"), forged);
    writeFileSync(world.at(1, "COMPLETE"), formatComplete({ [GENERATION.meta]: meta, [GENERATION.baseline]: forged }));
    const begin = performance.now();
    world.clone(1, v2);
    assert.ok(performance.now() - begin < 10_000);
    assert.is(readFileSync(world.at(2, "tree/srv-app/fifo"), "utf8"), "v2 of fifo");
  } finally {
    world.close();
  }
});

test("an operator whose place in the image or whose store is something else is left alone", () => {
  const world = new MergeWorld("ext4");
  try {
    const [v1] = makeImages();
    const odd = makeImage([etc], (root) => {
      mkdirSync(`${root}/srv`);
      symlinkSync("/tmp", `${root}/srv/app`);
    });
    const v2 = { ...odd, operators: [app, etc] };
    world.create(v1);
    mkdirSync(world.at(1, "tree/srv-app"));
    writeFileSync(world.at(1, "tree/srv-app/plain"), "v1 of plain");
    mkdirSync(world.at(1, "ovl/etc"));
    symlinkSync(outside, world.at(1, "ovl/etc/upper"));
    prepareOutside();
    world.clone(1, v2);
    assert.equal(readdirSync(world.at(2, "tree/srv-app")), ["plain"]);
    assert.ok(
      parseBaseline(readFileSync(world.at(2, "baseline.json"), "utf8")).stores.some(
        ({ id, over }) => id === "srv-app" && over === v1.id,
      ),
    );
  } finally {
    world.close();
  }
});

test("a power cut at any effect of a merge leaves the parent as it was, and no half-merged generation", () => {
  const world = new MergeWorld("ext4");
  try {
    const [v1, v2] = makeImages();
    world.create(v1);
    program("cp", "-a", `${v1.root}/srv/app`, world.at(1, "tree/srv-app"));
    writeFileSync(world.at(1, "tree/srv-app/plain"), "here");
    world.withOverlay(1, v1, etc, (place) => {
      writeFileSync(`${place}/plain`, "here");
      chmodSync(`${place}/dir/inner`, 0o600);
      rmSync(`${place}/directory`);
    });
    const parent = program("find", world.at(1), "-not", "-path", "*/work*", "-ls");
    let points = 0;
    for (let cut = true; cut; points += 7) {
      const failing = failingKernel(points);
      cut = false;
      const number = world.clones() + 1;
      try {
        world.clone(1, v2, failing.kernel);
      } catch (error) {
        if (!(error instanceof PowerCut)) throw error;
        cut = true;
      }
      assert.is(program("find", world.at(1), "-not", "-path", "*/work*", "-ls"), parent, `cut after ${points} effects`);
      const made = existsSync(world.at(number));
      if (!made) continue;
      assert.is(readFileSync(world.at(number, "tree/srv-app/plain"), "utf8"), "v2 of plain", `cut after ${points} effects`);
      assert.is(readFileSync(world.at(number, "aside/srv-app/state/plain"), "utf8"), "here");
    }
    assert.ok(points > 100, `only ${points} effects`);
  } finally {
    world.close();
  }
});

test.run();
