import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename } from "node:path";
import { z } from "zod";
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

const metapackage: Record<KernelFlavour, string> = { cloud: "linux-image-cloud-amd64", generic: "linux-image-amd64" };

interface Package {
  name: string;
  version: string;
}

const Remembered = z.object({ state: z.string(), name: z.string(), version: z.string() });

/** Changes whenever apt may answer differently. */
function aptState(): string {
  const paths = ["/var/lib/apt/lists", "/etc/apt/sources.list", "/etc/apt/sources.list.d", "/etc/apt/preferences.d"];
  return paths.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0).join(" ");
}

/** The package that the flavour's metapackage depends on. Asking apt takes a second or two, hence the file. */
async function packageOf(flavour: KernelFlavour): Promise<Package> {
  const file = `${cache}/kernel/${flavour}.json`;
  const state = aptState();
  const remembered = existsSync(file) ? Remembered.safeParse(JSON.parse(readFileSync(file, "utf8"))) : null;
  if (remembered?.success && remembered.data.state === state) return remembered.data;
  const found = await askApt(flavour);
  mkdirSync(`${cache}/kernel`, { recursive: true });
  writeFileSync(`${file}.${process.pid}`, JSON.stringify({ state, ...found }));
  renameSync(`${file}.${process.pid}`, file);
  return found;
}

async function askApt(flavour: KernelFlavour): Promise<Package> {
  const depends = await runProgram("apt-cache", ["depends", metapackage[flavour]]);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (!name)
    throw new Error(`apt knows no ${metapackage[flavour]}; run apt-get update, or set SLIPWAY_KERNEL and SLIPWAY_MODULES`);
  const version = /Candidate: (\S+)/.exec(await runProgram("apt-cache", ["policy", name]))?.[1];
  if (!version || version === "(none)") throw new Error(`apt has no version of ${name} to download; run apt-get update`);
  return { name, version };
}

async function download({ name, version }: Package, directory: string): Promise<string> {
  await runProgram("apt-get", ["download", "-q", `${name}=${version}`], { directory, timeoutMs: 600_000 });
  const file = readdirSync(directory).find((entry) => entry.endsWith(".deb"));
  if (!file) throw new Error(`apt-get download ${name} left no .deb file in ${directory}`);
  return `${directory}/${file}`;
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
export async function guestKernel(flavour: KernelFlavour = "cloud"): Promise<GuestKernel> {
  const chosen = chosenKernel();
  if (chosen) return chosen;
  try {
    return await unpacked(await packageOf(flavour));
  } catch (error) {
    // Old lists name packages that the archive has replaced since.
    if (process.getuid?.() !== 0) throw error;
    await runProgram("apt-get", ["update", "-q"]);
    return unpacked(await packageOf(flavour));
  }
}

async function unpacked(found: Package): Promise<GuestKernel> {
  const { name, version } = found;
  const tree = await makeOnce(`${cache}/kernel/${name}_${version.replaceAll(":", "%3a")}`, async (aside) => {
    const file = await download(found, aside);
    await runProgram("dpkg-deb", ["--extract", file, aside]);
    rmSync(file);
    await runProgram("depmod", ["--basedir", aside, kernelIn(aside).version]);
    chmodSync(aside, 0o755);
  });
  return kernelIn(tree);
}
