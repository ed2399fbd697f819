import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Gpt, readGpt } from "../../boot/devices/gpt.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";

const MiB = 1024 * 1024;
const repository = join(import.meta.dirname, "../..");
const directory = mkdtempSync(join(tmpdir(), "slipway-disk-"));
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

function define(changes: { filesystem?: string; slot?: string; data?: boolean } = {}): void {
  const { filesystem = "ext4", slot = "PARTLABEL=root-b", data = true } = changes;
  const lines = ["system: acme", "slots:", "  a: { device: PARTLABEL=root-a }", `  b: { device: ${slot} }`];
  if (data) lines.push(`data: { device: PARTLABEL=sys-data, filesystem: ${filesystem} }`);
  lines.push("boot-record: { store: record, device: PARTLABEL=boot-record }");
  writeFileSync(definition, `${lines.join("\n")}\n`);
}

test.before(() => {
  mkdirSync(join(directory, "tree"));
  for (let index = 0; index < 40; index++)
    writeFileSync(join(directory, "tree", `file${index}`), Buffer.alloc(90_000, index + 1));
  host("mkfs.erofs", image, join(directory, "tree"));
});
test.before.each(() => define());

function build(...words: string[]): { status: number | null; stdout: string; stderr: string } {
  const fixed = ["init/main.ts", "disk", "build", "--system", definition, "-o", disk];
  return spawnSync(join(repository, "node_modules/.bin/bun"), [...fixed, ...words], { cwd: repository, env, encoding: "utf8" });
}

function succeed(...words: string[]): Uint8Array {
  const { status, stdout, stderr } = build(...words);
  assert.is(status, 0, stdout + stderr);
  return new Uint8Array(readFileSync(disk));
}

/** Nothing is left behind, and the message has all of `words`. */
function refused(options: string[], ...words: string[]): void {
  const { status, stderr } = build(...options);
  assert.is(status, 2, stderr);
  for (const word of words) assert.ok(stderr.includes(word), `"${word}" in: ${stderr}`);
  assert.equal(readdirSync(join(directory, "out")), []);
}

function table(bytes: Uint8Array): Gpt {
  const gpt = readGpt((offset, length) => bytes.subarray(Number(offset), Number(offset) + length), BigInt(bytes.length), 512);
  if (typeof gpt === "string") throw new Error(gpt);
  return gpt;
}

test("boot record, slots, data: aligned, labelled, not to be mounted by others, and as sfdisk and sgdisk see them", () => {
  const bytes = succeed("--slot", `a=${image}`, "--size", "64M", "--slot-size", "16M");
  const gpt = table(bytes);
  assert.equal(gpt.notes, []);
  const places = gpt.partitions.map(({ label, firstLba, lastLba }) => [
    label,
    Number(firstLba) / 2048,
    Number(lastLba + 1n) / 2048,
  ]);
  assert.equal(places, [
    ["boot-record", 1, 5],
    ["root-a", 5, 21],
    ["root-b", 21, 37],
    ["sys-data", 37, 63],
  ]);
  for (const partition of gpt.partitions) assert.is(partition.attributes, 1n << 63n);

  assert.match(host("sgdisk", "--verify", disk), "No problems found");
  const seen: { partitiontable: { id: string; partitions: { name: string; uuid: string }[] } } = JSON.parse(
    host("sfdisk", "--json", disk),
  );
  assert.is(seen.partitiontable.id.toLowerCase(), gpt.diskGuid);
  assert.equal(
    seen.partitiontable.partitions.map(({ name, uuid }) => [name, uuid.toLowerCase()]),
    gpt.partitions.map(({ label, unique }) => [label, unique]),
  );

  const source = readFileSync(image);
  assert.ok(source.equals(bytes.subarray(5 * MiB, 5 * MiB + source.length)), "the image lies in its slot");
  const isZero = (from: number, to: number) => bytes.subarray(from, to).every((byte) => byte === 0);
  assert.ok(isZero(MiB, 5 * MiB), "the boot record is empty");
  assert.ok(isZero(5 * MiB + source.length, 37 * MiB), "the rest of slot a, and slot b, are zero");
  assert.ok(statSync(disk).blocks * 512 < 32 * MiB, "the file is sparse");
  assert.equal(readdirSync(join(directory, "out")), ["disk"]);
});

for (const [filesystem, size] of [
  ["ext4", "64M"],
  ["xfs", "400M"],
  ["btrfs", "256M"],
] as const) {
  test(`data on ${filesystem} passes its check`, () => {
    define({ filesystem });
    const bytes = succeed("--slot", `a=${image}`, "--size", size);
    const data = table(bytes).partitions.at(-1);
    const from = Number(data?.firstLba ?? 0n) * 512;
    const until = Number((data?.lastLba ?? 0n) + 1n) * 512;
    const superblock = readSuperblock(bytes.subarray(from, from + SUPERBLOCK_BYTES));
    assert.is(superblock?.type, filesystem);
    assert.is(superblock?.size, BigInt(until - from));
    const alone = join(directory, "out", "data");
    writeFileSync(alone, bytes.subarray(from, until));
    if (filesystem === "ext4") host("e2fsck", "-fn", alone);
    if (filesystem === "xfs") host("xfs_repair", "-n", "-f", alone);
    if (filesystem === "btrfs") host("btrfs", "check", "--readonly", alone);
  });
}

test("GUIDs follow from the system's name, or are random", () => {
  const guids = (...words: string[]) => {
    const gpt = table(succeed("--slot", `a=${image}`, "--size", "64M", ...words));
    return [gpt.diskGuid, ...gpt.partitions.map((partition) => partition.unique)];
  };
  const first = guids();
  assert.equal(guids(), first);
  const random = guids("--random-guids");
  assert.is(new Set([...first, ...random]).size, 10);
});

test("the same input gives the same bytes, whenever and wherever", async () => {
  const first = succeed("--slot", `a=${image}`, "--slot", `b=${definition}`, "--size", "64M");
  await new Promise((resolve) => setTimeout(resolve, 1100)); // times in an ext4 are whole seconds
  const words = ["init/main.ts", "disk", "build", "--size", "64M", "--slot", `b=${definition}`, "--slot", `a=${image}`];
  const elsewhere = { ...env, TZ: "Asia/Tokyo", LC_ALL: "C.UTF-8", SOURCE_DATE_EPOCH: "77", TMPDIR: directory };
  const bun = join(repository, "node_modules/.bin/bun");
  const script = 'umask 077; exec "$@"';
  const rest = ["--system", definition, "-o", join(directory, "out", "other")];
  const { status, stderr } = spawnSync("sh", ["-c", script, "sh", bun, ...words, ...rest], { cwd: repository, env: elsewhere });
  assert.is(status, 0, String(stderr));
  assert.ok(Buffer.from(first).equals(readFileSync(join(directory, "out", "other"))));
});

test("sizes: slots are the largest image and a quarter; or the rest where data has a size; or all without data", () => {
  const sizes = (...words: string[]) =>
    table(succeed("--slot", `a=${image}`, "--size", "64M", ...words)).partitions.map(({ firstLba, lastLba }) =>
      Number((lastLba + 1n - firstLba) / 2048n),
    );
  const quarter = Math.ceil((Math.ceil(statSync(image).size / MiB) * 5) / 4);
  assert.equal(sizes(), [4, quarter, quarter, 58 - 2 * quarter]);
  assert.equal(sizes("--data-size", "20M"), [4, 19, 19, 20]);
  assert.equal(sizes("--data-size", "20M", "--slot-size", "10485760"), [4, 10, 10, 20]);
  define({ data: false });
  assert.equal(sizes(), [4, 29, 29]);
});

test("a loader's own partitions come first, as large as their images, of their types, for all to see", () => {
  const esp = join(directory, "esp.img");
  writeFileSync(esp, "the loader's".padEnd(2 * MiB + 1, "x"));
  const others = ["--partition", `esp:esp=${esp}`, "--partition", `bios:BIOS-boot=${definition}`];
  const bytes = succeed("--slot", `a=${image}`, "--size", "64M", "--slot-size", "16M", ...others);
  const { partitions } = table(bytes);
  assert.equal(
    partitions.map(({ label, type, firstLba, attributes }) => [label, type.slice(0, 8), Number(firstLba) / 2048, attributes]),
    [
      ["esp", "c12a7328", 1, 0n],
      ["bios", "21686148", 4, 0n],
      ["boot-record", "0fc63daf", 5, 1n << 63n],
      ["root-a", "0fc63daf", 9, 1n << 63n],
      ["root-b", "0fc63daf", 25, 1n << 63n],
      ["sys-data", "0fc63daf", 41, 1n << 63n],
    ],
  );
  assert.ok(readFileSync(esp).equals(bytes.subarray(MiB, 3 * MiB + 1)));
  assert.match(host("sgdisk", "--verify", disk), "No problems found");

  rmSync(disk);
  const sized = ["--slot", `a=${image}`, "--size", "64M", "--partition"];
  for (const wrong of ["esp", "esp=x", `esp:esp`, `:esp=${esp}`, "esp:esp="]) refused([...sized, wrong], "LABEL:TYPE=IMAGE");
  refused([...sized, `esp:fat=${esp}`], '"fat" is no partition type', "esp, xbootldr");
  refused([...sized, `${"x".repeat(37)}:esp=${esp}`], "1 to 36 printable");
  refused([...sized, `esp:esp=${esp}.missing`], "cannot be read");
  refused([...sized, `root-a:esp=${esp}`], "PARTLABEL=root-a", "choose another label");
  refused([...sized, `esp:esp=${esp}`, "--partition", `esp:linux=${esp}`], "--partition esp is given twice");
  refused(["--slot", `a=${image}`, "--size", "24M", "--slot-size", "8M", "--partition", `esp:esp=${esp}`], "24 MiB", "--size");
});

test("an image larger than its slot, and a disk that is too small, are refused with the numbers", () => {
  const bytes = statSync(image).size;
  refused(["--slot", `b=${image}`, "--size", "64M", "--slot-size", "1M"], "slot b", `${bytes}`, "1048576", "--slot-size");
  refused(["--slot", `a=${image}`, "--size", "20M", "--slot-size", "8M"], "20 MiB", "2 slots of 8 MiB", "--size");
  refused(["--slot", `a=${image}`, "--size", "1M"], "--size");
});

test("options that make no sense are refused", () => {
  for (const size of ["4g", "0", "", "-1", "4.5G", "4GB", "4 G", "0x10", "G"]) {
    refused(["--slot", `a=${image}`, "--size", size], "--size");
  }
  const sized = ["--size", "64M"];
  refused([...sized, "--slot", `c=${image}`], '"c"', "a, b");
  refused([...sized, "--slot", `a=${image}`, "--slot", `a=${image}`], "twice");
  refused([...sized, "--slot", "a"], "NAME=IMAGE");
  refused([...sized, "--slot", `a=${image}.missing`], "cannot be read: no such file");
  refused([...sized, "--slot", `a=${directory}`], "is a directory, not a file");
  refused([...sized], "--slot-size");
  define({ slot: "/dev/vda3" });
  refused([...sized, "--slot", `a=${image}`], "system.yaml:4:16:", "/dev/vda3", "PARTLABEL=");
  define({ slot: "PARTLABEL=root-a" });
  refused([...sized, "--slot", `a=${image}`], "system.yaml:4:16:", "PARTLABEL=root-a is used twice");
  define({ slot: `PARTLABEL=${"x".repeat(37)}` });
  refused([...sized, "--slot", `a=${image}`], "system.yaml:4:16:", "1 to 36 printable ASCII");
  define();
  refused([...sized, "--slot", `a=${image}`, "--size", "128M"], "--size is given twice: 64M and 128M");
  refused(["--slot", `a=${image}`, "--size", "9999999T"], "--size 9999999T", "8 EiB");
  define({ data: false });
  refused([...sized, "--slot", `a=${image}`, "--data-size", "8M"], "--data-size");
  writeFileSync(definition, "system: [\n");
  refused([...sized, "--slot", `a=${image}`], "system.yaml:");
});

test("a failure leaves the old disk as it was", () => {
  writeFileSync(disk, "old");
  define({ filesystem: "xfs" });
  const { status, stderr } = build("--slot", `a=${image}`, "--size", "64M");
  assert.is(status, 1);
  assert.match(stderr, "mkfs.xfs");
  assert.is(readFileSync(disk, "utf8"), "old");
  assert.equal(readdirSync(join(directory, "out")), ["disk"]);
});

test("an image that cannot boot is said, not refused", () => {
  const noise = join(directory, "noise");
  writeFileSync(noise, Buffer.alloc(MiB, 7));
  const { status, stderr } = build("--slot", `a=${noise}`, "--size", "64M");
  assert.is(status, 0);
  assert.match(stderr, "no filesystem that is known");
});

test.run();
