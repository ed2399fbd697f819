/** What operators add to a boot: small roots that differ in their fragments alone. */
import { mkdirSync, rmSync } from "node:fs";
import { makeImage } from "../../qemu/images.ts";
import { type GuestKernel, guestKernel } from "../../qemu/kernel.ts";
import { startMachine } from "../../qemu/machine.ts";
import { compileControl, initrdFor, madeOf, slipway } from "../../qemu/product.ts";
import { smallRootTree } from "../../qemu/roots.ts";
import { writeFiles } from "../../qemu/tree.ts";
import { bootOnce } from "./boot.ts";
import { compileNextInit, nextInit, nextInitText } from "./next-init.ts";
import { operatorsFragment } from "./operators-fragment.ts";
import type { MeasuredOperators } from "./operators-table.ts";
import { timelineOf } from "./timeline.ts";

const counts = [0, 1, 100];

const system = `system: bench
slots:
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: unsigned
`;

/** What the images are made by: another version makes others. */
async function sources(): Promise<string[]> {
  return [nextInitText(), await Bun.file(import.meta.filename).text()];
}

export interface Contestant {
  operators: number;
  initrd: string;
  disk: string;
  measured: MeasuredOperators;
}

/** Boots with each count of operators, in turn. Throws Error where a boot failed or left state out. */
export async function measureOperators(runs: number, say: (text: string) => void): Promise<MeasuredOperators[]> {
  const kernel = await guestKernel();
  say("making images and disks, each booted once to commit it; kept for the next time");
  const contestants: Contestant[] = [];
  for (const operators of counts) contestants.push(await makeContestant(kernel, operators));
  for (let run = 1; run <= runs; run++) {
    for (const { operators, disk, initrd, measured } of contestants) {
      const facts = await bootOnce({ kernel, disk }, { name: `operators-${operators}`, append: "" }, initrd);
      const stateMs = timelineOf(facts, operators > 0).find(({ name }) => name === "state")?.lengthMs ?? 0;
      measured.runs.push({ stateMs, initToExecMs: facts.initToExecMs });
      say(
        `run ${run} of ${runs}: ${operators} operators: state ${stateMs} ms, Run /init to exec ${facts.initToExecMs.toFixed(0)} ms`,
      );
    }
  }
  return contestants.map(({ measured }) => measured);
}

/** An image, a committed disk and an initrd for it. */
export async function makeContestant(kernel: GuestKernel, operators: number): Promise<Contestant> {
  const { fragment, directories, files } = operatorsFragment(operators);
  const image = await madeOf("bench-operators", [await sources(), fragment, directories], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    const script = "slipway commit && say committed\n";
    await smallRootTree(tree, {
      facts: `${operators} operators`,
      ending: "power-off",
      slipway: true,
      directories: ["usr/sbin", ...directories],
      files,
      script,
    });
    rmSync(`${tree}/usr/share/slipway/state.d`, { recursive: true }); // the product's own are not what is counted
    await compileNextInit(`${tree}${nextInit}`);
    await compileControl(system, tree, `${aside}/control.json`, fragment === null ? {} : { "bench.yaml": fragment });
    writeFiles(tree, { "/usr/lib/slipway/control.json": await Bun.file(`${aside}/control.json`).text(), "/system.yaml": system });
    await makeImage(tree, `${aside}/image`, "erofs");
    rmSync(tree, { recursive: true });
  });
  const initrd = await initrdFor(`${image}/control.json`);
  const made = await madeOf("bench-operators-disk", [image, initrd, kernel.kernel], async (aside) => {
    writeFiles(aside, { "/system.yaml": system });
    const where = ["--slot", `a=${image}/image`, "--size", "512M", "-o", `${aside}/disk`];
    await slipway(["disk", "build", "--system", `${aside}/system.yaml`, ...where]);
    await commit(kernel, `${aside}/disk`, initrd);
  });
  return { operators, initrd, disk: `${made}/disk`, measured: { operators, runs: [] } };
}

/** Boots once, so that the stores are there and the slot is committed. */
async function commit({ kernel }: GuestKernel, disk: string, initrd: string): Promise<void> {
  const append = "console=ttyS0 quiet";
  const machine = await startMachine({
    name: "bench-operators-commit",
    kernel,
    initrd,
    append,
    noReboot: true,
    disks: [{ file: disk }],
  });
  try {
    await machine.expectResult("committed");
    const end = await machine.exited;
    if (end.reason !== "guest-shutdown")
      throw new Error(`the machine did not shut down: ${end.reason}; the log is ${machine.log}`);
  } finally {
    await machine.cutPower();
  }
}
