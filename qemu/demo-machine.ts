import { createHash } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { debianTar, debianTree } from "./debian.ts";
import { makeImage } from "./images.ts";
import { guestKernel, type KernelFlavour } from "./kernel.ts";
import { compileControl, initrdFor, madeOf, slipway } from "./product.ts";
import { runProgram } from "./program.ts";
import { type ImageSeal, sealWords } from "./seal.ts";
import { addModules, addSlipway, type TreeFiles, takeFragments, writeFiles } from "./tree.ts";

/** The demo's product: two slots and an ext4 for state. */
export const demoSystem = `system: slipway-demo
slots:
  a: { device: PARTLABEL=root-a }
  b: { device: PARTLABEL=root-b }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: unsigned
`;

/** Bytes of the demo's disk, as slipway disk build takes them. */
const diskSize = "1G";

export interface DemoImage {
  /** erofs-lz4. */
  image: string;
  /** Control file of the image, and of an initrd that goes with it. */
  control: string;
}

export interface DemoImageOptions {
  /** IMAGE_VERSION in os-release: "v1". */
  version: string;
  /** root is logged in on the console. Default true. */
  autologin?: boolean;
  /** Debian packages beside the demo's. */
  packages?: string[];
  files?: TreeFiles;
  /** Lines to add to files that the image has, by absolute path: users of /etc/passwd. */
  lines?: Record<string, string>;
  /** Empty directories, as mount points. */
  directories?: string[];
  /** Names of optional fragments (usr/share/slipway/fragments) that the image takes. Default none. */
  library?: string[];
  /** Text of system.yaml; default {@link demoSystem}. */
  system?: string;
  /** More fragments, by file name. */
  fragments?: Record<string, string>;
  /** The image's own kernel, with the initrd that its control file goes into, and modules for it alone. Needs `seal`. */
  kernel?: KernelFlavour;
  /** Makes it with slipway image build, as users do. Default: a filesystem image without a seal. */
  seal?: ImageSeal;
}

/**
 * A UUID from a hash of `value`. Slots know their images by the first 64 KiB, which are the same in two images of erofs
 * that differ in a file's bytes only, unless their UUIDs do.
 */
function uuidOf(value: unknown): string {
  const hex = createHash("sha256").update(JSON.stringify(value)).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** What goes into a Debian's tree, without the control file. */
export type DemoTreeOptions = Omit<DemoImageOptions, "system" | "fragments" | "seal" | "kernel">;

/** Fills the empty directory `tree` with a Debian that has systemd and slipway. */
async function demoTree(tree: string, modules: string, options: DemoTreeOptions): Promise<void> {
  const { version, autologin = true, packages } = options;
  await debianTree(tree, { version, autologin, ...(packages === undefined ? {} : { packages }) });
  await addSlipway(tree);
  takeFragments(tree, options.library ?? []);
  await addModules(tree, modules);
  if (options.files) writeFiles(tree, options.files);
  for (const [path, text] of Object.entries(options.lines ?? {})) appendFileSync(`${tree}${path}`, text);
  for (const directory of options.directories ?? []) mkdirSync(`${tree}${directory}`, { recursive: true });
}

/** An archive of such a tree, for `slipway image build --tar`. Takes some seconds, and none where it was made before. */
export async function demoTar(options: DemoTreeOptions): Promise<string> {
  const [{ modules }, tar] = await Promise.all([guestKernel(), debianTar(options.packages)]);
  const directory = await madeOf("debian-tar", [options, modules, tar], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await demoTree(tree, modules, options);
    const owners = ["--numeric-owner", "--xattrs", "--xattrs-include=*"];
    await runProgram("tar", ["--create", ...owners, "--directory", tree, "--file", `${aside}/tar`, "."]);
    rmSync(tree, { recursive: true });
  });
  return `${directory}/tar`;
}

/** An image of a Debian with systemd and slipway in it. Takes about ten seconds, and none where it was made before. */
export async function demoImage(options: DemoImageOptions): Promise<DemoImage> {
  const [{ kernel, modules }, tar] = await Promise.all([guestKernel(options.kernel), debianTar(options.packages)]);
  const directory = await madeOf("debian", [options, modules, tar], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await demoTree(tree, modules, options);
    const { version, system = demoSystem } = options;
    await compileControl(system, tree, `${aside}/control.json`, options.fragments);
    mkdirSync(`${tree}/usr/lib/slipway`, { recursive: true });
    cpSync(`${aside}/control.json`, `${tree}/usr/lib/slipway/control.json`);
    if (options.seal) {
      const words = await sealWords({ system: /^system: (\S+)/m.exec(system)?.[1] ?? "", version, ...options.seal });
      if (options.kernel) {
        const initrd = await initrdFor(`${aside}/control.json`, { flavour: options.kernel });
        words.push("--kernel", kernel, "--initrd", initrd);
      }
      await slipway(["image", "build", "--root", tree, ...words, "-o", `${aside}/image`]);
    } else {
      await makeImage(tree, `${aside}/image`, "erofs", { uuid: uuidOf(options) });
    }
    rmSync(tree, { recursive: true });
  });
  return { image: `${directory}/image`, control: `${directory}/control.json` };
}

/**
 * A flashable disk made by `slipway disk build`; boot from a copy of it.
 * @param slots image files by slot name
 * @param system text of system.yaml
 */
export async function demoDisk(slots: Record<string, string>, system = demoSystem, size = diskSize): Promise<string> {
  const directory = await madeOf("disk", [slots, system, size], async (aside) => {
    writeFiles(aside, { "/system.yaml": system });
    const words = Object.entries(slots).flatMap(([name, image]) => ["--slot", `${name}=${image}`]);
    await slipway(["disk", "build", "--system", `${aside}/system.yaml`, ...words, "--size", size, "-o", `${aside}/disk`]);
  });
  return `${directory}/disk`;
}

export interface DemoMachine {
  kernel: string;
  initrd: string;
  /** Boot from a copy of it. */
  disk: string;
  control: string;
}

/**
 * Everything for a machine that boots the demo's first version from slot a.
 * @param say told what is being made, when that is going to take a while
 */
export async function demoMachine(say: (step: string) => void = () => {}): Promise<DemoMachine> {
  const slow = setTimeout(
    () => say("making the kernel, the Debian image, the initrd and the disk; kept for the next time"),
    2000,
  );
  try {
    const { kernel } = await guestKernel();
    const { image, control } = await demoImage({ version: "v1" });
    const [initrd, disk] = await Promise.all([initrdFor(control, { debug: true }), demoDisk({ a: image })]);
    return { kernel, initrd, disk, control };
  } finally {
    clearTimeout(slow);
  }
}
