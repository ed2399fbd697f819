/** Boots of machines with many operators and many disks, by a clock that counts instructions: the same at every run. */
import type { MachineDisk } from "../../../qemu/disks.ts";
import { emptyFile } from "../../../qemu/images.ts";
import { type GuestKernel, guestKernel } from "../../../qemu/kernel.ts";
import { madeOf } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import { type BootOrder, bootOnce, usualMachine } from "../boot.ts";
import type { BootFacts } from "../facts.ts";
import { type Contestant, makeContestant } from "../operators.ts";
import { timelineOf } from "../timeline.ts";
import type { Collected } from "./growth.ts";

/** The first of each is what the rest is compared with: what any boot costs. */
export const operatorCounts = [0, 10, 100, 1000];
export const diskCounts = [1, 4, 32];

const partitions = 16;
const functionsOfSlot = 8;
const firstSlot = 8;

/** Boots with each count of operators. */
export async function bootWithOperators(
  into: Collected,
  say: (text: string) => void,
  counts: readonly number[] = operatorCounts,
): Promise<void> {
  const kernel = await guestKernel();
  for (const count of counts) {
    say(`a boot with ${count} operators`);
    const contestant = await makeContestant(kernel, count);
    const named = { subject: "operators", unit: "operators", size: count };
    report(into, named, await bootCounting(kernel, contestant), count > 0);
    const { disk, initrd } = contestant;
    const facts = await bootOnce({ kernel, disk }, { name: `scale-${count}`, append: "" }, initrd);
    const { lengthMs } = timelineOf(facts, count > 0).find(({ name }) => name === "state") ?? { lengthMs: 0 };
    into.add({ ...named, what: "boot: Run /init to exec", costs: { wallMs: facts.initToExecMs } });
    into.add({ ...named, what: "boot: the part state", costs: { wallMs: lengthMs } });
  }
}

/** Boots with each count of disks: on the PCI bus, 8 functions a slot; and behind one SCSI controller. Ours is the last. */
export async function bootWithDisks(into: Collected, say: (text: string) => void): Promise<void> {
  const kernel = await guestKernel();
  const contestant = await makeContestant(kernel, 10);
  const other = await otherDisk();
  for (const kind of ["virtio-blk", "virtio-scsi"] as const) {
    for (const count of diskCounts) {
      say(`a boot with ${count} disks of ${kind}, ${partitions} partitions each`);
      const facts = await bootCounting(kernel, contestant, (disk) =>
        Array.from({ length: count }, (_, index): MachineDisk => {
          const ours = index === count - 1;
          const pci = { slot: firstSlot + Math.floor(index / functionsOfSlot), function: index % functionsOfSlot };
          const place = kind === "virtio-blk" ? { pci } : {};
          return { file: ours ? disk : other, readOnly: !ours, interface: kind, ...place };
        }),
      );
      report(into, { subject: `disks of ${kind}`, unit: "disks", size: count }, facts, true);
    }
  }
}

/** With nothing of ours on it. */
async function otherDisk(): Promise<string> {
  const directory = await madeOf("bench-other-disk", partitions, async (aside) => {
    emptyFile(`${aside}/disk`, 64 * 1024 ** 2);
    const lines = Array.from({ length: partitions }, (_, index) => `size=2MiB, name="other-${index}"`);
    await runProgram("sfdisk", ["--quiet", `${aside}/disk`], { input: ["label: gpt", ...lines, ""].join("\n") });
  });
  return `${directory}/disk`;
}

/** Boots a copy of the contestant's disk, counting instructions. */
function bootCounting(
  kernel: GuestKernel,
  { initrd, disk, operators }: Contestant,
  disksOf?: BootOrder["disksOf"],
): Promise<BootFacts> {
  const bench = { ...usualMachine, countInstructions: true };
  const order = { timeoutMs: 300_000, ...(disksOf === undefined ? {} : { disksOf }) };
  return bootOnce({ kernel, disk }, { name: `scale-${operators}`, append: "" }, initrd, bench, order);
}

/**
 * What the kernel and slipway worked until the next init began: where a clock counts instructions, it jumps over the time in
 * which the processor had nothing to do, so that no time between two instants says anything.
 */
function report(
  into: Collected,
  named: { subject: string; unit: string; size: number },
  facts: BootFacts,
  keepsState: boolean,
): void {
  // Throws where it was another boot than an ordinary one.
  timelineOf(facts, keepsState);
  const instructions = Math.round((facts.kernelToExecMs - facts.idleMs) * 1e6);
  into.add({ ...named, what: "boot: kernel start to exec", costs: { instructions } });
}
