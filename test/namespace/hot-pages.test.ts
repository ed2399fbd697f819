/** Programs of an initrd's runtime image, whose dynamic linker is init/interpreter, in the initrd's tree. */
import "./own-mounts.ts";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readElfBuildId } from "../../boot/elf.ts";
import { buildInitrd } from "../../init/builder/initrd/build.ts";
import { readCpio } from "../../init/builder/initrd/cpio.ts";
import packageJson from "../../package.json" with { type: "json" };
import { dist } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";
import { sampleControlText } from "../samples/control-file.ts";
import { sampleInitrdInput } from "../samples/initrd-input.ts";

const scratch = mkdtempSync(join(tmpdir(), "slipway-hot-pages-"));
const tree = `${scratch}/tree`;
const hot = `${tree}/runtime.hot`;
const slipway = "/runtime/usr/bin/slipway";

test.before(async () => {
  const modules = `${scratch}/lib/modules/6.1-test`;
  mkdirSync(modules, { recursive: true });
  writeFileSync(`${modules}/modules.dep`, "");
  writeFileSync(`${modules}/modules.builtin`, "kernel/loop.ko\nkernel/squashfs.ko\n");
  const control = { system: "test", slots: [{ name: "a", device: "PARTLABEL=root-a" }], data: null };
  writeFileSync(`${scratch}/control.json`, sampleControlText(control));
  // Every twentieth page: code, constants and data, in more runs than a real list has.
  const buildId = readElfBuildId(readFileSync(`${dist}/slipway`)) ?? "";
  const runs = Array.from({ length: 1300 }, (_, index) => ({ start: index * 20, end: index * 20 + 1 }));
  await buildInitrd(
    sampleInitrdInput({
      control: `${scratch}/control.json`,
      modules,
      extra: ["/usr/bin/env=/usr/bin/env"],
      executable: `${dist}/slipway`,
      preinit: `${dist}/preinit`,
      hot: { interpreter: `${dist}/interpreter`, lists: [{ buildId, runs }] },
      output: `${scratch}/initrd`,
    }),
  );
  const archive = readFileSync(`${scratch}/initrd`);
  for (const { path, mode, start, size } of readCpio(archive)) {
    const [to, content] = [`${tree}/${path}`, archive.subarray(start, start + size)];
    mkdirSync(dirname(to), { recursive: true });
    if (mode >> 12 === 4) mkdirSync(to, { recursive: true });
    if (mode >> 12 === 10) symlinkSync(content.toString(), to);
    if (mode >> 12 === 8) writeFileSync(to, content);
  }
  await runProgram("unsquashfs", ["-q", "-n", "-f", "-d", `${tree}/runtime`, `${tree}/runtime.squashfs`]);
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs a program in the tree, with /proc and /dev/null, and without the machine's log. */
function inTree(words: string[], environment: Record<string, string> = {}, input = "") {
  const script = `mount -t proc proc ${tree}/proc && mount -t tmpfs none ${tree}/dev && touch ${tree}/dev/null &&
    mount --bind /dev/null ${tree}/dev/null && exec chroot ${tree} "$@"`;
  const unshare = ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...words];
  const { status, stdout, stderr } = spawnSync("unshare", unshare, {
    encoding: "utf8",
    input,
    env: { ...process.env, ...environment },
  });
  return { status, stdout, stderr };
}

const asBun = { BUN_BE_BUN: "1" };

test("slipway starts with its hot pages mapped, and its words, environment and input", () => {
  const { status, stdout, stderr } = inTree([slipway, "--version"]);
  assert.is(stderr, "");
  assert.equal([status, stdout], [0, `slipway ${packageJson.version}\n`]);
  writeFileSync(
    `${tree}/say.mjs`,
    `import { readFileSync, readdirSync, readlinkSync } from "node:fs";
     const maps = readFileSync("/proc/self/maps", "utf8").split("\\n").filter((line) => line.endsWith("${slipway}"));
     const kinds = [...new Set(maps.map((line) => line.split(" ")[1]))].sort();
     const open = readdirSync("/proc/self/fd").flatMap((fd) => { try { return readlinkSync("/proc/self/fd/" + fd); } catch { return []; } });
     console.log(JSON.stringify({ maps: maps.length, kinds, open: open.filter((path) => /runtime.hot|ld-/.test(path)),
       said: [process.execPath, process.env.WORD, await Bun.stdin.text(), ...process.argv.slice(2)] }));
     process.exit(7);`,
  );
  const told = inTree([slipway, "run", "/say.mjs", "two words", ""], { ...asBun, WORD: "a  b" }, "in");
  assert.is(told.status, 7, told.stderr);
  const { maps, kinds, open, said } = JSON.parse(told.stdout);
  assert.ok(maps > 1000, `${maps} mappings`);
  assert.equal(kinds, ["r--p", "r-xp", "rw-p"]);
  assert.equal(open, [], "no descriptor stays open");
  assert.equal(said, [slipway, "a  b", "in", "two words", ""]);
});

test("under another name it finds them too, and what it starts runs", () => {
  assert.is(inTree(["/usr/bin/slipway", "--version"]).status, 0);
  writeFileSync(
    `${tree}/start.mjs`,
    `const { stdout } = Bun.spawnSync(["/usr/bin/env"], { env: { A: "b" } }); console.log(stdout + "");`,
  );
  const { stdout, stderr } = inTree([slipway, "run", "/start.mjs"], asBun);
  assert.is(stdout.trim(), "A=b", stderr);
});

test("another program of the runtime needs no hot file", () => {
  renameSync(hot, `${hot}.away`);
  const { status, stdout, stderr } = inTree(["/usr/bin/env", "-i", "WORD=x", "/runtime/usr/bin/env"]);
  renameSync(`${hot}.away`, hot);
  assert.equal([status, stdout], [0, "WORD=x\n"], stderr);
  assert.is(inTree(["/usr/bin/env", "/no-such-program"]).status, 127);
});

test("a hot file that is not the executable's ends with the reason, before any of its code runs", () => {
  const good = readFileSync(hot);
  const changed = (at: number): Buffer => {
    const bytes = Buffer.from(good);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const cases: [Buffer | null, RegExp][] = [
    [null, /cannot open \/runtime.hot: ENOENT \(2\); build the initrd again/],
    [Buffer.alloc(0), /not the pages of an executable: \/runtime.hot; build the initrd again/],
    [good.subarray(0, 71), /not the pages of an executable/],
    [Buffer.alloc(good.length), /not the pages of an executable/],
    [changed(0), /not the pages of an executable/],
    [changed(8), /made of another executable: \/runtime.hot/],
    [changed(14), /made of another executable/],
    [changed(56), /cut short/],
    [changed(64), /damaged: \/runtime.hot; build the initrd again/],
    [changed(41), /the kernel's pages are larger than those of \/runtime.hot; build the initrd with --hot-pages none/],
    [good.subarray(0, good.length - 1), /cut short: \/runtime.hot; is there too little memory/],
    [good.subarray(0, 4096), /cut short/],
    [Buffer.concat([good, Buffer.alloc(1)]), /cut short/],
  ];
  try {
    for (const [bytes, wanted] of cases) {
      rmSync(hot, { force: true });
      if (bytes !== null) writeFileSync(hot, bytes);
      const { status, stdout, stderr } = inTree([slipway, "--version"]);
      assert.equal([status, stdout], [127, ""], `${wanted}`);
      assert.match(stderr, /^slipway: cannot start \/runtime\/usr\/bin\/slipway: /);
      assert.match(stderr, wanted);
      assert.is(inTree(["/usr/bin/env", "-i"]).status, 0, "other programs start");
    }
  } finally {
    writeFileSync(hot, good);
  }
});

test("a dynamic linker that is missing or none ends with the reason", () => {
  const [linker = ""] = spawnSync("sh", ["-c", `ls ${tree}/usr/lib*/ld-*.real`], { encoding: "utf8" }).stdout.split("\n");
  const good = readFileSync(linker);
  const header = Buffer.from(good.subarray(0, 64));
  header.writeUInt16LE(5000, 56);
  const cases: [Buffer | null, RegExp][] = [
    [null, /cannot open \/lib.*\/ld-.*\.real: ENOENT \(2\); build/],
    [Buffer.alloc(0), /not a dynamic linker: /],
    [Buffer.alloc(1000), /not a dynamic linker: /],
    [header, /not a dynamic linker: /],
    [readFileSync(`${dist}/preinit`), /not a dynamic linker: /],
  ];
  try {
    for (const [bytes, wanted] of cases) {
      rmSync(linker, { force: true });
      if (bytes !== null) writeFileSync(linker, bytes);
      const { status, stderr } = inTree(["/usr/bin/env", "-i"]);
      assert.is(status, 127, stderr);
      assert.match(stderr, wanted);
    }
  } finally {
    writeFileSync(linker, good, { mode: 0o755 });
  }
  assert.is(inTree(["/usr/bin/env", "-i"]).status, 0);
});

test.run();
