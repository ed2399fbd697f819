/** slipway image build: the control file that goes into an image. */
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { sampleControlText } from "../samples/control-file.ts";
import { Desk } from "../unit/builder-desk.ts";
import { control, labels, makeTree, release, unpacked } from "./image-tree.ts";

const desk = new Desk();
const build = suite("image build: control file");
build.after(() => desk.clear());

build.before(() => {
  makeTree(desk.path("tree"));
  desk.write("control.json", sampleControlText({ system: "acme" }));
  desk.done("keys", "new", "one");
});

build("the control file: one in the tree, the same again, another one in its place, a wrong one", () => {
  cpSync(desk.path("tree"), desk.path("own"), {
    recursive: true,
    preserveTimestamps: true,
    verbatimSymlinks: true,
    filter: notTheFifo,
  });
  mkdirSync(desk.path(`own/${dirname(control)}`), { recursive: true });
  writeFileSync(desk.path(`own/${control}`), desk.text("control.json"));
  const words = ["image", "build", "--root", "own", ...labels, "-o", "own.img"];
  assert.not.match(desk.slipway(...words).error, /control\.json/);
  const same = desk.bytes("own.img");
  assert.not.match(desk.slipway(...words, "--control", "control.json").error, /control\.json/);
  assert.is(Buffer.compare(desk.bytes("own.img"), same), 0);
  desk.write("newer.json", sampleControlText({ system: "acme", deviceTimeout: 31 }));
  assert.match(
    desk.slipway(...words, "--control", "newer.json").error,
    /warning: another usr\/lib\/slipway\/control\.json of the tree is replaced/,
  );
  const found = unpacked(desk, "own.img", "erofs");
  assert.is(readFileSync(join(desk.path(found), control), "utf8"), desk.text("newer.json"));
  release(desk, found);
  assert.is(readFileSync(desk.path(`own/${control}`), "utf8"), desk.text("control.json"));
  writeFileSync(desk.path(`own/${control}`), desk.text("control.json").replace("acme", "acne"));
  desk.refused(2, /the control file usr\/lib\/slipway\/control\.json: control file: digest is/, ...words);
  rmSync(desk.path(`own/${control}`));
  assert.match(desk.slipway(...words).error, /warning: no usr\/lib\/slipway\/control\.json/);
  desk.write("foreign.json", sampleControlText({ system: "other" }));
  desk.refused(2, /is for the system "other", --system says "acme"/, ...words, "--control", "foreign.json");
});

function notTheFifo(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFIFO() === false;
}

build("a definition is compiled against the tree on the way, with keys beside it", () => {
  mkdirSync(desk.path("product"), { recursive: true });
  desk.write("product/release.pub.pem", desk.text("one.pub.pem"));
  const system = `system: acme
slots:
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: { keys: [release.pub.pem] }
`;
  desk.write("product/system.yaml", system);
  desk.write("product/x.yaml", "package: x\noperators:\n  - { path: /var/lib, state: persistent }\n");
  const words = ["--definition", "product/system.yaml", "--fragments", "product/x.yaml"];
  const out = desk.done("image", "build", "--root", "tree", ...labels, ...words, "-o", "defined.img");
  assert.match(out, /^compiled: acme, slots a, 1 operators, sha256:.*\nwrote defined\.img: acme 1\.0, erofs/);
  desk.done(
    "state",
    "compile",
    "--system",
    "product/system.yaml",
    "--root",
    "tree",
    "--fragments",
    "product/x.yaml",
    "-o",
    "wanted.json",
  );
  const found = unpacked(desk, "defined.img", "erofs");
  assert.is(readFileSync(join(desk.path(found), control), "utf8"), desk.text("wanted.json"));
  release(desk, found);
  desk.done("image", "build", "--root", "tree", ...labels, "--control", "wanted.json", "-o", "wanted.img");
  const unsigned = desk.slipway("image", "build", "--root", "tree", ...labels, ...words, "-o", "x.img").error;
  assert.match(unsigned, /warning: machines .* would refuse the image: the seal is not signed, and must be by 1 of 1/);
  const signed = ["--key", "one.pem", "-o", "x.img"];
  assert.not.match(desk.slipway("image", "build", "--root", "tree", ...labels, ...words, ...signed).error, /refuse/);
  assert.not.match(desk.slipway("image", "seal", "x.img", "--reseal", ...labels, "--key", "one.pem").error, /refuse/);
  assert.match(desk.slipway("image", "seal", "x.img", "--reseal", ...labels).error, /refuse the image: the seal is not signed/);
  const floor = system.replace("pem] }", "pem], rollback-floor: 3, kernel-signature: required }");
  desk.write("product/system.yaml", floor);
  const low = desk.slipway("image", "build", "--root", "tree", ...labels, ...words, ...signed, "--rollback-index", "2").error;
  assert.match(low, /refuse the image: the seal has no signature for the kernel/);
  assert.match(low, /refuse the image: its rollback index is 2, and their rollback-floor 3/);
  desk.write("product/system.yaml", system);
  assert.is(Buffer.compare(desk.bytes("wanted.img"), desk.bytes("defined.img")), 0);
  desk.write("product/system.yaml", system.replace("release.pub.pem", "gone.pub.pem"));
  const { code, error } = desk.slipway("image", "build", "--root", "tree", ...labels, ...words, "-o", "never.img");
  assert.is(code, 2);
  assert.match(error, /^product\/system\.yaml:6:17: product\/gone\.pub\.pem cannot be read/m);
  assert.not.ok(existsSync(desk.path("never.img")));
});

build("what is wrong in an archive is told by its own name", () => {
  desk.write("product/system.yaml", "system: acme\n");
  mkdirSync(desk.path("odd/usr/share/slipway/state.d"), { recursive: true });
  writeFileSync(desk.path("odd/usr/share/slipway/state.d/x.yaml"), "package: x\noperators: 3\n");
  desk.host("tar", "--create", "--file", "odd.tar", "--directory", "odd", ".");
  const words = ["--tar", "odd.tar", "--definition", "product/system.yaml"];
  const { code, error } = desk.slipway("image", "build", ...words, ...labels, "-o", "never.img");
  assert.is(code, 2);
  assert.match(error, /^odd\.tar:\/usr\/share\/slipway\/state\.d\/x\.yaml:2:12: "operators" must be/m);
  assert.match(error, /^product\/system\.yaml:1:1: "slots" is missing/m);
});

build("a tree whose way to the control file leads out of it", () => {
  mkdirSync(desk.path("trap/etc"), { recursive: true });
  mkdirSync(desk.path("outside"));
  symlinkSync(desk.path("outside"), desk.path("trap/usr"));
  desk.refused(
    2,
    /\/usr of the tree is no directory/,
    "image",
    "build",
    "--root",
    "trap",
    ...labels,
    "--control",
    "control.json",
    "-o",
    "never.img",
  );
  assert.equal(readdirSync(desk.path("outside")), []);
});

build.run();
