/** Machines of two kernels: the loader's is Debian's for clouds, and slot b brings the other one. */
import { readFileSync } from "node:fs";
import { activate, commitSlot } from "../../../boot/selection/running.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import { trustLine } from "../../../qemu/seal.ts";
import { changeRecord, twoSlots } from "./record-on-disk.ts";
import { manifestIn, type SmallImage, smallControl, smallImage, smallSystem } from "./small-image.ts";
import { type SmallMachine, smallInitrd, smallMachine } from "./small-machine.ts";

const trust = await trustLine(["release"]);
/** Text of system.yaml with `kernel: slot`. */
export const signedSystem = (slots: string[], more = "") => smallSystem(slots, "ext4", `kernel: slot\n${more}`, trust);
const system = signedSystem(["a", "b"]);
export const control = await smallControl(system);
export const [cloud, generic] = [await guestKernel("cloud"), await guestKernel("generic")];
const genericInitrd = await smallInitrd(system, { flavour: "generic" });

export const script = `report uname uname -r
report line cat /proc/cmdline
report insmod insmod /usr/lib/modules/$(uname -r)/dummy.ko
report modules cat /proc/modules
`;
export const seal = { keys: ["release"], rollbackIndex: 3 };
export const v1: SmallImage = { facts: "v1", seal, script, kernel: { flavour: "cloud", initrd: await smallInitrd(system) } };
export const v2: SmallImage = { facts: "v2", seal, script, kernel: { flavour: "generic", initrd: genericInitrd } };
export const [v1File, v2File] = [await smallImage(v1, control), await smallImage(v2, control)];
export const rootHash = (file: string) => manifestIn(readFileSync(file)).rootHash;

/** The image of `file` in slot a is committed. */
export function commitA(disk: string, file: string): void {
  const committed = { rollbackIndex: 3, revokesBelow: null };
  changeRecord(disk, twoSlots, (record) => commitSlot(record, "a", rootHash(file), twoSlots, 0, committed));
}

/** Slot a with {@link v1File} is committed, and slot b with `file` tried next. */
export function activateB(disk: string, file: string): void {
  commitA(disk, v1File);
  changeRecord(disk, twoSlots, (record) => activate(record, "b", rootHash(file), "a", twoSlots));
}

export const machineWith = (a: string, b: string): Promise<SmallMachine> =>
  smallMachine({ system, slots: { a, b }, size: "1G", slotSize: "250M" });
/** Two kernels and their initrds are in memory at once. */
export const memory = { memoryMiB: 1024 };
