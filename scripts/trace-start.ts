/**
 * `npm run trace-start [-- --arch ARCHITECTURE]`: boots machines that tell which pages of the executable they touch, and writes
 * the list by which `slipway initrd build` lays them together. Wanted for a new version of Bun; for new code of ours the list
 * stays right, and a test tells when it covers too little.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { readElfBuildId, readElfSections } from "../boot/elf.ts";
import { OWN_SECTION, PAGE, pageRuns, writeHotPages } from "../init/builder/initrd/hot-pages.ts";
import { hotPagesName } from "../init/builder/initrd/own-files.ts";
import { checkGuestArchitecture, consoleWord, guestArchitecture } from "../qemu/architecture.ts";
import { demoDisk, demoImage, demoSystem } from "../qemu/demo-machine.ts";
import { throwAwayCopy } from "../qemu/disks.ts";
import { GuestShell } from "../qemu/guest-shell.ts";
import { guestKernel } from "../qemu/kernel.ts";
import { type Machine, startMachine } from "../qemu/machine.ts";
import { guestDist, project } from "../qemu/places.ts";
import { trustLine } from "../qemu/seal.ts";
import { touchedPages, watchedInitrd, watchTouchedPages } from "../qemu/touched-pages.ts";

/** Modules of the machines here, as an integrator names them. */
const named = ["virtio_pci", "virtio_blk", "erofs", "ext4", "overlay"];

async function start(name: string, initrd: string, disk: string): Promise<Machine> {
  const { kernel } = await guestKernel();
  return startMachine({
    name: `trace-start-${name}`,
    kernel,
    initrd,
    append: `${consoleWord()} ${watchTouchedPages}`,
    memoryMiB: 1024,
    noReboot: true,
    disks: [{ file: disk }],
    timeoutMs: 600_000,
  });
}

/** A boot that ends when the next init begins. */
async function traced(name: string, initrd: string, disk: string): Promise<number[]> {
  const machine = await start(name, initrd, disk);
  try {
    return await touchedPages(machine);
  } finally {
    await machine.cutPower();
  }
}

/** A first try, after which Debian commits the slot and shuts down. */
async function tracedUntilCommit(name: string, initrd: string, disk: string): Promise<number[]> {
  const machine = await start(name, initrd, disk);
  try {
    const pages = await touchedPages(machine);
    const shell = new GuestShell(machine);
    await shell.ready(undefined, 500_000);
    await shell.must("systemctl is-system-running --wait >/dev/null; systemctl is-active --quiet slipway-commit.service");
    shell.type("systemctl poweroff");
    await machine.exited;
    return pages;
  } finally {
    await machine.cutPower();
  }
}

/** Pages of the runtime that ordinary boots touch, of each kind of boot. */
async function* traces(): AsyncGenerator<[kind: string, pages: number[]]> {
  const plain = await demoImage({ version: "v1" });
  const disk = throwAwayCopy(await demoDisk({ a: plain.image }));
  const byHardware = await watchedInitrd(plain.control, []);
  yield ["first try, modules by hardware", await tracedUntilCommit("trial", byHardware, disk)];
  yield ["committed slot, named modules", await traced("committed", await watchedInitrd(plain.control, [], named), disk)];
  const system = demoSystem.replace("trust: unsigned\n", await trustLine(["demo"]));
  const sealed = await demoImage({ version: "v1", system, seal: { keys: ["demo"] } });
  const proven = throwAwayCopy(await demoDisk({ a: sealed.image }, system));
  yield ["first try of a signed image", await traced("signed", await watchedInitrd(sealed.control, []), proven)];
}

const { values } = parseArgs({ options: { arch: { type: "string" } } });
checkGuestArchitecture(values.arch);
const executable = new Uint8Array(readFileSync(`${guestDist()}/slipway`));
const buildId = readElfBuildId(executable);
const own = readElfSections(executable).find(({ name }) => name === OWN_SECTION);
if (buildId === null || own === undefined) throw new Error(`${guestDist()}/slipway has no build id, or no ${OWN_SECTION}`);
const union = new Set<number>();
for await (const [kind, pages] of traces()) {
  const before = union.size;
  for (const page of pages) if ((page + 1) * PAGE <= own.start) union.add(page);
  console.log(`${kind}: ${pages.length} pages, ${union.size - before} of the runtime that no boot before touched`);
}
const file = `${project}/init/builder/initrd/${hotPagesName(guestArchitecture)}`;
const comment = [
  `Pages of ${PAGE} bytes of the executable that a boot touches, without those of our own code: Bun ${Bun.version}, ${guestArchitecture}.`,
  "Written by npm run trace-start; see hot-pages.ts.",
];
writeFileSync(file, writeHotPages({ buildId, runs: pageRuns(union, 0) }, comment));
console.log(`${file}: ${union.size} pages, ${((union.size * PAGE) / 1e6).toFixed(1)} MB`);
