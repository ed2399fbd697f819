/** Images of small roots for slots: made as the product's users make theirs, or spoiled in one way. */
import { createHash } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { ARCHITECTURE } from "../../../boot/architecture.ts";
import { decodeManifest, type Manifest } from "../../../boot/image/seal.ts";
import { guestArchitecture } from "../../../qemu/architecture.ts";
import { type Filesystem, type ImageOptions, makeImage } from "../../../qemu/images.ts";
import { guestKernel, type KernelFlavour } from "../../../qemu/kernel.ts";
import { project } from "../../../qemu/places.ts";
import { compileControl, madeOf, slipway } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import { type Ending, smallRootTree } from "../../../qemu/roots.ts";
import { type ImageSeal, sealWords } from "../../../qemu/seal.ts";
import { guestCompiler } from "../../../qemu/sysroot.ts";
import { type TreeFiles, writeFiles } from "../../../qemu/tree.ts";

export interface SmallImage {
  /** Goes into the marker line: "v1". */
  facts: string;
  /** Default "power-off". */
  ending?: Ending;
  /** Default "erofs". */
  filesystem?: Filesystem;
  /** Shell lines that run before the end; `report NAME COMMAND…` sends what a command writes. */
  script?: string;
  files?: TreeFiles;
  /** Files of the host to copy, by their path in the image. */
  copies?: Record<string, string>;
  /** Empty directories. */
  directories?: string[];
  /** Paths that are taken out again in the end. */
  remove?: string[];
  /** What stands in /usr/lib/slipway/control.json: null nothing, a text that very text; by default what is compiled. */
  control?: string | null;
  /** What stands at /sbin/init: "dynamic" needs an interpreter that is not there, "foreign" is for another machine. Default "probe". */
  init?: "probe" | "dynamic" | "foreign";
  /** Busybox init with an inittab comes after the probe, instead of a script. */
  inittab?: boolean;
  /** Slipway is in the image too, so that the script can run its verbs. Makes it 50 MB bigger. */
  slipway?: boolean;
  /** A filesystem that was written to and not unmounted, so that its journal waits to be replayed. ext4, xfs and btrfs. */
  dirty?: boolean;
  options?: Pick<ImageOptions, "uuid" | "label" | "sizeMiB">;
  /** The image's own kernel, and a file for its initrd; beside them lies dummy.ko, a module of that kernel. */
  kernel?: { flavour: KernelFlavour; initrd?: string };
  /** Makes it a system image: slipway image seal. Default: a filesystem image without a seal. */
  seal?: ImageSeal;
}

/** Text of system.yaml. `more` are further lines. */
export function smallSystem(
  slots: string[] = ["a", "b"],
  data: "ext4" | "xfs" | "btrfs" = "ext4",
  more = "",
  trust = "trust: unsigned\n",
): string {
  return `system: small
slots:
${slots.map((name) => `  ${name}: { device: PARTLABEL=root-${name} }`).join("\n")}
data: { device: PARTLABEL=sys-data, filesystem: ${data} }
boot-record: { store: record, device: PARTLABEL=boot-record }
device-timeout: 3s
${more.includes("recovery:") ? "" : "recovery: off\n"}${trust}${more}`;
}

/** The product's own fragments. */
export const productFragments: Record<string, string> = Object.fromEntries(
  ["etc", "home", "machine-id", "tmp", "var"].map((name) => [
    `${name}.yaml`,
    readFileSync(`${project}/state-ops/fragments/${name}.yaml`, "utf8"),
  ]),
);

const reporting = `report() { name=$1; shift; { echo "<<begin $name>>"; "$@" 2>&1; echo; echo "<<end $name>>"; } >/dev/ttyS1; }
`;

/** The control file for `system`, the files that it names, and the product's own fragments. */
export async function smallControl(system: string, beside: Record<string, string> = {}): Promise<string> {
  const directory = await madeOf("small-control", [system, productFragments, beside], async (aside) => {
    const tree = `${aside}/tree`;
    mkdirSync(tree);
    await smallRootTree(tree, { facts: "none", ending: "hang", directories: ["var/tmp"] });
    await compileControl(system, tree, `${aside}/control.json`, productFragments, beside);
    rmSync(tree, { recursive: true });
  });
  return `${directory}/control.json`;
}

/** The test's own init, which tells what it was given as PID 1. */
function probe(): Promise<string> {
  return compiled("small-probe", readFileSync(`${import.meta.dirname}/probe.c`, "utf8"), ["-static"]);
}

/** A program that needs its dynamic linker. */
const dynamic = () => compiled("small-dynamic", "int main(void) { return 0; }\n", []);

/** An init that says so on the console, and hangs. */
export const hang = () =>
  compiled("small-hang", '#include <unistd.h>\nint main(void) { write(1, "hanging for ever\\n", 17); for (;;) pause(); }\n', [
    "-static",
  ]);

async function compiled(kind: string, source: string, words: string[]): Promise<string> {
  const directory = await madeOf(kind, [source, words], async (aside) => {
    writeFileSync(`${aside}/source.c`, source);
    await runProgram(guestCompiler(), [...words, "-Os", "-Wall", "-Wextra", "-o", `${aside}/program`, `${aside}/source.c`]);
  });
  return `${directory}/program`;
}

function uuidOf(value: unknown): string {
  const hex = createHash("sha256").update(JSON.stringify(value)).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The image file of `image`, whose operators are those of the control file `control`. Kept. */
export async function smallImage(image: SmallImage, control: string): Promise<string> {
  const init = await probe();
  const directory = await madeOf("small-image", [image, readFileSync(control, "utf8"), init], async (aside) => {
    const tree = mkdtempSync(`${tmpdir()}/slipway-small-`);
    try {
      chmodSync(tree, 0o755);
      const { facts, ending = "power-off", filesystem = "erofs" } = image;
      await smallRootTree(tree, {
        facts,
        ending,
        script: reporting + (image.script ?? ""),
        ...(image.inittab ? { init: "busybox" } : {}),
        ...(image.slipway ? { slipway: true } : {}),
        directories: ["var/tmp", ...(image.directories ?? [])],
      });
      renameSync(`${tree}/sbin/init`, `${tree}/sbin/init.script`);
      cpSync(image.init === "dynamic" ? await dynamic() : init, `${tree}/sbin/init`, { dereference: true });
      if (image.init === "foreign") makeForeign(`${tree}/sbin/init`);
      const own = image.control === undefined ? readFileSync(control, "utf8") : image.control;
      if (own !== null) writeFiles(tree, { "/usr/lib/slipway/control.json": own });
      writeFiles(tree, image.files ?? {});
      for (const [path, source] of Object.entries(image.copies ?? {})) {
        mkdirSync(dirname(`${tree}${path}`), { recursive: true });
        cpSync(source, `${tree}${path}`, { dereference: true });
      }
      if (image.kernel) await addKernel(tree, image.kernel);
      for (const path of image.remove ?? []) rmSync(`${tree}${path}`, { recursive: true });
      await makeImage(tree, `${aside}/image`, filesystem, { uuid: uuidOf(image), ...image.options });
      if (image.dirty) await makeDirty(`${aside}/image`);
      if (image.seal) {
        const words = await sealWords({ system: "small", version: facts.split(" ")[0] ?? facts, ...image.seal });
        await slipway(["image", "seal", `${aside}/image`, ...words]);
      }
    } finally {
      rmSync(tree, { recursive: true, force: true });
    }
  });
  return `${directory}/image`;
}

async function addKernel(tree: string, { flavour, initrd }: NonNullable<SmallImage["kernel"]>): Promise<void> {
  const { kernel, modules, version } = await guestKernel(flavour);
  const directory = `${tree}/usr/lib/modules/${version}`;
  mkdirSync(directory, { recursive: true });
  cpSync(kernel, `${directory}/vmlinuz`);
  cpSync(`${modules}/kernel/drivers/net/dummy.ko`, `${directory}/dummy.ko`);
  if (initrd !== undefined) cpSync(initrd, `${directory}/initramfs.img`);
}

/** The manifest in a sealed image file: its seal is the text before the footer. */
export function manifestIn(bytes: Buffer): Manifest {
  const start = bytes.lastIndexOf('{"payload"');
  const { payload } = JSON.parse(bytes.toString("latin1", start, bytes.indexOf("\n", start)));
  return decodeManifest(Buffer.from(payload, "base64"));
}

/** The architecture that the guests have not. */
export const foreignArchitecture = guestArchitecture === "arm64" ? "x86-64" : "arm64";

/** Says in the program's ELF header that it is for another architecture. */
function makeForeign(file: string): void {
  const program = readFileSync(file);
  program.writeUInt16LE(ARCHITECTURE[foreignArchitecture].elfMachine, 18);
  writeFileSync(file, program);
}

/** Writes into the filesystem of `file` and copies it while it is mounted: as a power cut leaves it. */
async function makeDirty(file: string): Promise<void> {
  const script = `set -e
mount -o loop "$1" /mnt
for number in 1 2 3 4 5 6 7 8 9 10; do mkdir /mnt/cut-$number; echo cut >/mnt/cut-$number/file; done
sync /mnt/cut-10/file
sync --file-system /mnt
echo more >/mnt/cut-1/more
sync /mnt/cut-1/more
cp --sparse=always "$1" "$1.cut"
umount /mnt
mv "$1.cut" "$1"`;
  await runProgram("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, "sh", file]);
}
