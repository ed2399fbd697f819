/** GRUB on a disk's image file: for BIOS and for UEFI, from Debian's grub-pc-bin and grub-efi-amd64-bin. No disk of the host is looked at. */
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { lengthOf, startOf } from "./disk-partitions.ts";
import { type EspFiles, makeEsp } from "./esp.ts";
import { project } from "./places.ts";
import { madeOf } from "./product.ts";
import { runProgram } from "./program.ts";

/** Where GRUB's own files lie on the ESP, which is the boot partition for both firmwares. */
export const GRUB_DIRECTORY = "boot/grub";

/** What the script and the tests need; "eval" is not among them, since Debian's signed GRUB does without it. */
const MODULES = [
  "part_gpt",
  "fat",
  "ext2",
  "squash4",
  "normal",
  "test",
  "true",
  "echo",
  "loadenv",
  "regexp",
  "sleep",
  "reboot",
  "boot",
  "search",
  "configfile",
];

/** Settings of boot/loaders/grub.cfg: each replaces one of its lines. `lines`: more replacements, old line to new ones. */
export interface GrubSettings {
  slots?: string;
  chooser?: "loader" | "slipway";
  tries?: number;
  words?: string;
  block?: string;
  lines?: Readonly<Record<string, string>>;
}

/** boot/loaders/grub.cfg as an integrator sets it. Throws where a line that is to be replaced is not there. */
export function grubScript({ lines = {}, ...settings }: GrubSettings = {}): string {
  let text = readFileSync(`${project}/boot/loaders/grub.cfg`, "utf8");
  const replace = (old: RegExp, line: string) => {
    if (text.search(old) < 0) throw new Error(`boot/loaders/grub.cfg has no line ${old}`);
    text = text.replace(old, () => line);
  };
  for (const [name, value] of Object.entries(settings))
    replace(new RegExp(`^set ${name}=.*$`, "m"), `set ${name}=${quoted(String(value))}`);
  for (const [old, line] of Object.entries(lines)) {
    replace(new RegExp(`^ *${old.replaceAll(/[$.[\]]/g, "\\$&")}$`, "m"), line);
  }
  return text;
}

const quoted = (value: string) => (/^[\w$/.-]+$/.test(value) ? value : `"${value}"`);

/** What GRUB reads first: its messages go to the serial port, where SeaBIOS would show them on a screen that nobody sees. */
const early = `serial --unit=0 --speed=115200
terminal_output serial
terminal_input serial
`;

/**
 * The partitions of a disk that GRUB starts, as `slipway disk build --partition` takes them: with BIOS its core image, and the
 * EFI system partition with GRUB's own and `files`. Kept.
 *
 * @param more modules beside those that the script needs
 * @param without modules to leave out: tests of the script put functions in their place
 */
export async function grubPartitions(
  firmware: "bios" | "ovmf",
  files: EspFiles,
  { mebibytes = 64, more = [], without = [] }: { mebibytes?: number; more?: readonly string[]; without?: readonly string[] } = {},
): Promise<string[]> {
  const modules = [...MODULES, "linux", "serial", "terminal", ...more].filter((name) => !without.includes(name));
  const directory = await madeOf("grub", [firmware, modules, early, mebibytes, files], async (aside) => {
    writeFileSync(`${aside}/early.cfg`, early);
    const core = (format: string, output: string, prefix: string, more: string[]) =>
      runProgram("grub-mkimage", ["-O", format, "-p", prefix, "-c", `${aside}/early.cfg`, "-o", output, ...modules, ...more]);
    if (firmware === "bios") {
      await core("i386-pc", `${aside}/core.img`, `(,gpt2)/${GRUB_DIRECTORY}`, ["biosdisk"]);
      await makeEsp(`${aside}/esp`, files, mebibytes);
    } else {
      await core("x86_64-efi", `${aside}/grub.efi`, `/${GRUB_DIRECTORY}`, []);
      await makeEsp(`${aside}/esp`, { "EFI/BOOT/BOOTX64.EFI": { file: `${aside}/grub.efi` }, ...files }, mebibytes);
    }
  });
  const esp = `esp:esp=${directory}/esp`;
  return firmware === "bios" ? [`bios-boot:bios-boot=${directory}/core.img`, esp] : [esp];
}

const SECTOR = 512;
/** Of boot.img: where it says at which sector the core image begins (GRUB_BOOT_MACHINE_KERNEL_SECTOR), and the code's end. */
const KERNEL_SECTOR = 0x5c;
const CODE_END = 440;
/** Of the core image's first sector: where it says at which sector the rest begins; the rest's length stands there already. */
const REST_SECTOR = 0x1f4;

/**
 * Puts GRUB's boot sector on `disk`, as grub-bios-setup does where the core image lies in one piece in the partition `bios-boot`.
 * That program itself asks for devices of the host.
 */
export function writeBootSector(disk: string): void {
  const start = BigInt(startOf(disk, "bios-boot") / SECTOR);
  const boot = readFileSync("/usr/lib/grub/i386-pc/boot.img").subarray(0, CODE_END);
  boot.writeBigUInt64LE(start, KERNEL_SECTOR);
  const fd = openSync(disk, "r+");
  try {
    const first = Buffer.alloc(SECTOR);
    readSync(fd, first, 0, SECTOR, Number(start) * SECTOR);
    const sectors = first.readUInt16LE(REST_SECTOR + 8);
    if (sectors === 0 || (sectors + 1) * SECTOR > lengthOf(disk, "bios-boot"))
      throw new Error(`bios-boot holds no core image of GRUB: ${sectors} sectors`);
    first.writeBigUInt64LE(start + 1n, REST_SECTOR);
    writeSync(fd, first, 0, SECTOR, Number(start) * SECTOR);
    writeSync(fd, boot, 0, CODE_END, 0);
  } finally {
    closeSync(fd);
  }
}
