/** Machines whose boot record has GRUB's environment block beside it, or is a file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lengthOf, startOf, writeInto } from "../../../qemu/disk-partitions.ts";
import { makeEsp, putOnEsp } from "../../../qemu/esp.ts";
import { madeOf } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import type { StoreUnderTest } from "./store-story.ts";

/** An ESP with a block as grub-editenv makes it. */
export async function esp(): Promise<string> {
  const directory = await madeOf("store-esp", null, async (aside) => {
    await runProgram("grub-editenv", [`${aside}/block`, "create"]);
    await runProgram("grub-editenv", [`${aside}/block`, "set", "theirs=kept"]);
    await makeEsp(`${aside}/esp`, { "grub/grubenv": { file: `${aside}/block` } }, 64);
  });
  return `${directory}/esp`;
}

/** An ext4 with such a block, as a /boot has. */
async function ext4(): Promise<string> {
  const directory = await madeOf("store-ext4", null, async (aside) => {
    await runProgram("sh", ["-c", `mkdir -p ${aside}/tree/grub && grub-editenv ${aside}/tree/grub/grubenv create`]);
    await runProgram("mkfs.ext4", ["-q", "-d", `${aside}/tree`, `${aside}/image`, "32M"]);
  });
  return `${directory}/image`;
}

export async function loseRecord(disk: string): Promise<void> {
  writeInto(disk, "boot-record", new Uint8Array(4 * 1024 * 1024).fill(0x55));
}

/** Runs `change`, a shell script that is given a file with the filesystem of the partition `label`, and puts that back. */
async function changeExt4(disk: string, label: string, change: string): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), "slipway-ext4-"));
  const [start, length] = [startOf(disk, label), lengthOf(disk, label)].map((bytes) => bytes / 1024 / 1024);
  // What the journal holds is done first: debugfs does not look there. e2fsck says 1 where it did something.
  const program = `cd "$0"
dd if="$1" of=part bs=1M skip=${start} count=${length} conv=sparse status=none
e2fsck -fp part >/dev/null || [ $? -eq 1 ]
${change}
dd if=part of="$1" bs=1M seek=${start} conv=notrunc status=none`;
  try {
    await runProgram("sh", ["-ec", program, scratch, disk]);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

const loseFile = (disk: string) => changeExt4(disk, "sys-data", "debugfs -w -R 'rm /record/boot-record' part");

export const onVfat: StoreUnderTest = {
  name: "grubenv on FAT, slipway's dialect",
  bootRecord:
    "boot-record: { store: grubenv, device: PARTLABEL=boot-record, grubenv: { device: PARTLABEL=esp, file: grub/grubenv, dialect: slipway } }",
  partitions: async () => [`esp:esp=${await esp()}`],
  spoil: (disk) => putOnEsp(disk, { "grub/grubenv": Buffer.alloc(1024) }),
  isRebuilt: true,
  loseRecord,
};

export const onExt4: StoreUnderTest = {
  name: "grubenv on ext4, RAUC's dialect",
  bootRecord:
    "boot-record: { store: grubenv, device: PARTLABEL=boot-record, grubenv: { device: PARTLABEL=boot, file: grub/grubenv, dialect: rauc } }",
  partitions: async () => [`boot:linux=${await ext4()}`],
  spoil: (disk) =>
    changeExt4(
      disk,
      "boot",
      "head -c 1024 /dev/zero | tr '\\0' A >spoiled; printf 'rm /grub/grubenv\nwrite spoiled /grub/grubenv\n' >commands; debugfs -w -f commands part; e2fsck -fp part || [ $? -eq 1 ]",
    ),
  isRebuilt: true,
  loseRecord,
};

export const inFile: StoreUnderTest = {
  name: "the record in a file",
  bootRecord: "boot-record: { store: record }",
  partitions: async () => [],
  spoil: null,
  isRebuilt: false,
  loseRecord: loseFile,
};

export const inFileBesideGrub: StoreUnderTest = {
  ...onVfat,
  name: "grubenv on FAT, the record in a file",
  bootRecord: "boot-record: { store: grubenv, grubenv: { device: PARTLABEL=esp, file: grub/grubenv, dialect: rauc } }",
  loseRecord: loseFile,
};
