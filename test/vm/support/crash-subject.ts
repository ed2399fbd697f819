/** What is crashed in the replay: two versions of an image, and a machine that v1 was used on. */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { raised, withSlot } from "../../../boot/selection/slots.ts";
import { partition, readAt, startOf } from "../../../qemu/disk-partitions.ts";
import { compileControl, madeOf } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import { smallRootTree } from "../../../qemu/roots.ts";
import { type TreeFiles, writeFiles } from "../../../qemu/tree.ts";
import type { DataFilesystem } from "../../../state-ops/control.ts";
import { readControl } from "../../../state-ops/read-control.ts";
import type { NextBoot } from "./crash-job.ts";
import { changeRecord, twoSlots, validRecord } from "./record-on-disk.ts";
import { productFragments, type SmallImage, smallSystem } from "./small-image.ts";
import { type SmallMachine, smallMachine } from "./small-machine.ts";

const operators = `package: app
operators:
  - path: /srv/app
    state: persistent
    via: bind
  - path: /srv/team
    state: shared
    via: bind
    reason: every version writes to it
`;
const newOperator = `  - path: /srv/new
    state: persistent
    via: bind
`;

/** What a version ships: a few dozen files, of which some change from one to the next. */
function filesOf(version: string): TreeFiles {
  const numbered = Array.from({ length: 24 }, (_, index): [string, string] => [
    `/srv/app/part-${index % 4}/file-${index}`,
    `${index % 3 === 0 ? version : "same"} ${index}\n`.repeat(1 + 150 * (index % 7)),
  ]);
  return {
    ...Object.fromEntries(numbered),
    "/srv/app/private": { content: "secret", mode: 0o600 },
    "/srv/team/notes": "shared by all versions\n",
    "/etc/app.conf": `version=${version}\n`,
    "/etc/other.conf": "other=image\n",
    ...(version === "v2" ? { "/etc/added.conf": "added\n", "/srv/new/first": "new in v2\n".repeat(900) } : {}),
  };
}

/** The control file of a version's image, for which another is compiled than the initrd's. */
async function controlOf(system: string, version: string): Promise<string> {
  const fragments = { ...productFragments, "app.yaml": operators + (version === "v2" ? newOperator : "") };
  const directory = await madeOf("crash-control", [system, version, fragments, filesOf(version)], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await smallRootTree(tree, { facts: "none", ending: "hang", directories: ["var/tmp"] });
    writeFiles(tree, filesOf(version));
    await compileControl(system, tree, `${aside}/control.json`, fragments);
    rmSync(tree, { recursive: true });
  });
  return readFileSync(`${directory}/control.json`, "utf8");
}

/** Changes on the data filesystem as v1 would have made them while it ran: a few dozen files of every kind. */
export async function useV1(disk: string, filesystem: DataFilesystem): Promise<void> {
  const { firstLba, lastLba } = partition(disk, "sys-data");
  const options = `loop,offset=${firstLba * 512n},sizelimit=${(lastLba - firstLba + 1n) * 512n}`;
  const script = `set -e
mount -t ${filesystem} -o ${options} "$1" /mnt
cd /mnt/gens/000001
for number in $(seq 1 24); do
  mkdir -p tree/home/user/$((number % 5))
  seq $((number * 90)) >tree/home/user/$((number % 5))/document-$number
  chown $((1000 + number % 3)):100 tree/home/user/$((number % 5))/document-$number
done
ln tree/home/user/1/document-1 tree/home/user/linked
ln -s ../somewhere tree/home/user/link
truncate -s 3M tree/home/user/sparse
printf x | dd of=tree/home/user/sparse bs=1 seek=2000000 conv=notrunc status=none
echo changed >tree/srv-app/part-0/file-0
rm tree/srv-app/part-1/file-1
printf 'version=v1\\nchanged=yes\\n' >ovl/etc/upper/app.conf
mknod ovl/etc/upper/other.conf c 0 0
mkdir -p ovl/var/upper/log
seq 3000 >ovl/var/upper/log/messages
cd /
umount /mnt`;
  await runProgram("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, "sh", disk]);
}

/** As an install does: b holds an image that was never tried, and is to boot next. */
export function tryB(disk: string): void {
  changeRecord(disk, twoSlots, (record) => {
    const waiting = withSlot(record, "b", { state: "trial", tries: 3, reason: null, damaged: null, imageId: null });
    return raised(waiting, "b");
  });
}

/** A machine whose slot a ships v1 and slot b v2. */
export interface Subject {
  filesystem: DataFilesystem;
  machine: SmallMachine;
  controls: { a: string; b: string };
}

export async function makeSubject(filesystem: DataFilesystem): Promise<Subject> {
  const system = smallSystem(["a", "b"], filesystem);
  const controls = { a: await controlOf(system, "v1"), b: await controlOf(system, "v2") };
  const image = (facts: string, control: string): SmallImage => ({ facts, control, files: filesOf(facts) });
  const slots = { a: image("v1", controls.a), b: image("v2", controls.b) };
  // Of a journal's end the guest's kernel may think otherwise than this one, which chooses the points to boot from.
  const extra: Record<string, string> = filesystem === "ext4" ? { "/usr/sbin/e2fsck": "/usr/sbin/e2fsck" } : {};
  return { filesystem, machine: await smallMachine({ system, slots, initrd: { extra } }), controls };
}

/** What PID 1 would know of `slot` if it booted now. */
export function nextBoot(subject: Subject, slot: "a" | "b"): NextBoot {
  const { disk } = subject.machine;
  const imageIdOf = (name: string) =>
    createHash("sha256")
      .update(readAt(disk, startOf(disk, `root-${name}`), 65536))
      .digest("hex");
  const committed = validRecord(disk).lastCommitted;
  return {
    ...{ slot, committed, trial: committed?.slot !== slot, imageId: imageIdOf(slot) },
    controlDigest: readControl(subject.controls[slot]).digest,
  };
}
