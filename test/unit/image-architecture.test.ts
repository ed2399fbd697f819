/** Which machine an image is for: read from its programs, said in its seal, and refused by another machine. */
import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ARCHITECTURE, architectures } from "../../boot/architecture.ts";
import { abilitiesOn } from "../../boot/image/judge-seal.ts";
import { neededArchitecture, needsOf, unmetNeed } from "../../boot/image/seal.ts";
import type { Inspection } from "../../init/builder/image/inspect.ts";
import { settleArchitecture, treePrograms } from "../../init/builder/image/tree-machine.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { elfProgram } from "../samples/elf-program.ts";
import { Desk } from "./builder-desk.ts";

const desk = new Desk();
const image = suite("image architecture");
image.after(() => desk.clear());

const [x86, arm] = [ARCHITECTURE["x86-64"].elfMachine, ARCHITECTURE.arm64.elfMachine];
const labels = ["--system", "acme", "--version", "1"];

function put(path: string, content: number | string): void {
  mkdirSync(dirname(desk.path(path)), { recursive: true });
  writeFileSync(desk.path(path), typeof content === "string" ? content : elfProgram({ machine: content }));
  chmodSync(desk.path(path), 0o755);
}

/** A tree as distributions have it: /sbin/init is a link into the merged /usr. */
function tree(name: string, machine: number): void {
  put(`${name}/usr/lib/systemd/systemd`, machine);
  mkdirSync(desk.path(`${name}/usr/sbin`));
  symlinkSync("../lib/systemd/systemd", desk.path(`${name}/usr/sbin/init`));
  for (const link of ["sbin", "lib", "bin"]) symlinkSync(`usr/${link}`, desk.path(`${name}/${link}`));
  put(`${name}/usr/lib/slipway/control.json`, sampleControlText({ system: "acme" }));
}

image.before(() => {
  tree("arm", arm);
  tree("x86", x86);
  tree("mixed", arm);
  put("mixed/usr/bin/slipway", x86);
  put("scripted/usr/bin/busybox", arm);
  put("scripted/sbin/init", "#!/usr/bin/busybox sh\n");
  tree("other", 243);
  put("none/usr/lib/slipway/control.json", sampleControlText({ system: "acme" }));
  for (const name of ["arm", "x86", "mixed", "none"]) desk.write(`${name}/filler`, randomBytes(20_000)); // images have a least size
  put("tricky/usr/lib/slipway/control.json", sampleControlText({ system: "acme" }));
  mkdirSync(desk.path("tricky/sbin"));
  symlinkSync("/bin/ls", desk.path("tricky/sbin/init")); // the builder's own, were links followed out of the tree
});

const features = (file: string): string[] => {
  const found: Inspection = JSON.parse(desk.done("image", "inspect", "--json", file));
  return found.needs.features;
};

image("the programs of a tree are those that a boot starts, scripts by their interpreter, links inside the tree only", () => {
  const programs = (name: string) =>
    treePrograms(linuxKernel(), desk.path(name)).map(({ path, machine }) => `${path} ${machine}`);
  assert.ok(programs("arm").includes(`/sbin/init ${arm}`));
  assert.equal(programs("scripted"), [`/usr/bin/busybox ${arm}`]);
  assert.equal(programs("none"), []);
  assert.equal(programs("tricky"), []);
});

image("one architecture is settled on; programs that do not run on it are refused with both names", () => {
  const [slipway, init, narrow, strange] = [
    { path: "/usr/bin/slipway", machine: x86 },
    { path: "/sbin/init", machine: arm },
    { path: "/sbin/init", machine: ARCHITECTURE["x86-64"].elfMachine32 },
    { path: "/sbin/init", machine: 243 },
  ];
  assert.is(settleArchitecture(null, []), null);
  assert.is(settleArchitecture("arm64", []), "arm64");
  assert.is(settleArchitecture(null, [slipway, narrow]), "x86-64");
  assert.is(settleArchitecture(null, [narrow]), null, "32-bit programs alone do not tell the kernel");
  assert.is(settleArchitecture("x86-64", [narrow]), "x86-64");
  assert.is(settleArchitecture(null, [strange]), null);
  const refuses = (work: () => unknown, words: RegExp) =>
    assert.throws(work, (error: unknown) => error instanceof BadInput && words.test(error.message));
  refuses(
    () => settleArchitecture(null, [slipway, init]),
    /\/sbin\/init of the image is for arm64, and \/usr\/bin\/slipway for x86-64/,
  );
  refuses(() => settleArchitecture("arm64", [slipway]), /\/usr\/bin\/slipway of the image is for x86-64, and --arch says arm64/);
  refuses(() => settleArchitecture("x86-64", [strange]), /is for riscv, and --arch says x86-64/);
});

image("image build names the machine of its tree in the seal", () => {
  desk.done("image", "build", "--root", "arm", ...labels, "-o", "arm.img");
  desk.done("image", "build", "--root", "arm", "--arch", "arm64", "--filesystem", "squashfs", ...labels, "-o", "arm.squashfs");
  desk.done("image", "build", "--root", "x86", ...labels, "-o", "x86.img");
  assert.equal([features("arm.img"), features("arm.squashfs"), features("x86.img")], [["arm64"], ["arm64"], ["x86-64"]]);
  desk.refused(
    2,
    /is for arm64, and --arch says x86-64/,
    "image",
    "build",
    "--root",
    "arm",
    "--arch",
    "x86-64",
    ...labels,
    "-o",
    "n",
  );
  desk.refused(2, /for arm64, and \/usr\/bin\/slipway for x86-64/, "image", "build", "--root", "mixed", ...labels, "-o", "n");
  desk.refused(
    2,
    /--arch is x86-64 or arm64, got "aarch64"/,
    "image",
    "build",
    "--root",
    "arm",
    "--arch",
    "aarch64",
    ...labels,
    "-o",
    "n",
  );
});

for (const type of ["erofs", "squashfs", "ext4"]) {
  image(`image seal reads it out of ${type}`, () => {
    if (type === "erofs") desk.host("mkfs.erofs", "--quiet", "fs.erofs", "arm");
    else if (type === "squashfs") desk.host("mksquashfs", "arm", "fs.squashfs", "-quiet", "-no-progress");
    else {
      writeFileSync(desk.path("fs.ext4"), "");
      truncateSync(desk.path("fs.ext4"), 8 * 1024 * 1024);
      desk.host("mkfs.ext4", "-q", "-d", "arm", "fs.ext4");
    }
    desk.done("image", "seal", `fs.${type}`, ...labels, "-o", `${type}.img`);
    assert.equal(features(`${type}.img`), ["arm64"]);
    desk.refused(2, /--arch says x86-64/, "image", "seal", `fs.${type}`, ...labels, "--arch", "x86-64", "-o", "n");
  });
}

image("an image that does not tell is sealed as it is told, or says nothing, which is a warning", () => {
  desk.host("mkfs.erofs", "--quiet", "fs.none", "none");
  desk.done("image", "seal", "fs.none", ...labels, "--arch", "arm64", "-o", "told.img");
  assert.equal(features("told.img"), ["arm64"]);
  assert.match(
    desk.slipway("image", "seal", "fs.none", ...labels, "-o", "silent.img").error,
    /nothing says which machine the image is for/,
  );
  assert.equal(features("silent.img"), []);
});

image("a machine refuses what another's programs are for, and takes seals that name none, as older ones do", () => {
  for (const architecture of architectures) {
    const other = architecture === "arm64" ? "x86-64" : "arm64";
    assert.is(unmetNeed(needsOf(architecture), abilitiesOn(architecture)), null);
    assert.is(unmetNeed(needsOf(null), abilitiesOn(architecture)), null);
    assert.is(
      unmetNeed(needsOf(other), abilitiesOn(architecture)),
      `its programs are for ${other}, and this machine is ${architecture}; take the image for ${architecture}`,
    );
    assert.is(neededArchitecture(needsOf(architecture)), architecture);
  }
  assert.match(
    unmetNeed(needsOf("arm64"), { controlFormat: 1, features: [] }) ?? "",
    /needs the feature arm64, which this initrd has not/,
  );
  const needy = { controlFormat: 1, features: ["arm64", "teleport"] };
  assert.match(unmetNeed(needy, abilitiesOn("arm64")) ?? "", /needs the feature teleport/);
});

image("a disk is for one machine", () => {
  const define = (slots: string) =>
    desk.write(
      "system.yaml",
      new TextEncoder().encode(
        `system: acme\nslots: ${slots}\nboot-record: { store: record, device: PARTLABEL=record }\ntrust: unsigned\n`,
      ),
    );
  define("{ a: { device: PARTLABEL=root-a }, b: { device: PARTLABEL=root-b } }");
  const words = ["disk", "build", "--system", "system.yaml", "--size", "64M"];
  desk.done(...words, "--slot", "a=arm.img", "--slot", "b=silent.img", "--arch", "arm64", "-o", "disk");
  desk.done(...words, "--slot", "a=arm.img", "--slot", "b=arm.squashfs", "-o", "disk");
  desk.refused(
    2,
    /--slot a=arm\.img: the image is for arm64, and --arch says x86-64/,
    ...words,
    "--slot",
    "a=arm.img",
    "--arch",
    "x86-64",
    "-o",
    "n",
  );
  desk.refused(
    2,
    /--slot b=x86\.img: the image is for x86-64, and that of slot a is for arm64/,
    ...words,
    "--slot",
    "a=arm.img",
    "--slot",
    "b=x86.img",
    "-o",
    "n",
  );
});

image.run();
