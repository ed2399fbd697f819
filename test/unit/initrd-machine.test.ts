import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ARCHITECTURE, type Architecture, architectureOfRuntime } from "../../boot/architecture.ts";
import { buildInitrd, type InitrdInput } from "../../init/builder/initrd/build.ts";
import { librariesOf } from "../../init/builder/initrd/libraries.ts";
import { describeInitrd } from "../../init/builder/initrd/list.ts";
import { chooseFiles } from "../../init/builder/initrd/machine.ts";
import { Sysroot } from "../../init/builder/initrd/sysroot.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { type ElfContent, elfProgram } from "../samples/elf-program.ts";
import { refusesInitrd, sampleInitrdInput } from "../samples/initrd-input.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-machine-test-`);
const own = architectureOfRuntime(process.arch);
const other: Architecture = own === "arm64" ? "x86-64" : "arm64";
const machine = ARCHITECTURE[other].elfMachine;
const ownMachine = ARCHITECTURE[own].elfMachine;
const libraryDirectory = `/usr/lib/${ARCHITECTURE[other].gnu}-linux-gnu`;
const linker = "/lib/ld-other.so.1";
const sysroot = `${scratch}/sysroot`;

function put(path: string, content: ElfContent | string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === "string" ? content : elfProgram(content));
  return path;
}

test.before(() => {
  put(`${scratch}/control.json`, sampleControlText({ system: "test", data: null }));
  for (const name of ["loop", "squashfs"]) put(`${scratch}/modules/${name}.ko`, { machine });
  put(`${scratch}/modules/modules.dep`, "loop.ko:\nsquashfs.ko:\n");
  put(`${scratch}/dist/slipway`, { machine, interpreter: linker, needed: ["libc.so.6", "libown.so"], runpath: "/opt/own" });
  put(`${scratch}/dist/preinit`, { machine });
  put(`${sysroot}${libraryDirectory}/ld-2.so`, { machine });
  put(`${sysroot}${libraryDirectory}/libc.so.6`, { machine, needed: ["ld-other.so.1"] });
  put(`${sysroot}/opt/own/libown.so`, { machine });
  symlinkSync("/usr/lib", `${sysroot}/lib`); // leads to the builder's, unless links stay in the tree
  symlinkSync(`${libraryDirectory}/ld-2.so`, `${sysroot}/usr/lib/ld-other.so.1`);
  put(`${sysroot}/usr/bin/busybox`, { machine });
  symlinkSync("usr/bin", `${sysroot}/bin`);
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

function input(changes: Partial<InitrdInput> = {}): InitrdInput {
  return sampleInitrdInput({
    control: `${scratch}/control.json`,
    modules: `${scratch}/modules`,
    named: ["loop"],
    debug: true,
    executable: `${scratch}/dist/slipway`,
    preinit: `${scratch}/dist/preinit`,
    sysroot,
    output: `${scratch}/initrd`,
    ...changes,
  });
}

function refused(changes: Partial<InitrdInput>, ...words: string[]): Promise<void> {
  return refusesInitrd(input(changes), ...words);
}

test("an initrd for another machine has that machine's libraries, of the sysroot alone, and says so", async () => {
  const lines = await buildInitrd(input());
  assert.match(lines.at(-1) ?? "", new RegExp(`, ${other}, kernel modules, 2 modules$`));
  const said = await describeInitrd(readFileSync(`${scratch}/initrd`));
  assert.match(said, new RegExp(`^slipway \\S+ for ${other}$`, "m"));
  for (const path of ["/usr/lib/ld-other.so.1", `${libraryDirectory}/libc.so.6`, "/opt/own/libown.so", "/usr/bin/busybox"]) {
    assert.match(said, new RegExp(` ${path.replaceAll(".", "\\.")}$`, "m"));
  }
});

test("everything in it has to be for the machine of the executable", async () => {
  const wrong = put(`${scratch}/wrong`, { machine: ownMachine });
  const strange = put(`${scratch}/strange`, { machine: 22 });
  await refused(
    { architecture: own },
    `--executable ${scratch}/dist/slipway is for ${other}, --arch says ${own}`,
    `--arch ${own}`,
  );
  await refused({ preinit: wrong }, `--preinit ${wrong} is for ${own}`, `for ${other}`, `npm run build -- --arch ${other}`);
  await refused({ executable: strange }, "ELF machine 22", "x86-64 and arm64");
  await refused({ extra: [`/usr/sbin/tool=${wrong}`] }, `--extra /usr/sbin/tool=${wrong} is for ${own}`, `for ${other}`);
  const modules = `${scratch}/wrong-modules`;
  for (const name of ["loop", "squashfs"]) put(`${modules}/${name}.ko`, { machine: ownMachine });
  put(`${modules}/modules.dep`, "loop.ko:\nsquashfs.ko:\n");
  await refused({ modules }, `the kernel module ${modules}/loop.ko is for ${own}`, `for ${other}`);
});

test("32-bit programs of the same family, scripts and plain files go in", async () => {
  const script = put(`${scratch}/script`, "#!/bin/sh\n");
  const narrow = put(`${scratch}/narrow`, { machine: ARCHITECTURE[other].elfMachine32 });
  await buildInitrd(input({ extra: [`/usr/bin/script=${script}`, `/usr/bin/narrow=${narrow}`] }));
});

test("a library that is missing is named with where it was looked for, and what to do", async () => {
  const lost = put(`${scratch}/lost`, { machine, interpreter: linker, needed: ["liblost.so.1"] });
  await refused({ extra: [`/lost=${lost}`] }, `${lost} needs liblost.so.1 for ${other}`, libraryDirectory, `in ${sysroot}`);
  // Only one for this machine is there.
  put(`${sysroot}${libraryDirectory}/libforeign.so`, { machine: ownMachine });
  const foreign = put(`${scratch}/foreign`, { machine, needed: ["libforeign.so"] });
  await refused({ extra: [`/foreign=${foreign}`] }, `needs libforeign.so for ${other}`, "install its package there");
  await refused({ sysroot: "/", debug: false }, linker, `--sysroot DIRECTORY`, `unpacked ${other} root`);
  await refused({ sysroot: `${scratch}/none` }, `--sysroot ${scratch}/none is no directory`);
  const noLinker = put(`${scratch}/no-linker`, { machine, interpreter: "/lib/ld-none.so" });
  await refused({ extra: [`/x=${noLinker}`] }, `${noLinker} needs /lib/ld-none.so, which does not exist in ${sysroot}`);
  put(`${sysroot}/usr/lib/ld-wrong.so`, { machine: ownMachine });
  const wrongLinker = put(`${scratch}/wrong-linker`, { machine, interpreter: "/lib/ld-wrong.so" });
  await refused({ extra: [`/x=${wrongLinker}`] }, `needs /lib/ld-wrong.so for ${other}`, `is for ${own}`);
  mkdirSync(`${scratch}/bare${libraryDirectory}`, { recursive: true });
  await refused({ sysroot: `${scratch}/bare` }, "--debug needs /bin/busybox", `in ${scratch}/bare`);
});

test("directories of ld.so.conf and links that lead nowhere stay in the tree", () => {
  const root = `${scratch}/configured`;
  put(`${root}/etc/ld.so.conf`, "include /etc/ld.so.conf.d/*.conf\ninclude /etc/ld.so.conf\n");
  put(`${root}/etc/ld.so.conf.d/vendor.conf`, "/opt/vendor # theirs\n");
  put(`${root}/opt/vendor/libvendor.so`, { machine });
  mkdirSync(`${root}${libraryDirectory}`, { recursive: true });
  const program = put(`${scratch}/vendored`, { machine, needed: ["libvendor.so"] });
  const tree = new Sysroot(root);
  assert.equal(librariesOf([program], tree), [
    { path: `${libraryDirectory}/libvendor.so`, source: `${root}/opt/vendor/libvendor.so` },
  ]);
  symlinkSync("round", `${root}/round`);
  symlinkSync("../../../../../etc", `${root}/above`);
  assert.is(tree.find("/round"), null);
  assert.is(tree.find("/above/ld.so.conf"), `${root}/etc/ld.so.conf`);
  assert.is(tree.find("/etc/ld.so.conf/below"), null);
  assert.is(tree.pathOf(`${root}/etc`), "/etc");
  assert.is(tree.pathOf("/etc"), null);
});

test("$ORIGIN is the program's own directory, in the tree or outside of it", () => {
  const tree = new Sysroot(sysroot);
  put(`${scratch}/beside/libbeside.so`, { machine });
  const outside = put(`${scratch}/beside/program`, { machine, needed: ["libbeside.so"], runpath: "$ORIGIN" });
  assert.equal(librariesOf([outside], tree), [
    { path: `${scratch}/beside/libbeside.so`, source: `${scratch}/beside/libbeside.so` },
  ]);
  put(`${sysroot}/opt/tool/lib/libinside.so`, { machine });
  const inside = put(`${sysroot}/opt/tool/bin/tool`, { machine, needed: ["libinside.so"], runpath: "$" + "{ORIGIN}/../lib" });
  assert.equal(librariesOf([inside], tree), [
    { path: "/opt/tool/bin/../lib/libinside.so", source: `${sysroot}/opt/tool/lib/libinside.so` },
  ]);
});

test("the preinit of another machine is the one beside its executable", () => {
  const executable = `${scratch}/dist/slipway`;
  const chosen = { executable, preinit: `${scratch}/dist/preinit`, interpreter: `${scratch}/dist/interpreter` };
  assert.equal(chooseFiles({ architecture: null, executable, preinit: null }), chosen);
  assert.equal(chooseFiles({ architecture: other, executable, preinit: null }), chosen);
  assert.equal(chooseFiles({ architecture: null, executable, preinit: "/p" }), { ...chosen, preinit: "/p" });
  const alone = put(`${scratch}/alone/slipway`, { machine });
  assert.throws(
    () => chooseFiles({ architecture: null, executable: alone, preinit: null }),
    (error: unknown) => error instanceof BadInput && error.message.includes(`${scratch}/alone/preinit does not exist`),
  );
});

test.run();
