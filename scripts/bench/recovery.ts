/** What it costs a machine to put an image into its destroyed slots, beside curl and dd in the same machine. */
import { cpSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { demoDisk, demoImage, demoSystem } from "../../qemu/demo-machine.ts";
import { fillWithGarbage, writeInto } from "../../qemu/disk-partitions.ts";
import { throwAwayCopy } from "../../qemu/disks.ts";
import { GuestShell } from "../../qemu/guest-shell.ts";
import { guestKernel } from "../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../qemu/machine.ts";
import { type Nginx, startNginx } from "../../qemu/nginx.ts";
import { compileControl, initrdFor, madeOf } from "../../qemu/product.ts";
import { trustLine } from "../../qemu/seal.ts";
import { demoNetwork } from "../demo/ground.ts";
import type { MeasuredRecovery } from "./recovery-table.ts";

const BLOCK = 4096;
const memoryMiB = 512;
/** Least memory is looked for between these, in steps of 8 MiB. */
const [tooLittle, enough, step] = [128, memoryMiB, 8];

interface World {
  kernel: string;
  initrd: string;
  /** Boot from a copy of it: v1 in both slots. */
  disk: string;
  url: string;
  image: string;
}

async function makeWorld(directory: string, server: Nginx): Promise<World> {
  const url = `http://10.0.2.2:${server.port}/v1.img`;
  const system = demoSystem.replace("trust: unsigned\n", await trustLine(["bench"]));
  const seal = { keys: ["bench"], rollbackIndex: 1 };
  const { image } = await demoImage({ version: "v1", packages: ["curl"], files: demoNetwork, system, seal });
  cpSync(image, `${directory}/v1.img`);
  const made = await madeOf("bench-recovery-control", [system, url], async (aside) => {
    const text = `${system}recovery: { sources: ["${url}"], ladder: [repair, reinstall] }\n`;
    await compileControl(text, directory, `${aside}/control.json`);
  });
  // The running system has no driver of its own for the network.
  const modules = ["virtio_pci", "virtio_blk", "virtio_net", "erofs", "ext4", "overlay"];
  const initrd = await initrdFor(`${made}/control.json`, { modules });
  const { kernel } = await guestKernel();
  return { kernel, initrd, disk: await demoDisk({ a: image, b: image }, system), url, image };
}

function start(world: World, disk: string, memory = memoryMiB): Promise<Machine> {
  const { kernel, initrd } = world;
  const options = { name: "bench-recovery", append: "console=ttyS0 quiet panic=1", net: [{}], timeoutMs: 240_000 };
  return startMachine({ ...options, kernel, initrd, memoryMiB: memory, disks: [{ file: disk }] });
}

/** Runs `use` in the machine once its system is up. */
async function inSystem<Result>(machine: Machine, use: (shell: GuestShell) => Promise<Result>): Promise<Result> {
  const shell = new GuestShell(machine);
  try {
    await shell.ready(undefined, 230_000);
    return await use(shell);
  } finally {
    await machine.cutPower();
  }
}

async function recover(world: World, disk: string, memory?: number): Promise<{ bytes: number; ms: number }> {
  const told = await inSystem(await start(world, disk, memory), async (shell) => {
    const report: { recovery: ToldRecovery | null } = JSON.parse(await shell.must("cat /run/slipway/boot.json"));
    return report.recovery;
  });
  const done = told?.steps.filter(({ installed }) => installed !== null) ?? [];
  if (done.length === 0) throw new Error("the machine booted without a recovery");
  const sum = (of: (entry: (typeof done)[number]) => number) => done.reduce((total, entry) => total + of(entry), 0);
  return { bytes: sum(({ networkBytes }) => networkBytes), ms: sum(({ lengthMs }) => lengthMs) };
}

function destroyed(world: World): string {
  const disk = throwAwayCopy(world.disk);
  for (const slot of ["a", "b"]) fillWithGarbage(disk, `root-${slot}`);
  return disk;
}

/** `curl | dd` of the same bytes into slot b of the running system, written through to the disk. Milliseconds. */
async function curlAndDd(world: World): Promise<number> {
  return inSystem(await start(world, throwAwayCopy(world.disk)), async (shell) => {
    const into = "dd of=/dev/disk/by-partlabel/root-b bs=1M iflag=fullblock conv=fsync status=none";
    const clock = "date +%s%3N";
    const [began, ended] = (await shell.must(`${clock}; curl -sSf ${world.url} | ${into}; ${clock}`)).split("\n");
    return Number(ended) - Number(began);
  });
}

/** Blocks of the image that were spoiled, in a hundredth of it, and bytes that came for them. */
async function repairHundredth(world: World): Promise<{ damaged: number; bytes: number }> {
  const disk = throwAwayCopy(world.disk);
  // A machine that never ran knows of no image that its slots had.
  const commit = "systemctl is-system-running --wait >/dev/null; systemctl is-active --quiet slipway-commit.service && sync";
  await inSystem(await start(world, disk), (shell) => shell.must(commit, 200_000));
  fillWithGarbage(disk, "root-b");
  const blocks = statSync(world.image).size / BLOCK;
  const chosen = new Set<number>();
  while (chosen.size < Math.floor(blocks / 100)) chosen.add(Math.floor(Math.random() * blocks));
  chosen.add(0); // so that the machine notices at its next boot
  for (const block of chosen) writeInto(disk, "root-a", crypto.getRandomValues(new Uint8Array(BLOCK)), block * BLOCK);
  const { bytes } = await recover(world, disk);
  return { damaged: chosen.size, bytes };
}

/** The least memory, MiB, in which a machine recovers and boots. */
async function leastMemory(world: World, say: (text: string) => void): Promise<number> {
  let [below, works] = [tooLittle, enough];
  while (works - below > step) {
    const tried = Math.floor((below + works) / 2 / step) * step;
    const good = await recover(world, destroyed(world), tried).then(
      () => true,
      () => false,
    );
    say(`${tried} MiB: ${good ? "recovers and boots" : "not enough"}`);
    if (good) works = tried;
    else below = tried;
  }
  return works;
}

/** Throws Error where a machine did not recover. */
export async function measureRecovery(runs: number, say: (text: string) => void): Promise<MeasuredRecovery> {
  say("making a signed Debian with curl, its disk and initrd; kept for the next time");
  const directory = mkdtempSync(`${tmpdir()}/slipway-bench-recovery-`);
  const server = await startNginx({ root: directory });
  try {
    const world = await makeWorld(directory, server);
    const measured: MeasuredRecovery = { imageBytes: statSync(world.image).size, runs: [], hundredth: null, leastMemoryMiB: 0 };
    for (let run = 1; run <= runs; run++) {
      const curlMs = await curlAndDd(world);
      const { bytes, ms } = await recover(world, destroyed(world));
      measured.runs.push({ curlMs, recoveryMs: ms, recoveryBytes: bytes });
      say(`run ${run} of ${runs}: curl | dd ${curlMs} ms, recovery ${ms} ms for ${bytes} bytes`);
    }
    measured.hundredth = await repairHundredth(world);
    say(`${measured.hundredth.damaged} blocks spoiled: ${measured.hundredth.bytes} bytes fetched`);
    measured.leastMemoryMiB = await leastMemory(world, say);
    return measured;
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}
