/** slipway image build: the kernel and the initrd that an image brings for itself. */
import { lstatSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { sampleControlText } from "../samples/control-file.ts";
import { bzImage, initrd } from "../samples/kernel-file.ts";
import { Desk } from "../unit/builder-desk.ts";
import { control, labels, makeTree, release, time, unpacked } from "./image-tree.ts";

const desk = new Desk();
const build = suite("image build: kernel");
build.after(() => desk.clear());

const modules = "usr/lib/modules/6.6.0-own";
const ruling = sampleControlText({ system: "acme", kernel: "slot" });

build.before(() => {
  makeTree(desk.path("tree"));
  rmSync(desk.path("tree/usr/lib/modules/6.1.0"), { recursive: true });
  mkdirSync(desk.path(`tree/${modules}`), { recursive: true });
  desk.write("control.json", ruling);
  writeFileSync(desk.path("vmlinuz"), bzImage("6.6.0-own", "#1"));
  writeFileSync(desk.path("initrd"), initrd(ruling));
});

const words = ["image", "build", "--root", "tree", ...labels, "--control", "control.json", "-o", "own.img"];
const both = ["--kernel", "vmlinuz", "--initrd", "initrd"];

build("both go beside the kernel's modules, with a time of the tree's, and the same twice", () => {
  const said = desk.slipway(...words, ...both).error;
  assert.not.match(said, /kexec|kernel: slot/);
  const first = desk.bytes("own.img");
  desk.slipway(...words, ...both);
  assert.is(Buffer.compare(desk.bytes("own.img"), first), 0);
  const place = unpacked(desk, "own.img", "erofs");
  const found = desk.path(place);
  assert.equal(readFileSync(`${found}/${modules}/vmlinuz`), desk.bytes("vmlinuz"));
  assert.equal(readFileSync(`${found}/${modules}/initramfs.img`), desk.bytes("initrd"));
  assert.is(readFileSync(`${found}/${control}`, "utf8"), ruling);
  assert.ok(lstatSync(`${found}/${modules}/vmlinuz`).mtimeMs >= time * 1000);
  release(desk, place);
  assert.is(lstatSync(desk.path(`tree/${modules}/vmlinuz`), { throwIfNoEntry: false }), undefined, "the tree stays as it was");
});

build("what would stand in the way of a start is said", () => {
  const warned = (text: RegExp, ...more: string[]) => assert.match(desk.slipway(...words, ...more).error, text);
  warned(/warning: the control file says kernel: slot, and the image has none; give --kernel/);
  warned(/warning: its own kernel cannot be started by kexec: the image has no .*initramfs\.img/, "--kernel", "vmlinuz");
  writeFileSync(desk.path("other"), initrd(sampleControlText({ system: "acme" })));
  warned(/initramfs\.img says something else of kernel than/, "--kernel", "vmlinuz", "--initrd", "other");
  writeFileSync(desk.path("foreign"), "a compressed one");
  warned(/initramfs\.img: byte 0 has/, "--kernel", "vmlinuz", "--initrd", "foreign");
  writeFileSync(desk.path(`tree/${modules}/vmlinuz`), bzImage("6.6.0-own", "#1"));
  assert.not.match(desk.slipway(...words, "--initrd", "initrd").error, /kexec/, "the tree's own kernel will do");
  mkdirSync(desk.path("tree/usr/lib/modules/6.7.0"));
  writeFileSync(desk.path("tree/usr/lib/modules/6.7.0/vmlinuz"), bzImage("6.7.0", "#1"));
  warned(/the image has several kernels/);
  desk.refused(
    2,
    /--initrd goes with the kernel that it is for, and the tree has several kernels \(6\./,
    ...words,
    "--initrd",
    "initrd",
  );
  rmSync(desk.path("tree/usr/lib/modules/6.7.0"), { recursive: true });
  rmSync(desk.path(`tree/${modules}/vmlinuz`));
});

build("refused: a kernel without modules, an initrd without a kernel, files that are not there, a way through a link", () => {
  writeFileSync(desk.path("stranger"), bzImage("5.0", "#1"));
  desk.refused(
    2,
    /--kernel stranger is the kernel 5\.0, and the tree has modules for 6\.6\.0-own below/,
    ...words,
    "--kernel",
    "stranger",
  );
  desk.refused(2, /--initrd goes with the kernel that it is for, and the tree has no kernel/, ...words, "--initrd", "initrd");
  desk.refused(2, /--kernel nowhere/, ...words, "--kernel", "nowhere");
  // Without a word about itself it is taken for the only one that the tree has modules for.
  writeFileSync(desk.path("silent"), "an Image of some other machine");
  desk.slipway(...words, "--kernel", "silent", "--initrd", "initrd");
  mkdirSync(desk.path("tree/usr/lib/modules/6.7.0"));
  desk.refused(
    2,
    /--kernel silent does not say which kernel it is, and the tree has modules for 6/,
    ...words,
    "--kernel",
    "silent",
  );
  writeFileSync(desk.path("banner"), `${"x".repeat(5000)}Linux version 6.7.0 (a@b) (gcc) #1 SMP\n`);
  desk.slipway(...words, "--kernel", "banner");
  rmSync(desk.path("tree/usr/lib/modules/6.7.0"), { recursive: true });
  rmSync(desk.path(`tree/${modules}`), { recursive: true });
  mkdirSync(desk.path("outside"));
  symlinkSync("../../../../outside", desk.path(`tree/${modules}`));
  desk.refused(2, /the tree has modules for none below usr\/lib\/modules/, ...words, ...both);
});

build.run();
