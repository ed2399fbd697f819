/** /usr/bin/slipway of a system image, in a tree with what dist/rootfs.tar puts into one. */
import "./own-mounts.ts";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import packageJson from "../../package.json" with { type: "json" };
import { dist } from "../../qemu/places.ts";
import { addLibraries, addSlipway } from "../../qemu/tree.ts";

const scratch = mkdtempSync(join(tmpdir(), "slipway-launcher-"));
const tree = `${scratch}/tree`;
const image = `${tree}/usr/lib/slipway/runtime.squashfs`;
const version = `slipway ${packageJson.version}\n`;
const mounted = "grep /run/slipway/runtime /proc/self/mountinfo";

test.before(async () => {
  for (const name of ["dev", "proc", "run", "bin"]) mkdirSync(`${tree}/${name}`, { recursive: true });
  copyFileSync("/bin/busybox", `${tree}/bin/busybox`);
  symlinkSync("busybox", `${tree}/bin/sh`);
  await addSlipway(tree);
  await addLibraries(tree, `${dist}/slipway`);
});

test.after(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs shell lines in the tree, with /proc, /dev and an empty /run, after `before` outside of it. All mounts go when it ends. */
function inTree(lines: string, before = "") {
  const script = `set -e; mount -t proc proc ${tree}/proc; mount --rbind /dev ${tree}/dev; mount -t tmpfs -o mode=755 none ${tree}/run
    ${before}
    exec chroot ${tree} /bin/busybox env -i PATH=/usr/bin:/bin LANG=C /bin/busybox sh -c "$0"`;
  const words = ["--mount", "--propagation", "private", "sh", "-c", script, lines];
  const { status, stdout, stderr } = spawnSync("unshare", words, { encoding: "utf8" });
  return { status, stdout, stderr };
}

/** Loop devices over files of the tree. */
function loops(): string[] {
  return readdirSync("/sys/block").filter((name) => {
    try {
      return readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").includes(scratch);
    } catch {
      return false;
    }
  });
}

test("the first start mounts the runtime, read-only and harmless; later ones use it; it goes with its mount", () => {
  const { status, stdout, stderr } = inTree(`slipway --version; slipway --version; busybox ${mounted}`);
  assert.is(status, 0, stderr);
  assert.is(stderr, "");
  const lines = stdout.split("\n");
  assert.equal(
    lines.slice(0, 2).map((line) => `${line}\n`),
    [version, version],
  );
  assert.is(lines.length, 4, stdout);
  assert.match(lines[2] ?? "", / ro,nosuid,nodev,relatime - squashfs \/dev\/loop\d+ ro/);
  assert.equal(loops(), []);
});

test("arguments, their first, environment, standard input and exit codes pass through", () => {
  const code = `const said = [process.argv0, process.env.WORD, process.execPath, await Bun.stdin.text(), ...process.argv.slice(1)];
    console.log(JSON.stringify(said)); process.exit(7)`;
  writeFileSync(`${tree}/say.mjs`, code);
  const run = `echo in | WORD="a  b" BUN_BE_BUN=1 busybox sh -c 'exec -a other /usr/bin/slipway run /say.mjs "two words" ""'`;
  const { status, stdout, stderr } = inTree(run);
  assert.is(status, 7, stderr);
  const [argv0, word, path, input, , ...words] = JSON.parse(stdout);
  assert.equal([argv0, word, input, words], ["other", "a  b", "in\n", ["two words", ""]]);
  assert.match(path, /^\/run\/slipway\/runtime\/[0-9a-f]{16}\/slipway$/);
  const bad = inTree("slipway no-such-verb");
  assert.is(bad.status, 2);
  assert.match(bad.stderr, "no-such-verb");
});

test("of many that start at once one mounts", () => {
  const many = "for n in 1 2 3 4 5 6 7 8; do slipway --version & done; wait";
  const { status, stdout, stderr } = inTree(`${many}; busybox ${mounted} | busybox wc -l`);
  assert.is(status, 0, stderr);
  assert.is(stdout, `${version.repeat(8)}1\n`);
  assert.is(stderr, "");
});

test("an ordinary user is told to let root do it once, and can go on then, whatever the umask was", () => {
  const asUser = (lines: string) => inTree(lines.replaceAll("USER", 'busybox su nobody sh -c "slipway --version"'), accounts);
  const accounts = `mkdir -p ${tree}/etc; echo nobody:x:65534:65534::/:/bin/sh >${tree}/etc/passwd; echo nogroup:x:65534: >${tree}/etc/group`;
  const { status, stdout, stderr } = asUser("USER");
  assert.is(status, 3, stderr);
  assert.is(stdout, "");
  assert.match(stderr, /^slipway: cannot make \/run\/slipway: EACCES \(13\); run it as root of the machine/);
  const later = asUser("umask 077; slipway --version; USER");
  assert.is(later.stdout, version.repeat(2), later.stderr);
  assert.is(later.status, 0);
});

test("after a start that failed no ordinary user can hold up the next one by a lock", () => {
  const { status, stdout, stderr } = inTree(
    "slipway --version",
    `mount -t tmpfs none ${tree}/dev
     ! chroot ${tree} /usr/bin/slipway --version 2>${scratch}/said
     umount ${tree}/dev
     cd ${tree}/run/slipway
     setpriv --reuid 65534 --regid 65534 --clear-groups flock --nonblock runtime sleep 5 >${scratch}/lock 2>&1 &
     sleep 1`,
  );
  assert.match(readFileSync(`${scratch}/said`, "utf8"), "cannot open /dev/loop-control: ENOENT");
  assert.match(readFileSync(`${scratch}/lock`, "utf8"), "Permission denied");
  assert.is(status, 0, stderr);
  assert.is(stdout, version);
});

test("root without the right to mount is refused", () => {
  const { status, stderr } = inTree(
    "slipway --version",
    `exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin chroot ${tree} /usr/bin/slipway --version`,
  );
  assert.is(status, 3, stderr);
  assert.match(stderr, /EPERM \(1\); run it as root of the machine/);
  assert.equal(loops(), []);
});

test("what is missing or damaged is named with the remedy, and leaves no mount and no loop device", () => {
  const good = readFileSync(image);
  const spoiled = (bytes: Buffer | null) => {
    if (bytes === null) rmSync(image);
    else writeFileSync(image, bytes);
    try {
      return inTree(`slipway --version || { code=$?; busybox ${mounted} >&2; exit $code; }`);
    } finally {
      writeFileSync(image, good);
    }
  };
  const cases: [string, ReturnType<typeof inTree>, RegExp][] = [
    ["missing", spoiled(null), /^slipway: cannot open \/usr\/lib\/slipway\/runtime.squashfs: ENOENT \(2\); unpack/],
    ["no squashfs", spoiled(Buffer.alloc(1 << 20, 5)), /^slipway: cannot mount .*runtime.squashfs: EINVAL \(22\); is it damaged/],
    ["cut short", spoiled(good.subarray(0, 1 << 20)), /^slipway: cannot mount .*runtime.squashfs: E\w+ \(\d+\); is it damaged/],
    ["empty", spoiled(Buffer.alloc(0)), /^slipway: cannot mount .*runtime.squashfs: E\w+ \(\d+\); is it damaged/],
    [
      "no loop",
      inTree("slipway --version", `mount -t tmpfs none ${tree}/dev`),
      /^slipway: cannot open \/dev\/loop-control: ENOENT/,
    ],
    [
      "no /run",
      inTree("slipway --version", `mount -o remount,ro ${tree}/run`),
      /^slipway: cannot make \/run\/slipway: EROFS \(30\)/,
    ],
    [
      "a file",
      inTree("slipway --version", `mkdir ${tree}/run/slipway; echo >${tree}/run/slipway/runtime`),
      /^slipway: cannot execute \/run\/slipway\/runtime\/\w+\/slipway: ENOTDIR \(20\)/,
    ],
  ];
  for (const [what, { status, stdout, stderr }, wanted] of cases) {
    assert.is(status, 1, `${what}: ${stderr}`);
    assert.is(stdout, "", what);
    assert.match(stderr, wanted, what);
    assert.is(stderr.trim().split("\n").length, 1, `${what}: ${stderr}`);
  }
  assert.equal(loops(), []);
});

test("the mount of another version, which a soft reboot leaves, is not used", () => {
  const { status, stdout, stderr } = inTree(
    "slipway --version",
    `mkdir -p ${tree}/run/slipway/runtime; mount -t tmpfs none ${tree}/run/slipway/runtime
     mkdir ${tree}/run/slipway/runtime/0123456789abcdef; cp /bin/false ${tree}/run/slipway/runtime/0123456789abcdef/slipway`,
  );
  assert.is(status, 0, stderr);
  assert.is(stdout, version);
});

test("an executable that cannot be executed is named, and not mounted again and again", () => {
  const aside = `mount --bind ${scratch}/empty ${tree}/lib64`;
  mkdirSync(`${scratch}/empty`, { recursive: true });
  const { status, stdout, stderr } = inTree(`slipway --version; slipway --version; busybox ${mounted} | busybox wc -l`, aside);
  assert.is(status, 0);
  assert.is(stdout, "1\n");
  assert.match(
    stderr,
    /^slipway: cannot execute \/run\/slipway\/runtime\/[0-9a-f]+\/slipway: ENOENT \(2\); is its dynamic linker/,
  );
});

test.run();
