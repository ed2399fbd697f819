import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { z } from "zod";
import { ARCHITECTURE, type Architecture } from "../boot/architecture.ts";
import { type Apt, aptFor } from "./apt.ts";
import { guestArchitecture } from "./architecture.ts";
import { makeOnce } from "./lock.ts";
import { cache } from "./places.ts";
import { runProgram } from "./program.ts";

/** A kernel to boot, and its modules. */
export interface GuestKernel {
  /** File for QEMU's -kernel. */
  kernel: string;
  /** A lib/modules/VERSION directory with modules.dep. */
  modules: string;
  /** What uname -r says in the guest: "6.1.0-56-cloud-amd64". */
  version: string;
}

/** "cloud" starts soonest and has virtio, NVMe and the usual filesystems; "generic" has drivers for real hardware too. */
export type KernelFlavour = "cloud" | "generic";

const metapackage: Record<KernelFlavour, string> = { cloud: "linux-image-cloud", generic: "linux-image" };

interface Package {
  name: string;
  version: string;
}

const Remembered = z.object({ state: z.string(), name: z.string(), version: z.string() });

/** The package that the flavour's metapackage depends on. Asking apt takes a second or two, hence the file. */
async function packageOf(apt: Apt, flavour: KernelFlavour, architecture: Architecture): Promise<Package> {
  const file = `${cache}/kernel/${flavour}-${architecture}.json`;
  const { state } = apt;
  const remembered = existsSync(file) ? Remembered.safeParse(JSON.parse(readFileSync(file, "utf8"))) : null;
  if (remembered?.success && remembered.data.state === state) return remembered.data;
  const found = await askApt(apt, `${metapackage[flavour]}-${ARCHITECTURE[architecture].debian}`);
  mkdirSync(`${cache}/kernel`, { recursive: true });
  writeFileSync(`${file}.${process.pid}`, JSON.stringify({ state, ...found }));
  renameSync(`${file}.${process.pid}`, file);
  return found;
}

async function askApt(apt: Apt, wanted: string): Promise<Package> {
  const name = /Depends: (linux-image-\S+)/.exec(await apt.cache(["depends", wanted]))?.[1];
  if (!name) throw new Error(`apt knows no ${wanted}; run apt-get update, or set SLIPWAY_KERNEL and SLIPWAY_MODULES`);
  return { name, version: await apt.version(name) };
}

function kernelIn(tree: string): GuestKernel {
  const version = readdirSync(`${tree}/lib/modules`)[0];
  if (!version) throw new Error(`${tree}/lib/modules is empty; remove ${tree} and try again`);
  return { kernel: `${tree}/boot/vmlinuz-${version}`, modules: `${tree}/lib/modules/${version}`, version };
}

function chosenKernel(): GuestKernel | null {
  const kernel = process.env.SLIPWAY_KERNEL;
  const modules = process.env.SLIPWAY_MODULES;
  if (!kernel && !modules) return null;
  if (!kernel || !modules)
    throw new Error(
      "SLIPWAY_KERNEL (a kernel file) and SLIPWAY_MODULES (its lib/modules/VERSION) belong together; one is not set",
    );
  for (const path of [kernel, `${modules}/modules.dep`]) {
    if (!existsSync(path)) throw new Error(`${path} does not exist (from SLIPWAY_KERNEL, SLIPWAY_MODULES)`);
  }
  return { kernel, modules, version: basename(modules) };
}

/**
 * The kernel that machines boot: SLIPWAY_KERNEL and SLIPWAY_MODULES where set, else Debian's current package, downloaded
 * with apt and unpacked below .cache/kernel. Nothing is installed on the host. Takes seconds the first time.
 */
export async function guestKernel(flavour: KernelFlavour = "cloud", architecture = guestArchitecture): Promise<GuestKernel> {
  const chosen = chosenKernel();
  if (chosen) return chosen;
  const apt = await aptFor(architecture);
  return apt.withLists(async () => unpacked(apt, await packageOf(apt, flavour, architecture)));
}

async function unpacked(apt: Apt, { name, version }: Package): Promise<GuestKernel> {
  const tree = await makeOnce(`${cache}/kernel/${name}_${version.replaceAll(":", "%3a")}`, async (aside) => {
    for (const file of await apt.download([`${name}=${version}`], aside)) {
      await runProgram("dpkg-deb", ["--extract", file, aside]);
      rmSync(file);
    }
    await runProgram("depmod", ["--basedir", aside, kernelIn(aside).version]);
    chmodSync(aside, 0o755);
  });
  return kernelIn(tree);
}
