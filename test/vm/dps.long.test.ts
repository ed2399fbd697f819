/** A disk that systemd-repart made: slots whose hash tree and signature are partitions of their own. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { startOf, writeInto } from "../../qemu/disk-partitions.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { initrdFor, keptOf } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { readMounts } from "./support/mounts.ts";
import { validRecord } from "./support/record-on-disk.ts";
import { smallControl, smallImage } from "./support/small-image.ts";
import { boot, part } from "./support/small-machine.ts";

const scratch = mkdtempSync(`${tmpdir()}/slipway-dps-vm-`);
test.after(() => rmSync(scratch, { recursive: true, force: true }));

/** Keys and certificates: a release's, and a stranger's. */
const keys = await keptOf("dps-keys", 1, async (aside) => {
  for (const name of ["release", "stranger"]) {
    const files = ["-keyout", `${aside}/${name}.pem`, "-out", `${aside}/${name}.crt`];
    await runProgram("openssl", ["req", "-x509", "-nodes", "-newkey", "rsa:2048", ...files, "-subj", `/CN=${name}`]);
  }
});

const slot = (name: string) =>
  `{ device: PARTLABEL=root-${name}, verity: PARTLABEL=root-${name}-verity, signature: PARTLABEL=root-${name}-verity-sig }`;
const system = `system: small
slots:
  a: ${slot("a")}
  b: ${slot("b")}
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
device-timeout: 3s
recovery: off
trust: { certificates: [${keys}/release.crt] }
`;

async function makeDisk(images: Record<string, { file: string; key: string }>): Promise<string> {
  const disk = `${scratch}/disk`;
  rmSync(disk, { force: true });
  const plain = (label: string, more: string) => `[Partition]\nType=linux-generic\nLabel=${label}\n${more}\n`;
  const definitions: [string, string][] = [["10-record", plain("boot-record", "SizeMinBytes=8M\nSizeMaxBytes=8M")]];
  for (const [name, { file }] of Object.entries(images)) {
    const one = (type: string, label: string, verity: string, more = "") =>
      `[Partition]\nType=${type}\nLabel=root-${name}${label}\nVerity=${verity}\nVerityMatchKey=${name}\n${more}`;
    const size = "SizeMinBytes=16M\nSizeMaxBytes=16M\n";
    definitions.push([`20-${name}-0`, one("root", "", "data", `CopyBlocks=${file}\n${size}`)]);
    definitions.push([`20-${name}-1`, one("root-verity", "-verity", "hash", size)]);
    definitions.push([`20-${name}-2`, one("root-verity-sig", "-verity-sig", "signature")]);
  }
  definitions.push(["90-data", plain("sys-data", "Format=ext4\nSizeMinBytes=64M")]);
  const [{ key } = { key: "release" }] = Object.values(images);
  mkdirSync(`${scratch}/definitions`, { recursive: true });
  for (const [name, text] of definitions) writeFileSync(`${scratch}/definitions/${name}.conf`, text);
  const signing = [`--private-key=${keys}/${key}.pem`, `--certificate=${keys}/${key}.crt`];
  const words = ["--empty=create", "--size=512M", `--definitions=${scratch}/definitions`, "--dry-run=no", ...signing, disk];
  await runProgram("unshare", ["--mount", "systemd-repart", ...words]);
  return disk;
}

const control = await smallControl(system);
const script = "report dm cat /sys/block/dm-0/dm/name; report table cat /proc/partitions\n";
const v1 = await smallImage({ facts: "v1", script }, control);
const v2 = await smallImage({ facts: "v2", script }, control);
const initrd = await initrdFor(control);
const { kernel } = await guestKernel();

test("systemd-repart's partitions boot, each block proven under the signed root hash; damage and strangers are gone past", async () => {
  const signedByRelease = { key: "release" };
  const disk = await makeDisk({ a: { file: v1, ...signedByRelease }, b: { file: v2, ...signedByRelease } });
  const told = await boot({ kernel, initrd, disk });
  assert.is(told.root, "v1");
  assert.equal([told.report.proof, told.report.image], ["signed", null]);
  assert.is(part(told, "dm"), "slipway-a");
  assert.is(readMounts(part(told, "mounts")).find(({ path }) => path === "/")?.source, "/dev/dm-0");
  const json = readFileSync(disk).subarray(startOf(disk, "root-a-verity-sig"), startOf(disk, "root-a-verity-sig") + 16384);
  const said: { rootHash: string; certificateFingerprint: string } = JSON.parse(json.toString().replace(/\0+$/, ""));
  assert.is(told.report.imageId, said.rootHash);
  assert.equal(told.report.signers, [said.certificateFingerprint]);
  assert.not.match(told.report.warnings.join("\n"), /UUID/);
  assert.is(validRecord(disk).slots.a?.imageId, said.rootHash);

  // A byte of slot a's first block: its superblock's padding, which only the tree knows of.
  writeInto(disk, "root-a", new Uint8Array([1]), 7);
  const next = await boot({ kernel, initrd, disk });
  assert.is(next.root, "v2");
  assert.match(next.report.skipped[0]?.reason ?? "", /^the image differs from its hash tree \(dm-verity\)/);
  assert.ok(validRecord(disk).slots.a?.damaged);
});

test("a stranger's signature, and one of another slot's root hash", async () => {
  const disk = await makeDisk({ a: { file: v1, key: "stranger" }, b: { file: v2, key: "stranger" } });
  const other = await (async () => {
    cpSync(disk, `${scratch}/strangers`);
    return makeDisk({ a: { file: v1, key: "release" }, b: { file: v2, key: "release" } });
  })();
  // Slot a keeps the stranger's signature, beside partitions that the release made.
  const bytes = readFileSync(`${scratch}/strangers`);
  const start = startOf(`${scratch}/strangers`, "root-a-verity-sig");
  writeInto(other, "root-a-verity-sig", bytes.subarray(start, start + 16384), 0);
  const told = await boot({ kernel, initrd, disk: other });
  assert.is(told.root, "v2");
  assert.match(told.report.skipped[0]?.reason ?? "", /is signed by the certificate [0-9a-f]{12}; trusted are: [0-9a-f]{12}/);
  // And slot a with slot b's: a signature that is trusted, of a hash that its blocks do not have.
  const whole = readFileSync(other);
  const from = startOf(other, "root-b-verity-sig");
  writeInto(other, "root-a-verity-sig", whole.subarray(from, from + 16384), 0);
  const disk2 = `${scratch}/swapped`;
  cpSync(other, disk2);
  writeInto(disk2, "boot-record", new Uint8Array(8 * 1024 * 1024), 0);
  const swapped = await boot({ kernel, initrd, disk: disk2 });
  assert.is(swapped.root, "v2");
  assert.match(swapped.report.skipped[0]?.reason ?? "", /the image differs from its hash tree|the hash tree on/);
});

test.run();
