import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { architectureOfRuntime } from "../../boot/architecture.ts";
import { readElf, readElfBuildId } from "../../boot/elf.ts";
import { readModuleIndex } from "../../boot/modules.ts";
import { buildInitrd, type InitrdInput } from "../../init/builder/initrd/build.ts";
import { readCpio } from "../../init/builder/initrd/cpio.ts";
import { initrdEntries } from "../../init/builder/initrd/layout.ts";
import { describeInitrd } from "../../init/builder/initrd/list.ts";
import { project } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { refusesInitrd, sampleInitrdInput } from "../samples/initrd-input.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-initrd-test-`);
const modules = `${scratch}/lib/modules/6.1-test`;
const control = sampleControlText({ system: "test", slots: [{ name: "a", device: "PARTLABEL=root-a" }], data: null });

test.before(async () => {
  mkdirSync(`${modules}/kernel`, { recursive: true });
  for (const name of ["loop", "squashfs", "xfs", "nvme"])
    writeFileSync(`${modules}/kernel/${name}.ko`, `module ${name}`.repeat(50));
  await runProgram("xz", [`${modules}/kernel/xfs.ko`]);
  await runProgram("zstd", ["--rm", "-q", `${modules}/kernel/nvme.ko`]);
  const paths = ["loop.ko", "squashfs.ko", "xfs.ko.xz", "nvme.ko.zst"].map((name) => `kernel/${name}:\n`);
  writeFileSync(`${modules}/modules.dep`, paths.join(""));
  writeFileSync(`${modules}/modules.alias`, "alias fs-xfs xfs\n");
  writeFileSync(`${scratch}/control.json`, control);
  cpSync("/bin/true", `${scratch}/preinit`);
  cpSync("/bin/ls", `${scratch}/program`);
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

function input(changes: Partial<InitrdInput> = {}): InitrdInput {
  return sampleInitrdInput({
    control: `${scratch}/control.json`,
    modules,
    executable: `${scratch}/program`,
    preinit: `${scratch}/preinit`,
    output: `${scratch}/initrd`,
    ...changes,
  });
}

async function unpackedRuntime(archive: Buffer): Promise<string> {
  const image = readCpio(archive).find((entry) => entry.path === "runtime.squashfs");
  assert.ok(image);
  const to = mkdtempSync(`${scratch}/unpacked-`);
  writeFileSync(`${to}/image`, archive.subarray(image.start, image.start + image.size));
  await runProgram("unsquashfs", ["-q", "-n", "-d", `${to}/tree`, `${to}/image`]);
  return `${to}/tree`;
}

function refused(changes: Partial<InitrdInput>, ...words: string[]): Promise<void> {
  return refusesInitrd(input(changes), ...words);
}

test("same input, same bytes, wherever and whenever", async () => {
  await buildInitrd(input());
  const first = readFileSync(`${scratch}/initrd`);
  await new Promise((resolve) => setTimeout(resolve, 1100)); // times in a squashfs are whole seconds
  mkdirSync(`${scratch}/elsewhere`);
  cpSync(`${scratch}/program`, `${scratch}/elsewhere/other-name`);
  const former = process.umask(0o077);
  await buildInitrd(input({ output: `${scratch}/elsewhere/initrd`, executable: `${scratch}/elsewhere/other-name` })).finally(() =>
    process.umask(former),
  );
  assert.ok(first.equals(readFileSync(`${scratch}/elsewhere/initrd`)));
});

test("preinit is told the image's size, and finds what it loads", async () => {
  const lines = await buildInitrd(input());
  assert.ok(lines[0]?.startsWith("left out, kernel 6.1-test has them not: virtio_pci,"), lines[0]);
  const archive = readFileSync(`${scratch}/initrd`);
  const entries = readCpio(archive);
  const content = (path: string): string => {
    const entry = entries.find((other) => other.path === path);
    assert.ok(entry, path);
    return archive.subarray(entry.start, entry.start + entry.size).toString();
  };
  const image = entries.find((entry) => entry.path === "runtime.squashfs");
  assert.is(
    content("etc/slipway/preinit.conf"),
    `runtime ${image?.size}\nmodule /modules/loop.ko\nmodule /modules/squashfs.ko\n`,
  );
  assert.is(content("modules/loop.ko"), "module loop".repeat(50));
  assert.is(content("init"), readFileSync("/bin/true").toString());
  assert.is(content("etc/slipway/control.json"), control);
  assert.match(content("etc/initrd-release"), /^ID=slipway\n/);
  assert.match(content("etc/initrd-release"), new RegExp(`^ARCHITECTURE=${architectureOfRuntime(process.arch)}$`, "m"));
  assert.equal(
    entries.slice(-2).map((entry) => entry.path),
    ["runtime.squashfs", "etc/slipway/end"],
    "the mark of a complete archive is its end",
  );
});

test("where a list fits the executable, its hot pages lie apart, and the interpreter before its dynamic linker", async () => {
  const program = readFileSync("/bin/ls");
  const { interpreter } = readElf(program);
  const fits = { buildId: readElfBuildId(program) ?? "", runs: [{ start: 1, end: 8 }] };
  await buildInitrd(input({ hot: { interpreter: `${scratch}/preinit`, lists: [fits] } }));
  const archive = readFileSync(`${scratch}/initrd`);
  const entries = readCpio(archive);
  const hot = entries.find(({ path }) => path === "runtime.hot");
  assert.ok(hot && hot.size > 1000);
  assert.equal(
    entries.slice(-3).map(({ path }) => path),
    ["runtime.hot", "runtime.squashfs", "etc/slipway/end"],
  );
  assert.ok(archive.toString("latin1").includes(`\nhot ${hot.size}\nmodule /modules/loop.ko\n`));
  const tree = await unpackedRuntime(archive);
  const cold = readFileSync(`${tree}/usr/bin/slipway`);
  assert.is(cold.length, program.length);
  assert.not.ok(cold.equals(program));
  assert.ok(readFileSync(`${tree}/usr${interpreter}`).equals(readFileSync(`${scratch}/preinit`)));
  assert.ok(readFileSync(`${tree}/usr${interpreter}.real`).equals(readFileSync(`${interpreter}`)));
});

test("without a list that fits, the executable is whole, and that is said", async () => {
  const lists = [{ buildId: "00", runs: [{ start: 1, end: 8 }] }];
  const lines = await buildInitrd(input({ hot: { interpreter: `${scratch}/preinit`, lists } }));
  assert.ok(
    lines.some((line) => line.startsWith("no list says what a boot touches of the runtime in ")),
    lines.join("\n"),
  );
  const archive = readFileSync(`${scratch}/initrd`);
  assert.not.ok(readCpio(archive).some(({ path }) => path === "runtime.hot"));
  const tree = await unpackedRuntime(archive);
  assert.ok(readFileSync(`${tree}/usr/bin/slipway`).equals(readFileSync("/bin/ls")));
  assert.not.ok(
    (await buildInitrd(input())).some((line) => line.startsWith("no list")),
    "nor where none was wanted",
  );
});

test("an interpreter that is none, or for another machine, is refused", async () => {
  const lists = [{ buildId: readElfBuildId(readFileSync("/bin/ls")) ?? "", runs: [{ start: 1, end: 8 }] }];
  await refused({ hot: { interpreter: `${scratch}/control.json`, lists } }, "the interpreter", "is no ELF program");
  await refused({ hot: { interpreter: `${scratch}/missing`, lists } }, "the interpreter", "missing");
});

test("the runtime has the executable, its libraries, and modules as the kernel wants them", async () => {
  await buildInitrd(input({ extra: ["/usr/sbin/tool=/bin/ls"], named: ["xfs"] }));
  const tree = await unpackedRuntime(readFileSync(`${scratch}/initrd`));
  assert.ok(readFileSync(`${tree}/usr/bin/slipway`).equals(readFileSync("/bin/ls")));
  assert.ok(readFileSync(`${tree}/usr/sbin/tool`).equals(readFileSync("/bin/ls")));
  const said = await runProgram("find", [`${tree}/usr`, "-type", "f", "-printf", "%f\n"]);
  const elf = readElf(readFileSync("/bin/ls"));
  for (const name of elf.needed) assert.ok(said.includes(`${name}\n`), `${name} in ${said}`);
  assert.is(readFileSync(`${tree}/modules/xfs.ko`, "utf8"), "module xfs".repeat(50));
  const index = readModuleIndex(readFileSync(`${tree}/modules/index.json`, "utf8"));
  assert.equal([index.kernel, index.load], ["6.1-test", ["xfs.ko"]]);
  const archive = readFileSync(`${scratch}/initrd`).toString("latin1");
  assert.ok(archive.includes("module /modules/squashfs.ko\nahead /runtime/modules/xfs.ko\n"), "a child of preinit may load it");
  // what ldd(1) resolves on this host runs in the tree alone
  for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, `${tree}/${name}`);
  assert.match(await runProgram("chroot", [tree, "/usr/bin/slipway", "/usr/bin"]), /^slipway\n$/);
});

test("however many modules every boot loads, preinit has room for its configuration", () => {
  const content = new Uint8Array(0);
  const ahead = Array.from({ length: 1000 }, (_, index) => `a_module_with_a_name_of_some_length_${index}.ko`);
  const parts = {
    version: "1",
    architecture: "x86-64" as const,
    preinit: content,
    control,
    modules: [],
    runtime: content,
    hot: null,
  };
  const configuration = initrdEntries({ ...parts, ahead }).find(({ path }) => path === "etc/slipway/preinit.conf");
  assert.ok(configuration?.kind === "file");
  const room = Number(/char text\[(\d+)\]/.exec(readFileSync(`${project}/init/preinit/preinit.c`, "utf8"))?.[1]);
  assert.ok(configuration.content.length < room, `${configuration.content.length} of ${room} bytes`);
  assert.ok(Buffer.from(configuration.content).toString().split("\n").at(-2)?.endsWith(".ko"));
});

test("--debug adds a static busybox", async () => {
  await buildInitrd(input({ debug: true }));
  const tree = await unpackedRuntime(readFileSync(`${scratch}/initrd`));
  assert.is(readElf(readFileSync(`${tree}/usr/bin/busybox`)).interpreter, null);
});

test("a list has every part, from heavy to light", async () => {
  await buildInitrd(input({ named: ["nvme"] }));
  const said = await describeInitrd(readFileSync(`${scratch}/initrd`));
  for (const part of [
    "runtime.squashfs",
    "etc/slipway/control.json",
    "dev/console (character device)",
    "/usr/bin/slipway",
    "/modules/nvme.ko",
  ]) {
    assert.match(said, new RegExp(`^ +\\d+ +\\d+\\.\\d\\d  ${part.replaceAll(/[().]/g, "\\$&")}$`, "m"));
  }
  const sizes =
    said
      .split("In runtime")[0]
      ?.match(/^ +\d+/gm)
      ?.map(Number) ?? [];
  const [sum, whole] = sizes.slice(-2);
  assert.is(
    sizes.slice(0, -2).reduce((total, size) => total + size, 0),
    sum,
  );
  assert.is(whole, readFileSync(`${scratch}/initrd`).length);
});

test("what is wrong is refused by name, and leaves the former file alone", async () => {
  await buildInitrd(input());
  const former = readFileSync(`${scratch}/initrd`);
  writeFileSync(`${scratch}/bad.json`, control.replace('"system":"test"', '"system":"tesst"'));
  writeFileSync(`${scratch}/new.json`, '{"schema":2}');
  await refused({ control: `${scratch}/bad.json` }, "bad.json", "digest");
  await refused({ control: `${scratch}/new.json` }, "new.json", "schema must be 1, is 2");
  await refused({ control: `${scratch}/none.json` }, "--control", "none.json cannot be read: no such file");
  await refused({ control: scratch }, "--control", "is a directory, not a file");
  await refused({ modules: scratch }, "modules.dep does not exist", "depmod");
  await refused({ named: ["xsf"] }, 'no module "xsf"', "xfs");
  const data = { device: "PARTLABEL=sys-data", filesystem: "xfs", whenReplaced: "refuse", grow: false, create: true } as const;
  writeFileSync(`${scratch}/creating.json`, sampleControlText({ data }));
  const creating = { control: `${scratch}/creating.json` };
  await refused(creating, "no mkfs.xfs", "--extra /usr/sbin/mkfs.xfs=/usr/sbin/mkfs.xfs");
  await refused({ ...creating, extra: ["/usr/sbin/mkfs.ext4=/bin/ls"] }, "no mkfs.xfs");
  await buildInitrd(input({ ...creating, extra: ["/usr/sbin/mkfs.xfs=/bin/ls"], output: `${scratch}/creating` }));
  await refused({ extra: ["usr/bin/x=/bin/ls"] }, "--extra", "usr/bin/x=/bin/ls");
  await refused({ extra: ["/usr/bin/../x=/bin/ls"] }, "--extra");
  await refused({ extra: ["/x=/none"] }, "/x=/none cannot be read: no such file");
  await refused({ extra: ["/x="] }, "--extra");
  await refused({ extra: ["/x=/dev/zero"] }, "is a device, not a file");
  await refused({ extra: ["/x=/etc"] }, "/x=/etc is a directory");
  await refused({ extra: ["/bin/slipway=/bin/cat"] }, "/usr/bin/slipway would be two different files");
  await refused({ executable: `${scratch}/none` }, "--executable");
  await refused({ preinit: `${scratch}/bad.json` }, "--preinit", "no ELF program");
  await refused({ output: `${scratch}/none/initrd` }, "none is no directory");
  await refused({ output: scratch }, "is no regular file");
  assert.ok(former.equals(readFileSync(`${scratch}/initrd`)));
});

test("a kernel without dm-verity is refused where signed images only are trusted", async () => {
  const keys = ["ab".repeat(32)];
  const trust = { mode: "signed", keys, threshold: 1, rollbackFloor: 0, kernelSignature: "ignored" } as const;
  writeFileSync(`${scratch}/signed.json`, sampleControlText({ system: "test", data: null, trust }));
  await refused({ control: `${scratch}/signed.json` }, "6.1-test has no dm_verity", "CONFIG_DM_VERITY");
});

test.run();
