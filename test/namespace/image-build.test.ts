/** slipway image build: what is in the tree is in the image, the same bytes whoever makes it, and versions share blocks. */
import { cpSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { randomNumbers } from "../samples/random.ts";
import { Desk } from "../unit/builder-desk.ts";
import { control, facts, labels, makeTree, release, textOf, time, unpacked } from "./image-tree.ts";

const desk = new Desk();
const kernel = linuxKernel();
const build = suite("image build");
build.after(() => desk.clear());

build.before(() => {
  makeTree(desk.path("tree"));
  desk.write("control.json", sampleControlText({ system: "acme" }));
  desk.done("keys", "new", "one");
});

/** The tree has no program of a machine. */
const missing = /no \/usr\/bin\/slipway|which machine the image is for/;

for (const type of ["erofs", "squashfs"] as const) {
  build(`${type}: everything in the tree is in the image, and the control file; the tree is as it was`, () => {
    const before = facts(desk.path("tree"));
    const words = ["--filesystem", type, "--control", "control.json", "--key", "one.pem"];
    const { code, error } = desk.slipway("image", "build", "--root", "tree", ...labels, ...words, "-o", `${type}.img`);
    assert.is(code, 0, error);
    assert.equal(
      error.split("\n").filter((line) => line !== "" && !missing.test(line)),
      [],
    );
    assert.equal(facts(desk.path("tree")), before);
    desk.done("image", "verify", "--trust", "one.pub.pem", `${type}.img`);
    const found = unpacked(desk, `${type}.img`, type);
    try {
      const inside = facts(desk.path(found));
      assert.is(readFileSync(join(desk.path(found), control), "utf8"), desk.text("control.json"));
      const added = [...inside.keys()].filter((path) => !before.has(path));
      assert.equal(added, [dirname(control), control]);
      for (const path of added) {
        assert.is(kernel.statusAt(join(desk.path(found), path)).modified, BigInt(time) * 10n ** 9n, path);
        inside.delete(path);
      }
      for (const [path, fact] of before) assert.equal(inside.get(path), fact, path);
    } finally {
      release(desk, found);
    }
  });
}

build(
  "the same bytes: made later, from a copy, from directories in another order, from an archive, with any time zone",
  async () => {
    const image = (name: string, ...words: string[]) => {
      desk.done("image", "build", ...words, ...labels, "--control", "control.json", "-o", name);
      return desk.bytes(name);
    };
    for (const type of ["erofs", "squashfs"]) {
      const wanted = image("first.img", "--root", "tree", "--filesystem", type);
      await Bun.sleep(1100);
      assert.is(Buffer.compare(image("later.img", "--root", "tree", "--filesystem", type), wanted), 0, `${type}, later`);
      rmSync(desk.path("other"), { recursive: true, force: true });
      makeTree(desk.path("other"), "backward");
      assert.is(Buffer.compare(image("other.img", "--root", "other", "--filesystem", type), wanted), 0, `${type}, other order`);
      // --sparse: squashfs notes what was a hole
      const attributes = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse"];
      desk.host("tar", "--create", ...attributes, "--file", "tree.tar", "--directory", "tree", ".");
      assert.is(Buffer.compare(image("tar.img", "--tar", "tree.tar", "--filesystem", type), wanted), 0, `${type}, archive`);
      desk.host("zstd", "-q", "-f", "tree.tar");
      assert.is(
        Buffer.compare(image("tar.img", "--tar", "tree.tar.zst", "--filesystem", type), wanted),
        0,
        `${type}, compressed`,
      );
      const words = [
        "image",
        "build",
        "--root",
        "tree",
        "--filesystem",
        type,
        ...labels,
        "--control",
        "control.json",
        "-o",
        "zone.img",
      ];
      assert.is(desk.slipwayWith({ TZ: "Asia/Tokyo", LANG: "C" }, ...words).code, 0);
      assert.is(Buffer.compare(desk.bytes("zone.img"), wanted), 0, `${type}, time zone`);
    }
  },
);

build("an archive that names no directories: the same image each time", async () => {
  desk.host("tar", "--create", "--file", "bare.tar", "--directory", "tree", "usr/lib/os-release", "etc/passwd");
  desk.host("tar", "--append", "--file", "bare.tar", "--directory", "tree", "var/lib/hole", "usr/lib/file-59");
  const words = ["image", "build", "--tar", "bare.tar", ...labels, "-o"];
  desk.done(...words, "x.img");
  await Bun.sleep(1100);
  desk.done(...words, "y.img");
  assert.is(Buffer.compare(desk.bytes("x.img"), desk.bytes("y.img")), 0);
});

build("SOURCE_DATE_EPOCH: what is younger becomes that, what is older stays", () => {
  for (const type of ["erofs", "squashfs"] as const) {
    const words = ["image", "build", "--root", "tree", "--filesystem", type, ...labels, "-o", "epoch.img"];
    assert.is(desk.slipwayWith({ SOURCE_DATE_EPOCH: String(time - 500) }, ...words).code, 0);
    const found = unpacked(desk, "epoch.img", type);
    try {
      const modified = (path: string) => kernel.statusAt(join(desk.path(found), path)).modified / 10n ** 9n;
      assert.is(modified("usr/lib/file-9"), BigInt(time - 500), type);
      assert.is(modified("usr"), BigInt(time - 500), type);
      assert.is(modified("usr/lib/file-10"), BigInt(time - 1000), type);
    } finally {
      release(desk, found);
    }
    const { code, error } = desk.slipwayWith({ SOURCE_DATE_EPOCH: "yesterday" }, ...words);
    assert.is(code, 2);
    assert.match(error, /SOURCE_DATE_EPOCH is "yesterday"/);
  }
});

/** Which share of the blocks of `later` are not in `earlier`. */
function missingShare(earlier: string, later: string): number {
  const blocks = (name: string) => {
    const bytes = desk.bytes(name);
    return Array.from({ length: bytes.length / 4096 }, (_, index) => Bun.hash(bytes.subarray(index * 4096, (index + 1) * 4096)));
  };
  const held = new Set(blocks(earlier));
  const wanted = blocks(later);
  return wanted.filter((block) => !held.has(block)).length / wanted.length;
}

build("two versions that differ in a few files share most of their blocks", () => {
  const text = textOf(randomNumbers(4));
  mkdirSync(desk.path("v1/usr/lib"), { recursive: true });
  for (let index = 0; index < 300; index++) writeFileSync(desk.path(`v1/usr/lib/part-${index}`), text(200 + index * 8));
  for (const path of ["usr/lib", "usr", ""]) utimesSync(desk.path(`v1/${path}`), time, time);
  cpSync(desk.path("v1"), desk.path("v2"), { recursive: true, preserveTimestamps: true });
  writeFileSync(desk.path("v2/usr/lib/part-100"), text(1000));
  writeFileSync(desk.path("v2/usr/lib/part-200"), text(1900));
  writeFileSync(desk.path("v2/usr/lib/part-99-added"), text(500));
  const missing = (...words: string[]) => {
    for (const version of ["v1", "v2"]) {
      const label = ["--system", "acme", "--version", version];
      desk.done("image", "build", "--root", version, ...label, ...words, "-o", `${version}.img`);
    }
    return missingShare("v1.img", "v2.img");
  };
  // Three of 301 files, their leaves in the tree, and what says where files lie.
  for (const words of [[], ["--compression", "lz4hc"], ["--compression", "none"]]) {
    const share = missing(...words);
    assert.ok(share < 0.1, `${words.join(" ")}: ${(share * 100).toFixed(1)} %`);
  }
});

build.run();
