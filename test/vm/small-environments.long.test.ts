/** The boot record beside U-Boot's environment, on a device as it is and in a file on FAT; slipway chooses. */
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import { writeInto } from "../../qemu/disk-partitions.ts";
import { makeEsp, putOnEsp } from "../../qemu/esp.ts";
import { keptOf, madeOf } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { writeFiles } from "../../qemu/tree.ts";
import { type StoreUnderTest, storeStory } from "./support/store-story.ts";
import { loseRecord } from "./support/store-subjects.ts";

const SIZE = 0x4000;

/** An environment as mkenvimage makes it. Kept. */
async function environment(redundant: boolean): Promise<Uint8Array> {
  const directory = await madeOf("store-environment", [redundant], async (aside) => {
    // So long that its checksum and what it says of the slots lie in different sectors.
    writeFiles(aside, { "/text": `bootcmd=run distro_bootcmd\nlong=${"x".repeat(600)}\n` });
    const layout = redundant ? ["-r"] : [];
    await runProgram("mkenvimage", [...layout, "-s", String(SIZE), "-o", `${aside}/environment`, `${aside}/text`]);
  });
  return readFileSync(`${directory}/environment`);
}

/** fw_env.config as system.yaml names it: by a path that stays. */
async function configuration(text: string): Promise<string> {
  return `${await keptOf("store-fw-env", text, async (aside) => writeFiles(aside, { "/fw_env.config": text }))}/fw_env.config`;
}

async function rawPartition(redundant: boolean): Promise<string[]> {
  const bytes = await environment(redundant);
  const directory = await madeOf("store-raw", [redundant], async (aside) => {
    const disk = Buffer.alloc(1024 * 1024);
    disk.set(bytes, 0x8000);
    if (redundant) disk.set(bytes, 0x10000);
    writeFileSync(`${aside}/image`, disk);
  });
  return [`env:linux=${directory}/image`];
}

const PARTITION = "/dev/disk/by-partlabel/env";

async function raw(redundant: boolean): Promise<StoreUnderTest> {
  const lines = [0x8000, ...(redundant ? [0x10000] : [])];
  const config = await configuration(lines.map((at) => `${PARTITION} 0x${at.toString(16)} 0x${SIZE.toString(16)}\n`).join(""));
  return {
    name: redundant ? "two copies on a partition" : "one copy on a partition",
    bootRecord: `boot-record: { store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: ${config}, dialect: rauc } }`,
    partitions: () => rawPartition(redundant),
    spoil: async (disk) => {
      for (const at of lines) writeInto(disk, "env", new Uint8Array(512).fill(0x41), at + 512);
    },
    isRebuilt: false,
    loseRecord,
  };
}

const inFile: StoreUnderTest = {
  name: "a file on FAT",
  bootRecord: `boot-record: { store: uboot-env, device: PARTLABEL=boot-record, uboot-env: { config: ${await configuration(`/boot/uboot.env 0x0 0x${SIZE.toString(16)}\n`)}, dialect: rauc-decimal, device: PARTLABEL=esp } }`,
  partitions: async () => {
    const bytes = await environment(false);
    const directory = await madeOf("store-environment-esp", null, (aside) => makeEsp(`${aside}/esp`, { "uboot.env": bytes }, 64));
    return [`esp:esp=${directory}/esp`];
  },
  spoil: (disk) => putOnEsp(disk, { "uboot.env": Buffer.alloc(SIZE, 0x41) }),
  isRebuilt: false,
  loseRecord,
};

for (const subject of [await raw(false), await raw(true), inFile]) await storeStory(subject);

test.run();
