/** What is crashed in the replay of installs: a machine that installs an image from a second disk and repairs what it spoils. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { readPublicKeyPem } from "../../../boot/image/keys.ts";
import { commitSlot } from "../../../boot/selection/running.ts";
import { readSeal } from "../../../init/image/read-seal.ts";
import { O } from "../../../init/kernel/constants.ts";
import { withOpen } from "../../../init/kernel/files.ts";
import { linuxKernel } from "../../../init/kernel/linux.ts";
import { partition } from "../../../qemu/disk-partitions.ts";
import { testKeyFiles, trustLine } from "../../../qemu/seal.ts";
import type { TreeFiles } from "../../../qemu/tree.ts";
import { changeRecord, twoSlots } from "./record-on-disk.ts";
import { type SmallImage, smallControl, smallImage, smallSystem } from "./small-image.ts";
import { type SmallMachine, smallMachine } from "./small-machine.ts";

const kernel = linuxKernel();

/** What is written over blocks of the target between install and repair, so that the replay finds the place in its log. */
export const SPOILED = "spoiled by the test";
/** Blocks of the target's data that are spoiled: the first, with the superblock, and others far from each other. */
export const SPOILED_BLOCKS = [0, 100, 333, 700];

/** Bytes that no filesystem compresses much, the same for the same name. */
export function noise(name: string, bytes: number): string {
  let text = "";
  for (let at = 0; text.length < bytes; at++) text += createHash("sha512").update(`${name} ${at}`).digest("base64");
  return text;
}

/** Some files that all versions share, some that only this one has, and some that moved. */
function filesOf(version: string): TreeFiles {
  const own = ["one", "two", "three"].map((name): [string, string] => [`/srv/${name}`, noise(`${version} ${name}`, 300_000)]);
  const shared = ["four", "five"].map((name): [string, string] => [`/srv/${name}`, noise(name, 400_000)]);
  const moved: [string, string] = [`/srv/${version === "v0" ? "a" : "z"}`, noise("moved", 200_000)];
  return Object.fromEntries([...own, ...shared, moved]);
}

const seal = (rollbackIndex: number) => ({ keys: ["release"], rollbackIndex });

/** The image that is to be installed. */
export const newImage: SmallImage = { facts: "v2", files: filesOf("v2"), seal: seal(2) };
/** What the target holds before. */
const oldImage: SmallImage = { facts: "v0", files: filesOf("v0"), seal: seal(0) };

/** A shell's words that write {@link SPOILED} into a block of the target. */
const spoil = (block: number) => `printf '${SPOILED}' | dd of=/dev/vda3 bs=1 seek=$((${block} * 4096 + 1500)) conv=notrunc 2>&1`;

const script = `report install slipway install /dev/vdb --slot b --json
sync
${SPOILED_BLOCKS.map((block) => `report spoil-${block} sh -c "${spoil(block).replaceAll("$", "\\$")}"`).join("\n")}
sync
report repair slipway repair b /dev/vdb --json
report status slipway status --json
sync
`;

export interface InstallSubject {
  machine: SmallMachine;
  /** File of the image that is installed: the second disk. */
  image: string;
  /** Files of it and of the image that the target holds before, by version. */
  images: Record<string, string>;
  /** What signed them, 32 bytes in hex. */
  key: string;
}

/** Slot a runs v1, slot b holds v0; both are still to be committed: {@link commitBoth}. */
export async function makeInstallSubject(): Promise<InstallSubject> {
  const system = smallSystem(["a", "b"], "ext4", "", await trustLine(["release"]));
  const control = await smallControl(system);
  const running: SmallImage = { facts: "v1", files: filesOf("v1"), seal: seal(1), slipway: true, script };
  const machine = await smallMachine({ system, slots: { a: running, b: oldImage }, slotSize: "112M" });
  const [image, old] = [await smallImage(newImage, control), await smallImage(oldImage, control)];
  const { publicKey } = await testKeyFiles("release");
  const { raw } = readPublicKeyPem(publicKey, readFileSync(publicKey, "utf8"));
  return { machine, image, images: { v0: old, v2: image }, key: raw.toHex() };
}

/** As if both slots had run well: b first, so that a boots. */
export function commitBoth({ machine: { disk } }: InstallSubject): void {
  for (const name of ["b", "a"]) {
    const { seal } = sealedIn(disk, name);
    const { rootHash, rollbackIndex, revokesBelow } = seal.manifest;
    changeRecord(disk, twoSlots, (record) =>
      commitSlot(record, name, rootHash, twoSlots, Date.now(), { rollbackIndex, revokesBelow }),
    );
  }
}

function sealedIn(disk: string, slot: string) {
  const { firstLba, lastLba } = partition(disk, `root-${slot}`);
  const start = firstLba * 512n;
  const reader = { read: (fd: number, length: number, offset: bigint | null) => kernel.read(fd, length, start + (offset ?? 0n)) };
  const reading = withOpen(kernel, disk, O.RDONLY, (fd) => readSeal(reader, fd, (lastLba - firstLba + 1n) * 512n));
  if (reading.is !== "sealed") throw new Error(`slot ${slot}: ${reading.reason}`);
  return reading;
}
