/** Machines whose slots do not boot: what they recover from, and what spoils them. */

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { BLOCK } from "../../../boot/image/verity.ts";
import type { ToldRecovery } from "../../../boot/recovery/step.ts";
import { commitSlot } from "../../../boot/selection/running.ts";
import { lengthOf, partition, readAt, writeInto } from "../../../qemu/disk-partitions.ts";
import { type Nginx, type NginxOptions, startNginx } from "../../../qemu/nginx.ts";
import { slipway } from "../../../qemu/product.ts";
import { testKeyFiles, trustLine } from "../../../qemu/seal.ts";
import { changeRecord, twoSlots } from "./record-on-disk.ts";
import { manifestIn, type SmallImage, smallControl, smallImage, smallSystem } from "./small-image.ts";
import { type SmallMachine, type SmallMachineSpec, smallMachine } from "./small-machine.ts";

/** Tells what is kept through every recovery, and what a person wrote; writes both where they are not there yet. */
export const KEEPING = `report machine-id cat /etc/machine-id
report notes cat /var/lib/notes
[ -e /var/lib/notes ] || { mkdir -p /var/lib; echo "written by $(cat /etc/small-root/facts)" >/var/lib/notes; sync; }
report listening cat /proc/net/tcp /proc/net/tcp6
report links sh -c "ip address; ip route"
`;

/** A small image signed by the key that the machines here trust. */
export function signedImage(version: string, rollbackIndex: number, image: Partial<SmallImage> = {}): SmallImage {
  return { facts: version, script: KEEPING, seal: { keys: ["release"], rollbackIndex }, ...image };
}

export interface Served {
  server: Nginx;
  /** Directory that it serves. */
  www: string;
  /** Where a guest of QEMU's network finds it, without a slash at the end. */
  url: string;
  stop(): Promise<void>;
}

/** A server of an empty directory, as Debian's nginx. */
export async function serve(options: Omit<NginxOptions, "root"> = {}): Promise<Served> {
  const www = mkdtempSync(`${tmpdir()}/slipway-www-`);
  const server = await startNginx({ ...options, root: www });
  const stop = async (): Promise<void> => {
    await server.stop();
    rmSync(www, { recursive: true, force: true });
  };
  return { server, www, url: server.url.replace("127.0.0.1", "10.0.2.2"), stop };
}

/** Publishes image files, by version, as the channel `name` in the directory of that name below `www`. */
export async function publish(www: string, name: string, images: readonly string[], key = "release"): Promise<void> {
  mkdirSync(`${www}/${name}`, { recursive: true });
  const { privateKey } = await testKeyFiles(key);
  for (const image of images) {
    await slipway(["publish", `${www}/${name}`, image, "--channel", name, "--key", privateKey]);
  }
}

/** Text of system.yaml of a machine with signed images that recovers as `recovery` says: lines below `recovery:`, indented. */
export async function recoverySystem(recovery: string, more = ""): Promise<string> {
  return smallSystem(["a", "b"], "ext4", `recovery:\n${recovery.replace(/^/gm, "  ")}\n${more}`, await trustLine(["release"]));
}

/** A machine with one image in both slots, both committed, a before b. */
export async function committedMachine(system: string, image: SmallImage, more: Partial<SmallMachineSpec> = {}) {
  const machine = await smallMachine({ system, slots: { a: image, b: image }, slotSize: "48M", ...more });
  commitBoth(machine, readFileSync(await smallImage(image, await smallControl(system))));
  return machine;
}

/** As if the image had run well in both slots: b first, so that a boots. */
export function commitBoth({ disk }: SmallMachine, image: Buffer): void {
  const { rootHash, rollbackIndex, revokesBelow } = manifestIn(image);
  for (const name of ["b", "a"]) {
    changeRecord(disk, twoSlots, (record) =>
      commitSlot(record, name, rootHash, twoSlots, Date.now(), { rollbackIndex, revokesBelow }),
    );
  }
}

/** Zeros the footer and the seal of `image`, whose file the slot was filled from. */
export function zeroSeal(disk: string, slot: string, image: Buffer): void {
  const start = image.lastIndexOf('{"payload"');
  writeInto(disk, `root-${slot}`, new Uint8Array(2 * BLOCK), start - (start % BLOCK));
  writeInto(disk, `root-${slot}`, new Uint8Array(BLOCK), lengthOf(disk, `root-${slot}`) - BLOCK);
}

/** Turns one bit around in block `block` of the slot. */
export function flipBit(disk: string, slot: string, block: number): void {
  const { firstLba } = partition(disk, `root-${slot}`);
  const [byte = 0] = readAt(disk, Number(firstLba) * 512 + block * BLOCK + 77, 1);
  writeInto(disk, `root-${slot}`, Uint8Array.of(byte ^ 0x10), block * BLOCK + 77);
}

/** Copies an image file to a name below `www`. */
export function offer(www: string, name: string, image: string): void {
  cpSync(image, `${www}/${name}`);
}

/** Bytes that came over the network in all steps of a recovery. */
export function fetchedBy({ steps }: Pick<ToldRecovery, "steps">): number {
  return steps.reduce((sum, { networkBytes }) => sum + networkBytes, 0);
}
