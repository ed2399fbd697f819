/** slipway install and repair from the command line, on slots that are real block devices. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";
import { sealedImage, testKey } from "../samples/sealed-image.ts";
import { trusting } from "../unit/channel-machine.ts";
import { controlFile } from "../unit/golden-machine.ts";
import { InstallMachine } from "./install-machine.ts";
import { attach, detach, program, scratch } from "./state-machine.ts";

const MiB = 1024 * 1024;
const key = await testKey();

/** An ext4 of 6 MiB with a file that tells the version, and one that is the same in every version. */
function filesystem(version: string): Uint8Array {
  const tree = join(scratch, `tree-${version}`);
  mkdirSync(tree);
  writeFileSync(join(tree, "version"), version.repeat(20_000));
  const same = Array.from({ length: (3 * MiB) / 32 }, (_, index) => sha256Bytes(`same ${index}`));
  writeFileSync(join(tree, "same"), Buffer.concat(same));
  const file = join(scratch, `${version}.ext4`);
  const times = ["-E", "hash_seed=00000000-0000-0000-0000-000000000001", "-U", "00000000-0000-0000-0000-000000000002"];
  program("mkfs.ext4", "-q", "-O", "^has_journal", ...times, "-d", tree, file, "6M");
  return readFileSync(file);
}

const [v1, v2] = await Promise.all(
  ["1.0", "2.0"].map((version) => sealedImage(filesystem(version), [key], { version, filesystem: "ext4" })),
);
if (v1 === undefined || v2 === undefined) throw new Error("two images");
const file = join(scratch, "v2.img");
writeFileSync(file, v2.bytes);

const { system, trust } = trusting([key]);
const held = { bytes: v1.bytes, imageId: v1.manifest.rootHash };
const machine = new InstallMachine({ system, trust, slots: { a: held, b: null }, slotSize: 8 * MiB });
let devices: string[] = [];

/** All as it was in the beginning, the slots behind loop devices. */
function reset(): void {
  for (const device of devices) detach(device);
  machine.reset();
  devices = (["a", "b"] as const).map((name) => attach(machine.slot(name)));
  const slots = ["a", "b"].map((name, index) => ({ name, device: devices[index] ?? "" }));
  writeFileSync(machine.places.control, controlFile({ system, trust, slots, data: null }).text);
  const report = JSON.parse(readFileSync(machine.places.report, "utf8"));
  writeFileSync(machine.places.report, JSON.stringify({ ...report, slotDevice: devices[0] }));
}
test.before.each(reset);
test.after(() => {
  for (const device of devices) detach(device);
  machine.close();
});

const deviceB = () => devices[1] ?? "";

function slipway(...words: string[]) {
  const [name = "", ...args] = machine.command(...words);
  const { status, stdout, stderr } = spawnSync(name, args, { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } });
  const last = stdout.trim().split("\n").at(-1) ?? "";
  return { status, stdout, stderr, result: last.startsWith("{") ? JSON.parse(last) : null };
}

/** Overwrites a part of slot b's device, past all caches. */
function spoil(offset: number): void {
  const options = ["bs=4096", "count=1", `seek=${offset / BLOCK}`, "oflag=direct", "conv=notrunc"];
  program("dd", "if=/dev/urandom", `of=${deviceB()}`, "status=none", ...options);
}

test("install: JSON tells how far it came, the slot holds the image, the record tries it", () => {
  const done = slipway("install", file, "--json");
  assert.is(done.status, 0, done.stderr);
  assert.ok(machine.holds("b", v2.bytes));
  const lines = done.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal([...new Set(lines.map(({ type }) => type))], ["progress", "result"]);
  const { slot, changed, image, bytes, networkBytes } = done.result;
  assert.equal([slot, changed, image.version, networkBytes], ["b", true, "2.0", 0]);
  assert.ok(bytes.donorBytes.a > 3 * MiB, `${bytes.donorBytes.a} bytes from slot a`);
  assert.ok(bytes.sourceBytes < MiB / 4 && bytes.sourceBytes > 0, `${bytes.sourceBytes} bytes from the file`);
  const { state, tries, imageId } = machine.record().slots.b ?? {};
  assert.equal({ state, tries, imageId }, { state: "trial", tries: 3, imageId: v2.manifest.rootHash });
});

test("install in words, twice; as a URL, and with a trial that waits", () => {
  const first = slipway("install", `file://${file}`);
  assert.is(first.status, 0, first.stderr);
  assert.match(first.stdout, /^Slot b holds acme 2\.0 .*, whole and read back:\n.*from the source/);
  assert.match(first.stderr, /^Getting the image's hash tree\.\nComparing .*\nWriting .*\nReading slot b back\.\n$/);
  const second = slipway("install", scratch);
  assert.is(second.status, 0, second.stderr);
  assert.match(second.stdout, /already, whole: nothing was written/);
});

test("a dry run changes nothing, and says what an install does", () => {
  const before = machine.bytes("b");
  const planned = slipway("install", file, "--dry-run", "--json").result;
  assert.ok(machine.bytes("b").equals(before));
  assert.is(machine.record().slots.b?.state, "empty");
  assert.equal(slipway("install", file, "--json").result.bytes, planned.bytes);
});

test("a slot that is mounted, or read-only, is refused, with nothing written", () => {
  slipway("install", file);
  const place = join(scratch, "mounted");
  mkdirSync(place);
  program("mount", "-o", "ro,noload", deviceB(), place);
  const spoilt = join(scratch, "v1.img");
  writeFileSync(spoilt, v1.bytes);
  const mounted = slipway("install", spoilt, "--slot", "b");
  program("umount", place);
  assert.is(mounted.status, 3);
  assert.match(mounted.stderr, /slot b: \/dev\/loop\d+ cannot be opened \(EBUSY\); it is mounted or in use: unmount it/);
  program("blockdev", "--setro", deviceB());
  const protectedSlot = slipway("repair", "b");
  program("blockdev", "--setrw", deviceB());
  assert.is(protectedSlot.status, 3);
  assert.match(protectedSlot.stderr, /slot b: \/dev\/loop\d+ is read-only; blockdev --setrw/);
  assert.ok(machine.holds("b", v2.bytes));
});

test("a block that was spoilt is found and repaired: from the other slot, or from the image", () => {
  slipway("install", file);
  const whole = slipway("repair", "b", "--json");
  assert.is(whole.status, 0, whole.stderr);
  assert.is(whole.result.changed, false);
  const blocks = Array.from({ length: v2.manifest.filesystemSize / BLOCK }, (_, index) => index * BLOCK);
  const [old, now] = [v1, v2].map(
    ({ bytes }) =>
      (at: number) =>
        Buffer.from(bytes.subarray(at, at + BLOCK)),
  );
  if (old === undefined || now === undefined) throw new Error("two images");
  const common = blocks.find((at) => at > MiB && now(at).some((byte) => byte !== 0) && old(at).equals(now(at))) ?? 0;
  const own = blocks.findLast((at) => !blocks.some((other) => old(other).equals(now(at)))) ?? 0;
  spoil(common);
  const local = slipway("repair", "b", "--json");
  assert.equal([local.status, local.result.bytes.donorBytes.a, local.result.bytes.sourceBytes], [0, BLOCK, 0]);
  assert.ok(machine.holds("b", v2.bytes));
  spoil(own);
  const missing = slipway("repair", "b");
  assert.is(missing.status, 3);
  assert.match(missing.stderr, /1 block is in no other slot; run "slipway repair b SOURCE"/);
  const fetched = slipway("repair", "b", file, "--json");
  assert.equal([fetched.status, fetched.result.bytes.sourceBytes], [0, BLOCK]);
  assert.ok(machine.holds("b", v2.bytes));
});

test("what is no image, or not there, is an error; a word that is no source is bad input", () => {
  const none = join(scratch, "none.img");
  writeFileSync(none, new Uint8Array(MiB));
  for (const [source, status, expected] of [
    [none, 1, /no sealed image: its last 4096 bytes are no footer/],
    [join(scratch, "missing.img"), 1, /cannot be opened \(ENOENT\)/],
    ["ftp://host/x.img", 2, /a source is an https:, http: or file: URL, or a path/],
    ["/dev/null", 2, /is a character; a source is a file, a device, or a directory with an image/],
  ] as const) {
    const answer = slipway("install", source);
    assert.match(answer.stderr, expected);
    assert.is(answer.status, status, source);
  }
  assert.is(machine.record().slots.b?.state, "empty");
});

test.run();
