/** A disk with a slot for each of several attacks on one image, laid out as an install leaves it: the footer at the slot's end. */

import { readFileSync, writeFileSync } from "node:fs";
import { publicKeyPem } from "../../../boot/image/keys.ts";
import { BLOCK } from "../../../boot/image/verity.ts";
import { partition, writeInto } from "../../../qemu/disk-partitions.ts";
import { madeOf } from "../../../qemu/product.ts";
import { allAttacks } from "../../samples/attacks/all.ts";
import { type Attack, type AttackedWorld, attackedWorld } from "../../samples/attacks/attack.ts";

/** The world of two images' files, whose filesystems are padded to one size. */
export function worldOf(file: string, other: string): AttackedWorld {
  const [first, second] = [readFileSync(file), readFileSync(other)];
  const size = Math.ceil(Math.max(first.length, second.length) / BLOCK) * BLOCK;
  const padded = (bytes: Uint8Array) => {
    const whole = new Uint8Array(size);
    whole.set(bytes);
    return whole;
  };
  return attackedWorld(padded(first), padded(second));
}

/** The line of system.yaml that trusts whom `world` trusts. */
export async function trustOfWorld({ trusted, trust }: AttackedWorld): Promise<string> {
  if (trust.mode !== "signed") throw new Error("attacks are made on signed images");
  const pems = trusted.map(publicKeyPem);
  const directory = await madeOf("attack-keys", pems, async (aside) => {
    pems.forEach((pem, index) => {
      writeFileSync(`${aside}/${index}.pub.pem`, pem);
    });
  });
  const files = pems.map((_, index) => JSON.stringify(`${directory}/${index}.pub.pem`));
  return `trust: { keys: [${files.join(", ")}], threshold: ${trust.threshold} }\n`;
}

/** The attack called `name`. */
export function attackNamed(world: AttackedWorld, name: string): Attack {
  const found = allAttacks(world).find((attack) => attack.name === name);
  if (found === undefined) throw new Error(`no attack is called "${name}"`);
  return found;
}

/** Puts an image's bytes into a slot: its last block, the footer, to the slot's end. */
export function putImage(disk: string, slot: string, image: Uint8Array): void {
  const { firstLba, lastLba } = partition(disk, `root-${slot}`);
  const size = Number(lastLba - firstLba + 1n) * 512;
  if (image.length + BLOCK > size) throw new Error(`slot ${slot} has ${size} bytes, the image ${image.length}`);
  const whole = new Uint8Array(size);
  whole.set(image.subarray(0, -BLOCK));
  whole.set(image.subarray(-BLOCK), size - BLOCK);
  writeInto(disk, `root-${slot}`, whole);
}
