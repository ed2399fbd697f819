/** A machine of two EFI system partitions that OVMF starts, with bootloaders to install. */

import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import * as assert from "uvu/assert";
import type { BootloaderStatus } from "../../../init/bootloader/status.ts";
import { type MachineDisk, throwAwayCopy } from "../../../qemu/disks.ts";
import { type EspFiles, makeEsp } from "../../../qemu/esp.ts";
import { FACTORY_VARIABLES } from "../../../qemu/firmware.ts";
import { makeImage } from "../../../qemu/images.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../../qemu/machine.ts";
import type { MachineOptions } from "../../../qemu/machine-options.ts";
import { madeOf } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import { SYSTEMD_BOOT } from "../../../qemu/systemd-boot-disk.ts";
import { addLibraries, writeFiles } from "../../../qemu/tree.ts";
import { smallControl, smallSystem } from "./small-image.ts";
import { consoleWords, part, partsOf, smallDisk, smallInitrd } from "./small-machine.ts";

/** One name for whatever loader it is, so that GRUB gives way to systemd-boot and back. */
export const PROGRAM = "loader.efi";

export const DIRECTORIES = ["EFI/slipway-a", "EFI/slipway-b"] as const;

const system = smallSystem(
  ["a"],
  "ext4",
  `bootloader:
  program: ${PROGRAM}
  directories:
    - { device: PARTLABEL=esp-a, directory: ${DIRECTORIES[0]} }
    - { device: PARTLABEL=esp-b, directory: ${DIRECTORIES[1]} }
`,
);

/** What the running system does: what stands on the second disk, with the loaders and efibootmgr of the third below /mnt. */
const script = `mount -t erofs -o ro /dev/vdc /mnt
E=/sys/firmware/efi/efivars
efibootmgr() { grep -q " $E " /proc/mounts || mount -t efivarfs efivarfs $E; LD_LIBRARY_PATH=/mnt/lib/x86_64-linux-gnu /mnt/efibootmgr "$@"; }
dd if=/dev/vdb bs=4096 count=16 2>/dev/null | tr -d '\\000' >/tmp/job
. /tmp/job
`;

const MODULES = "part_gpt fat normal echo linux search search_fs_file configfile serial terminal test true sleep boot".split(" ");

/** What every GRUB here begins with: its other files are beside its program, wherever that is. */
const early = `serial --unit=0 --speed=115200
terminal_output serial
terminal_input serial
configfile $cmdpath/grub.cfg
`;

/** The configuration of the loader `name`. */
function configuration(name: string, does: "boots" | "hangs"): string {
  const says = `echo "loader ${name} at $cmdpath"\n`;
  if (does === "hangs") return `${says}while true; do sleep 3600; done\n`;
  return `${says}search --no-floppy --file --set=root /slipway/linux
linux /slipway/linux ${consoleWords}
initrd /slipway/initrd
boot
`;
}

async function grubProgram(): Promise<string> {
  const directory = await madeOf("grub-beside", [early, MODULES], async (aside) => {
    writeFileSync(`${aside}/early.cfg`, early);
    const words = ["-O", "x86_64-efi", "-p", "", "-c", `${aside}/early.cfg`, "-o", `${aside}/${PROGRAM}`, ...MODULES];
    await runProgram("grub-mkimage", words);
  });
  return `${directory}/${PROGRAM}`;
}

/** Loaders to install, by their directories' names below /mnt. */
const LOADERS: Record<string, "boots" | "hangs"> = { one: "boots", two: "boots", bad: "hangs" };

/** The third disk: directories for `slipway bootloader install`, and efibootmgr with its libraries. */
async function toolsDisk(): Promise<string> {
  const grub = await grubProgram();
  const directory = await madeOf("bootloader-tools", [LOADERS, readFileSync(grub).length], async (aside) => {
    const tree = `${aside}/tree`;
    for (const [name, does] of Object.entries(LOADERS)) {
      writeFiles(tree, { [`/${name}/grub.cfg`]: configuration(name, does) });
      cpSync(grub, `${tree}/${name}/${PROGRAM}`);
    }
    mkdirSync(`${tree}/systemd-boot`);
    cpSync(SYSTEMD_BOOT, `${tree}/systemd-boot/${PROGRAM}`);
    cpSync("/usr/bin/efibootmgr", `${tree}/efibootmgr`);
    await addLibraries(tree, "/usr/bin/efibootmgr");
    await makeImage(tree, `${aside}/image`, "erofs");
  });
  return `${directory}/image`;
}

async function espFiles(): Promise<[EspFiles, EspFiles]> {
  const { kernel } = await guestKernel();
  const initrd = await bootInitrd();
  const grub = await grubProgram();
  const common: EspFiles = {
    "slipway/linux": { file: kernel },
    "slipway/initrd": { file: initrd },
    "loader/loader.conf": "timeout 0\n",
    "loader/entries/slipway.conf": `title slipway\nlinux /slipway/linux\ninitrd /slipway/initrd\noptions ${consoleWords}\n`,
  };
  const loader = (directory: string, name: string, program = PROGRAM): EspFiles => ({
    [`${directory}/${program}`]: { file: grub },
    [`${directory}/grub.cfg`]: configuration(name, "boots"),
  });
  return [
    { ...common, ...loader("EFI/BOOT", "last resort", "BOOTX64.EFI"), ...loader(DIRECTORIES[0], "factory a") },
    { ...common, ...loader(DIRECTORIES[1], "factory b") },
  ];
}

/** With what a running system has of its own: the small root has no modules. */
function bootInitrd(): Promise<string> {
  const wanted = [
    "virtio_pci",
    "virtio_blk",
    "loop",
    "squashfs",
    "erofs",
    "overlay",
    "ext4",
    "vfat",
    "nls_cp437",
    "nls_ascii",
    "efivarfs",
  ];
  return smallInitrd(system, { modules: wanted });
}

/** A machine whose disk, variables and jobs are its own. */
export class BootloaderMachine {
  /** Empty until it is started. */
  readonly job = throwAwayCopy("/dev/null");

  private constructor(
    readonly disk: string,
    readonly variables: string,
    readonly tools: string,
  ) {}

  static async make(): Promise<BootloaderMachine> {
    const [a, b] = await espFiles();
    const esps = await madeOf(
      "bootloader-esps",
      [await bootInitrd(), (await guestKernel()).version, await smallControl(system)],
      async (aside) => {
        await makeEsp(`${aside}/a`, a, 96);
        await makeEsp(`${aside}/b`, b, 96);
      },
    );
    const partitions = [`esp-a:esp=${esps}/a`, `esp-b:esp=${esps}/b`];
    const slots = { a: { facts: "v1", script, slipway: true } };
    const disk = await smallDisk({ system, slots, partitions, size: "768M" });
    return new BootloaderMachine(disk, throwAwayCopy(FACTORY_VARIABLES), await toolsDisk());
  }

  /** Another machine with the same disk and variables as they are now. */
  copy(): BootloaderMachine {
    return new BootloaderMachine(throwAwayCopy(this.disk), throwAwayCopy(this.variables), this.tools);
  }

  /** Its disks; `more` is of the first. */
  disks(more: Partial<MachineDisk> = {}): MachineDisk[] {
    return [{ file: this.disk, ...more }, { file: this.job }, { file: this.tools, readOnly: true }];
  }

  /** Starts it with `job`, shell lines for the running system. */
  start(job: string, options: Partial<MachineOptions> = {}): Promise<Machine> {
    const bytes = Buffer.alloc(65536);
    bytes.write(`${job}\n`);
    writeFileSync(this.job, bytes);
    return startMachine({
      memoryMiB: 768,
      timeoutMs: 150_000,
      firmware: { kind: "ovmf", variables: this.variables },
      disks: this.disks(),
      ...options,
    });
  }

  /** Starts it, waits for the job's end, and tells which loaders said that they run, and what was reported. */
  async run(job: string, options: Partial<MachineOptions> = {}): Promise<Ran> {
    return ranToEnd(await this.start(job, options));
  }
}

export interface Ran {
  /** Names of GRUBs that said so, in order; systemd-boot says nothing. */
  loaders: string[];
  parts: ReadonlyMap<string, string>;
  console: string;
}

/** Waits for the job's end and the machine's. */
export async function ranToEnd(machine: Machine): Promise<Ran> {
  await machine.expectResult("small root ends: power-off");
  await machine.exited;
  const loaders = [...machine.console.text.matchAll(/loader ([a-z ]+) at \(/g)].map(([, name = ""]) => name);
  return { loaders, parts: partsOf(machine.results.text), console: machine.console.text };
}

// What jobs are made of, and what is made of their reports.

export const STATUS = "report status slipway bootloader status --json\nreport shown efibootmgr -v\n";
export const COMMIT = "report commit slipway commit --quick --json\n";

export function install(name: string, version = name): string {
  return `report install slipway bootloader install /mnt/${name} --version ${version} --json\n`;
}

export function statusOf(ran: Ran, name = "status"): BootloaderStatus {
  return JSON.parse(part(ran, name));
}

/** Directories of ours in the firmware's order, as the real efibootmgr shows them, in lower case. */
export function orderShown(ran: Ran): string[] {
  const text = part(ran, "shown");
  const order = /^BootOrder: (.*)$/m.exec(text)?.[1]?.split(",") ?? [];
  return order.flatMap((number) => {
    const line = new RegExp(`^Boot${number}\\*? (.*)$`, "m").exec(text)?.[1] ?? "";
    const file = /File\((.*)\)/.exec(line)?.[1]?.toLowerCase().replaceAll("\\", "/") ?? "";
    return file.startsWith("/efi/slipway-") ? [file.slice(1, -PROGRAM.length - 1)] : [];
  });
}

/** A machine whose firmware has both factory loaders, after a first start by its last resort. */
export async function readyMachine(): Promise<BootloaderMachine> {
  const machine = await BootloaderMachine.make();
  const first = await machine.run(`${COMMIT}${STATUS}`);
  assert.equal(first.loaders, ["last resort"], "a firmware that knows nothing starts EFI/BOOT/BOOTX64.EFI");
  assert.equal(
    orderShown(first),
    DIRECTORIES.map((path) => path.toLowerCase()),
  );
  assert.equal(statusOf(first).wrong, []);
  return machine;
}
