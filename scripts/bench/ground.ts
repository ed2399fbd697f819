/** What all peers boot: one kernel, one disk with a committed Debian in slot a, one control file. */
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { debianTar, debianTree } from "../../qemu/debian.ts";
import { demoDisk, demoSystem } from "../../qemu/demo-machine.ts";
import { GuestShell } from "../../qemu/guest-shell.ts";
import { makeImage } from "../../qemu/images.ts";
import { type GuestKernel, guestKernel } from "../../qemu/kernel.ts";
import { startMachine } from "../../qemu/machine.ts";
import { compileControl, madeOf, slipway } from "../../qemu/product.ts";
import { runProgram } from "../../qemu/program.ts";
import { sealWords, trustLine } from "../../qemu/seal.ts";
import { addModules, addSlipway } from "../../qemu/tree.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { compileNextInit, nextInit, nextInitText } from "./next-init.ts";
import { slipwayInitrd } from "./slipway.ts";

export interface Ground {
  kernel: GuestKernel;
  /** Control file of the image and of slipway's initrd, on the host. */
  controlFile: string;
  control: ControlFile;
  /** The slot that boots, and its filesystem. */
  slot: "a";
  rootType: "erofs";
  /** Names of the modules that every peer loads, with what they need. */
  modules: readonly string[];
  /** Slot a is committed, its state is there. Boot from a copy of it. */
  disk: string;
}

const modules = ["virtio_pci", "virtio_blk", "erofs", "ext4", "overlay"];

/**
 * Makes what is not kept from a run before. Boots once, to commit the slot: tell the user, it takes a minute.
 * @param proven the same filesystem with tree and seal behind it, and an initrd that asks for the seal's signature
 */
export async function makeGround({ proven = false } = {}): Promise<Ground> {
  const [kernel, tar] = await Promise.all([guestKernel(), debianTar()]);
  const plain = await benchImage(kernel, tar);
  const { image, controlFile, system } = proven ? await sealedImage(plain.image) : { ...plain, system: demoSystem };
  const control = readControl(readFileSync(controlFile, "utf8"));
  const ground = { kernel, controlFile, control, slot: "a" as const, rootType: "erofs" as const, modules };
  const fresh = await demoDisk({ a: image }, system);
  const initrd = await slipwayInitrd(ground);
  const directory = await madeOf("bench-disk", [fresh, initrd, kernel.kernel], async (aside) => {
    await runProgram("cp", ["--sparse=always", fresh, `${aside}/disk`]);
    await commitOn(`${aside}/disk`, initrd, kernel);
  });
  return { ...ground, disk: `${directory}/disk` };
}

/** `image` with a seal, and the control file of an initrd that trusts the key it is signed with. */
async function sealedImage(image: string): Promise<{ image: string; controlFile: string; system: string }> {
  // The bench's next init is named on the command line, which keys lock.
  const system = demoSystem.replace("trust: unsigned\n", `${await trustLine(["bench"])}command-line: open\n`);
  const words = await sealWords({ system: "slipway-demo", version: "v1", keys: ["bench"] });
  const directory = await madeOf("bench-sealed", [image, system, words], async (aside) => {
    await slipway(["image", "seal", image, ...words, "-o", `${aside}/image`]);
    mkdirSync(`${aside}/empty`);
    await compileControl(system, `${aside}/empty`, `${aside}/control.json`);
  });
  return { image: `${directory}/image`, controlFile: `${directory}/control.json`, system };
}

/** The Debian of the demo with the bench's next init in it. */
async function benchImage(kernel: GuestKernel, tar: string): Promise<{ image: string; controlFile: string }> {
  const directory = await madeOf("bench-image", [tar, kernel.modules, nextInitText()], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await debianTree(tree, { version: "v1", autologin: true });
    await addSlipway(tree);
    await addModules(tree, kernel.modules);
    await compileNextInit(`${tree}${nextInit}`);
    await compileControl(demoSystem, tree, `${aside}/control.json`);
    mkdirSync(`${tree}/usr/lib/slipway`, { recursive: true });
    cpSync(`${aside}/control.json`, `${tree}/usr/lib/slipway/control.json`);
    await makeImage(tree, `${aside}/image`, "erofs");
    rmSync(tree, { recursive: true });
  });
  return { image: `${directory}/image`, controlFile: `${directory}/control.json` };
}

/** Boots Debian itself once, so that the slot is committed and its generation made, and shuts it down. */
async function commitOn(disk: string, initrd: string, kernel: GuestKernel): Promise<void> {
  const machine = await startMachine({
    name: "bench-commit",
    kernel: kernel.kernel,
    initrd,
    append: "console=ttyS0 quiet",
    noReboot: true,
    disks: [{ file: disk }],
    timeoutMs: 300_000,
  });
  try {
    const shell = new GuestShell(machine);
    await shell.ready(undefined, 240_000);
    await shell.must("systemctl is-system-running --wait >/dev/null; systemctl is-active --quiet slipway-commit.service");
    shell.type("systemctl poweroff");
    const end = await machine.exited;
    if (end.reason !== "guest-shutdown")
      throw new Error(`the machine did not shut down: ${end.reason}; the log is ${machine.log}`);
  } finally {
    await machine.cutPower();
  }
}
