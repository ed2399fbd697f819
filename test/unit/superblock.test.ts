import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { isoImage } from "../samples/iso-image.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-superblock-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));
mkdirSync(join(directory, "tree"));
writeFileSync(join(directory, "tree", "file"), "content");

const uuid = "9f2e8c6b-1d3a-4f5e-8b7c-0a1b2c3d4e5f";
const MiB = 1024n * 1024n;

function run(program: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(program, args, {
    env: { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}` },
  });
  assert.is(status, 0, `${program} ${args.join(" ")}: ${stderr}`);
}

function make(size: bigint, program: string, ...args: string[]): string {
  const path = join(directory, "image");
  rmSync(path, { force: true });
  writeFileSync(path, "");
  if (size > 0n) truncateSync(path, Number(size));
  run(program, ...args.map((arg) => (arg === "IMAGE" ? path : arg)));
  return path;
}

function start(path: string): Uint8Array {
  const bytes = new Uint8Array(SUPERBLOCK_BYTES);
  const fd = openSync(path, "r");
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

for (const type of ["ext2", "ext3", "ext4"] as const) {
  test(type, () => {
    const path = make(8n * MiB, `mkfs.${type}`, "-q", "-F", "-U", uuid, "-L", "sys-data", "IMAGE");
    assert.equal(readSuperblock(start(path)), { type, uuid, label: "sys-data", size: 8n * MiB });
  });
}

test("ext4 without a label, with blocks of 4 KiB", () => {
  const path = make(64n * MiB, "mkfs.ext4", "-q", "-F", "-b", "4096", "-U", uuid, "IMAGE");
  assert.equal(readSuperblock(start(path)), { type: "ext4", uuid, label: null, size: 64n * MiB });
});

test("xfs", () => {
  const path = make(320n * MiB, "mkfs.xfs", "-q", "-m", `uuid=${uuid}`, "-L", "sys-data", "IMAGE");
  assert.equal(readSuperblock(start(path)), { type: "xfs", uuid, label: "sys-data", size: 320n * MiB });
});

test("btrfs", () => {
  const path = make(128n * MiB, "mkfs.btrfs", "-q", "-U", uuid, "-L", "sys-data", "IMAGE");
  assert.equal(readSuperblock(start(path)), { type: "btrfs", uuid, label: "sys-data", size: 128n * MiB });
});

test("erofs", () => {
  const path = make(0n, "mkfs.erofs", "-U", uuid, "IMAGE", join(directory, "tree"));
  assert.equal(readSuperblock(start(path)), { type: "erofs", uuid, label: null, size: BigInt(statSync(path).size) });
});

test("squashfs says its bytes without the padding to 4 KiB", () => {
  const path = make(0n, "mksquashfs", join(directory, "tree"), "IMAGE", "-noappend", "-quiet", "-no-progress");
  const superblock = readSuperblock(start(path));
  assert.equal({ ...superblock, size: 0n }, { type: "squashfs", uuid: null, label: null, size: 0n });
  const padded = ((superblock?.size ?? 0n) + 4095n) & ~4095n;
  assert.is(padded, BigInt(statSync(path).size));
});

for (const [bits, size] of [
  ["12", 4n],
  ["16", 32n],
  ["32", 64n],
] as const) {
  test(`vfat with ${bits} bits`, () => {
    const path = make(size * MiB, "mkfs.vfat", "-F", bits, "-i", "1A2B3C4D", "-n", "EFI", "IMAGE");
    assert.equal(readSuperblock(start(path)), { type: "vfat", uuid: "1a2b-3c4d", label: "EFI", size: size * MiB });
  });
}

test("vfat without a label", () => {
  const path = make(4n * MiB, "mkfs.vfat", "-i", "1A2B3C4D", "IMAGE");
  assert.is(readSuperblock(start(path))?.label, null);
});

test("iso9660, as blkid reads it too", () => {
  const bytes = isoImage("ACME MEDIA", { "channel.json": Buffer.from("{}"), slipway: { "a.img": new Uint8Array(5000) } });
  const path = join(directory, "image");
  writeFileSync(path, bytes);
  const seen = readSuperblock(start(path));
  assert.equal(seen, { type: "iso9660", uuid: "2026-02-03-04-05-06-00", label: "ACME MEDIA", size: BigInt(bytes.length) });
  const { stdout } = spawnSync("/usr/sbin/blkid", ["-p", "-o", "export", path], { encoding: "utf8" });
  assert.match(stdout, /^TYPE=iso9660$/m);
  assert.match(stdout, new RegExp(`^UUID=${seen?.uuid}$`, "m"));
  assert.match(stdout, /^LABEL=ACME\\? MEDIA$/m);
});

test("iso9660 without label and date; a descriptor that is cut short, or none of the volume, is none", () => {
  const bytes = isoImage("", {});
  const at = 16 * 2048;
  bytes.fill(0x30, at + 813, at + 813 + 16);
  bytes.fill(0x30, at + 830, at + 830 + 16);
  const { uuid, label } = readSuperblock(bytes) ?? {};
  assert.equal({ uuid, label }, { uuid: null, label: null });
  assert.is(readSuperblock(bytes.subarray(0, at + 2047)), null);
  bytes[at] = 2;
  assert.is(readSuperblock(bytes), null);
});

test("nothing is recognised in zeros, nothing, or noise", () => {
  assert.is(readSuperblock(new Uint8Array(SUPERBLOCK_BYTES)), null);
  assert.is(readSuperblock(new Uint8Array(0)), null);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => readSuperblock(bytes) === null));
});

test("a superblock that is cut short, at any length, is no error", () => {
  const whole = start(make(64n * MiB, "mkfs.ext4", "-q", "-F", "-U", uuid, "IMAGE"));
  for (let length = 0; length < 2048; length += 7) readSuperblock(whole.subarray(0, length));
  assert.is(readSuperblock(whole.subarray(0, 2047)), null);
  assert.is(readSuperblock(whole.subarray(0, 2048))?.uuid, uuid);
});

test.run();
