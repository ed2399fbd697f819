/** slipway disk build and slots that are files: their images lie in the data filesystem that it makes. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readGpt } from "../../boot/devices/gpt.ts";

const MiB = 1024 * 1024;
const repository = join(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "slipway disk ")); // names with spaces are names too
test.after(() => rmSync(directory, { recursive: true, force: true }));
test.after.each(() => rmSync(join(directory, "out"), { recursive: true, force: true }));
test.before.each(() => mkdirSync(join(directory, "out")));

const definition = join(directory, "system.yaml");
const image = join(directory, "image.erofs");
const disk = join(directory, "out", "disk");
const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}`, LC_ALL: "C" };

function host(program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(program, words, { env, encoding: "utf8" });
  assert.is(status, 0, `${program}: ${stdout}${stderr}`);
  return stdout;
}

function define(slots: string[], data = "data: { device: PARTLABEL=sys-data, filesystem: ext4 }"): void {
  const record = "boot-record: { store: record, device: PARTLABEL=boot-record }";
  writeFileSync(definition, ["system: acme", "slots:", ...slots, data, record, "trust: unsigned", ""].join("\n"));
}

const a = "  a: { device: PARTLABEL=root-a }";
const c = "  c: { file: images/c.img, size: 16M }";
const d = "  d: { file: images/d.img, size: 8M }";

test.before(() => {
  mkdirSync(join(directory, "tree"));
  for (let index = 0; index < 40; index++)
    writeFileSync(join(directory, "tree", `file${index}`), Buffer.alloc(90_000, index + 1));
  host("mkfs.erofs", image, join(directory, "tree"));
});
test.before.each(() => define([a, c, d]));

function build(output: string, ...words: string[]): { status: number | null; stdout: string; stderr: string } {
  const fixed = ["init/main.ts", "disk", "build", "--system", definition, "-o", output];
  return spawnSync(join(repository, "node_modules/.bin/bun"), [...fixed, ...words], { cwd: repository, env, encoding: "utf8" });
}

/** The data filesystem of the disk, in a file of its own. */
function dataOf(...words: string[]): { file: string; stdout: string } {
  const { status, stdout, stderr } = build(disk, ...words);
  assert.is(status, 0, stdout + stderr);
  const bytes = new Uint8Array(readFileSync(disk));
  const gpt = readGpt((offset, length) => bytes.subarray(Number(offset), Number(offset) + length), BigInt(bytes.length), 512);
  if (typeof gpt === "string") throw new Error(gpt);
  const data = gpt.partitions.find(({ label }) => label === "sys-data");
  const file = join(directory, "out", "data");
  writeFileSync(file, bytes.subarray(Number(data?.firstLba) * 512, (Number(data?.lastLba) + 1) * 512));
  return { file, stdout };
}

function refused(options: string[], ...words: string[]): void {
  const { status, stderr } = build(disk, ...options);
  assert.is(status, 2, stderr);
  for (const word of words) assert.ok(stderr.includes(word), `"${word}" in: ${stderr}`);
  assert.equal(readdirSync(join(directory, "out")), []);
}

const debugfs = (file: string, command: string) => host("debugfs", "-R", command, file);

test("ext4: the image lies at the start of a file of the declared size, root's; another slot's file is made by an install", () => {
  const { file, stdout } = dataOf("--slot", `a=${image}`, "--slot", `c=${image}`, "--size", "96M");
  host("e2fsck", "-fn", file);
  assert.match(debugfs(file, "stat /images"), /Mode: +0700[\s\S]*User: +0 +Group: +0 /);
  assert.match(debugfs(file, "stat /images/c.img"), new RegExp(`Mode: +0600[\\s\\S]*User: +0 +Group: +0 .*Size: ${16 * MiB}\n`));
  assert.match(debugfs(file, "ls -p /images"), /\/c\.img\//);
  assert.not.match(debugfs(file, "ls -p /images"), /d\.img/);
  const copy = join(directory, "out", "copy");
  debugfs(file, `dump /images/c.img "${copy}"`);
  const bytes = readFileSync(copy);
  const source = readFileSync(image);
  assert.is(bytes.length, 16 * MiB);
  assert.ok(bytes.subarray(0, source.length).equals(source));
  assert.ok(bytes.subarray(source.length).every((byte) => byte === 0));
  assert.match(stdout, /images\/c\.img {2}slot c, .*image\.erofs/);
  assert.match(stdout, /images\/d\.img {2}slot d, nothing yet/);
});

test("ext4: the same input gives the same bytes, whenever, wherever and whoever builds", async () => {
  const words = ["--slot", `a=${image}`, "--slot", `c=${image}`, "--slot", `d=${image}`, "--size", "96M"];
  assert.is(build(disk, ...words).status, 0);
  await new Promise((resolve) => setTimeout(resolve, 1100)); // times in an ext4 are whole seconds
  const other = join(directory, "out", "other");
  const fixed = ["init/main.ts", "disk", "build", "--system", definition, "-o", other, ...words];
  const elsewhere = { ...env, TZ: "Asia/Tokyo", SOURCE_DATE_EPOCH: "77", TMPDIR: directory };
  const script = 'umask 077; exec "$@"';
  const bun = join(repository, "node_modules/.bin/bun");
  const { status, stderr } = spawnSync("sh", ["-c", script, "sh", bun, ...fixed], { cwd: repository, env: elsewhere });
  assert.is(status, 0, String(stderr));
  assert.ok(readFileSync(disk).equals(readFileSync(other)));
  assert.ok(statSync(disk).blocks * 512 < 64 * MiB, "the disk image is sparse");
});

test("only files: the disk has no slot's partition, and data gets the rest", () => {
  define([c, d]);
  const { file } = dataOf("--slot", `c=${image}`, "--size", "64M");
  assert.is(statSync(file).size, 58 * MiB);
  assert.match(debugfs(file, "stat /images/c.img"), new RegExp(`Size: ${16 * MiB}\n`));
});

test("btrfs: made with the files in it", () => {
  if (process.getuid?.() !== 0) return;
  define([a, c], "data: { device: PARTLABEL=sys-data, filesystem: btrfs }");
  const { file } = dataOf("--slot", `a=${image}`, "--slot", `c=${image}`, "--size", "320M");
  host("btrfs", "check", "--readonly", file);
  const restored = join(directory, "out", "restored");
  mkdirSync(restored);
  host("btrfs", "restore", file, restored);
  const bytes = readFileSync(join(restored, "images", "c.img"));
  assert.ok(bytes.subarray(0, statSync(image).size).equals(readFileSync(image)));
});

test("what does not fit, or cannot be made, is refused before anything is there", () => {
  const large = join(directory, "large");
  writeFileSync(large, readFileSync(image));
  truncateSync(large, 20 * MiB);
  const partition = ["--slot", `a=${image}`];
  refused(
    [...partition, "--slot", `c=${large}`, "--size", "128M"],
    `the image of slot c has ${20 * MiB} bytes`,
    "size: in system.yaml",
  );
  refused([...partition, "--size", "30M"], "no room for the files of slots c, d, 24 MiB", "--data-size");
  refused([...partition, "--slot", `e=${image}`, "--size", "96M"], 'no slot "e", but a, c, d');
  define([a, c], "data: { device: PARTLABEL=sys-data, filesystem: xfs }");
  refused([...partition, "--slot", `c=${image}`, "--size", "512M"], "mkfs.xfs makes an empty filesystem", "on the machine");
  define([a, c], "");
  refused([...partition, "--size", "96M"], "system.yaml:4:14:", 'there is no "data:"');
});

test("xfs is made empty where no image was given for a file", () => {
  define([a, c], "data: { device: PARTLABEL=sys-data, filesystem: xfs }");
  const { file } = dataOf("--slot", `a=${image}`, "--size", "512M");
  host("xfs_repair", "-n", "-f", file);
});

test.run();
