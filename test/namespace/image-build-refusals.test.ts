/** slipway image build: what a boot would miss is said, and what cannot be made is refused and leaves nothing. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { sampleControlText } from "../samples/control-file.ts";
import { Desk } from "../unit/builder-desk.ts";
import { labels, makeTree } from "./image-tree.ts";

const desk = new Desk();
const build = suite("image build: refusals");
build.after(() => desk.clear());

build.before(() => {
  makeTree(desk.path("tree"));
  desk.write("control.json", sampleControlText({ system: "acme" }));
  desk.done("keys", "new", "one");
});

build("what a boot would miss is said, a line each", () => {
  mkdirSync(desk.path("empty/usr"), { recursive: true });
  writeFileSync(desk.path("empty/usr/content"), randomBytes(50_000));
  const { code, error } = desk.slipway("image", "build", "--root", "empty", ...labels, "-o", "empty.img");
  assert.is(code, 0);
  const told = [
    "control.json",
    "init at",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "os-release",
    "/etc/machine-id",
    "kernel modules",
    "/usr/bin/slipway",
  ];
  assert.equal(
    told.filter((what) => !new RegExp(`^slipway: warning: no .*${what}`, "m").test(error)),
    [],
  );
  mkdirSync(desk.path("empty/usr/lib/systemd"), { recursive: true });
  writeFileSync(desk.path("empty/usr/lib/systemd/systemd"), "x");
  chmodSync(desk.path("empty/usr/lib/systemd/systemd"), 0o755);
  mkdirSync(desk.path("empty/sbin"));
  symlinkSync("/usr/lib/systemd/systemd", desk.path("empty/sbin/init"));
  mkdirSync(desk.path("empty/usr/bin"));
  writeFileSync(desk.path("empty/usr/bin/slipway"), "launcher");
  chmodSync(desk.path("empty/usr/bin/slipway"), 0o755);
  const again = desk.slipway("image", "build", "--root", "empty", ...labels, "-o", "empty.img").error;
  assert.match(again, /no \/usr\/lib\/slipway\/runtime\.squashfs, which/);
  mkdirSync(desk.path("empty/usr/lib/slipway"));
  writeFileSync(desk.path("empty/usr/lib/slipway/runtime.squashfs"), "x");
  const whole = desk.slipway("image", "build", "--root", "empty", ...labels, "-o", "empty.img").error;
  assert.not.match(whole, /runtime\.squashfs|bin\/slipway/);
  assert.match(again, /no \/usr\/lib\/systemd\/system\/slipway-commit\.service/);
  assert.not.match(again, /no init/);
});

build("a tree with something mounted in it", () => {
  mkdirSync(desk.path("busy/proc"), { recursive: true });
  desk.host("mount", "-t", "tmpfs", "none", "busy/proc");
  try {
    desk.refused(
      2,
      /--root busy: something is mounted at busy\/proc\/?; unmount it first/,
      "image",
      "build",
      "--root",
      "busy",
      ...labels,
      "-o",
      "never.img",
    );
  } finally {
    desk.host("umount", "busy/proc");
  }
});

const refused: [string, string[], RegExp][] = [
  ["no tree", [], /give the tree with either --root TREE or --tar FILE/],
  ["both", ["--root", "tree", "--tar", "tree.tar"], /give the tree with either/],
  ["a tree that is none", ["--root", "control.json"], /--root control\.json is no directory/],
  ["no archive", ["--tar", "gone.tar"], /--tar gone\.tar cannot be read/],
  ["another filesystem", ["--root", "tree", "--filesystem", "ext4"], /--filesystem "ext4": erofs and squashfs are made here/],
  [
    "a compression of the other",
    ["--root", "tree", "--compression", "zstd"],
    /--compression "zstd" is none of erofs's, which are lz4, lz4hc, none/,
  ],
  ["fragments alone", ["--root", "tree", "--fragments", "x"], /--fragments and --previous go with --definition/],
  [
    "definition and control",
    ["--root", "tree", "--definition", "s", "--control", "c"],
    /give either --definition, to compile, or --control/,
  ],
];

for (const [name, words, message] of refused) {
  build(`refused: ${name}`, () => {
    const before = readdirSync(desk.place);
    desk.refused(2, message, "image", "build", ...words, ...labels, "-o", "never.img");
    assert.equal(readdirSync(desk.place), before);
  });
}

build("an output in the tree, none, and an archive that is damaged: nothing is left behind", () => {
  const before = readdirSync(desk.place);
  desk.refused(2, /lies in the tree/, "image", "build", "--root", "tree", ...labels, "-o", "tree/x.img");
  desk.refused(2, /--output \(-o\) is missing/, "image", "build", "--root", "tree", ...labels);
  desk.refused(
    1,
    /cannot write .*never\.img: tar .* ended with 2/,
    "image",
    "build",
    "--tar",
    "control.json",
    ...labels,
    "-o",
    "never.img",
  );
  assert.equal(readdirSync(desk.place), before);
});

build.run();
