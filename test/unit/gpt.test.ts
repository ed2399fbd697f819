import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { crc32 } from "../../boot/devices/crc32.ts";
import { type Gpt, mbrSignature, readGpt } from "../../boot/devices/gpt.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-gpt-"));
test.after(() => rmSync(directory, { recursive: true, force: true }));
const disk = join(directory, "disk");

function sfdisk(script: string, ...options: string[]): Uint8Array {
  rmSync(disk, { force: true });
  writeFileSync(disk, "");
  truncateSync(disk, 8 * 1024 * 1024);
  const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH}` };
  const { status, stderr } = spawnSync("sfdisk", ["-q", ...options, disk], { input: script, env });
  assert.is(status, 0, String(stderr));
  return new Uint8Array(readFileSync(disk));
}

const script = `label: gpt
label-id: 11111111-2222-3333-4444-5555555555FF
size=1MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name="root-a", uuid=AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE, attrs="GUID:63,48"
5 : size=2MiB, name="Größe"
`;

function read(bytes: Uint8Array, sectorSize = 512): Gpt | string {
  return readGpt((offset, length) => bytes.subarray(Number(offset), Number(offset) + length), BigInt(bytes.length), sectorSize);
}

function table(result: Gpt | string): Gpt {
  if (typeof result === "string") throw new Error(result);
  return result;
}

test("CRC-32 of the check string", () => assert.is(crc32(new TextEncoder().encode("123456789")), 0xcbf43926));

test("a table as sfdisk writes it", () => {
  const gpt = table(read(sfdisk(script)));
  assert.is(gpt.diskGuid, "11111111-2222-3333-4444-5555555555ff");
  assert.is(gpt.from, "primary");
  assert.equal(gpt.notes, []);
  const [first, second] = gpt.partitions;
  assert.is(gpt.partitions.length, 2);
  assert.equal(first, {
    number: 1,
    type: "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    unique: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    label: "root-a",
    firstLba: 2048n,
    lastLba: 4095n,
    attributes: (1n << 63n) | (1n << 48n),
  });
  assert.is(second?.number, 5);
  assert.is(second?.label, "Größe");
  assert.is(second?.firstLba, 4096n);
  assert.is(second?.lastLba, 8191n);
});

test("a damaged primary, header or entries, gives way to the backup with a note", () => {
  for (const offset of [512 + 60, 1024 + 3]) {
    const bytes = sfdisk(script);
    const whole = table(read(bytes));
    bytes[offset] = (bytes[offset] ?? 0) ^ 1;
    const gpt = table(read(bytes));
    assert.is(gpt.from, "backup");
    assert.equal(gpt.partitions, whole.partitions);
    assert.match(gpt.notes[0] ?? "", "primary table is damaged");
  }
});

test("both damaged: no table, and why", () => {
  const bytes = sfdisk(script);
  bytes[512] = 0;
  bytes[bytes.length - 512 + 60] = 0xff;
  assert.is(read(bytes), "primary: no GPT signature; backup: checksum of the header is wrong");
});

test("a table on a disk that grew is accepted with a note", () => {
  const bytes = sfdisk(script);
  const larger = new Uint8Array(bytes.length + 1024 * 1024);
  larger.set(bytes);
  const gpt = table(read(larger));
  assert.is(gpt.from, "primary");
  assert.match(gpt.notes[0] ?? "", `LBA ${bytes.length / 512 - 1}, not at the last, ${larger.length / 512 - 1}`);
});

test("every single flipped bit of the primary header is noticed", () => {
  const bytes = sfdisk(script);
  for (let bit = 0; bit < 92 * 8; bit++) {
    const at = 512 + (bit >> 3);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
    assert.is(table(read(bytes)).from, "backup", `bit ${bit}`);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
  }
});

test("the signature of an MBR, but not of one that protects a GPT", () => {
  assert.is(mbrSignature(sfdisk("label: dos\nlabel-id: 0xdeadbe0f\nsize=1MiB\n").subarray(0, 512)), "deadbe0f");
  assert.is(mbrSignature(sfdisk(script).subarray(0, 512)), null);
  assert.is(mbrSignature(new Uint8Array(512)), null);
});

test.run();
