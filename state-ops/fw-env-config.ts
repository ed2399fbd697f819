/**
 * fw_env.config, in which fw_printenv and fw_setenv find U-Boot's environment. A line a copy, two lines where it is
 * redundant: device or file, offset, size, and for flash the size of a sector, how many the environment may use, and whether
 * fw_setenv leaves it unlocked (0 or 1; no matter here, slipway leaves a lock as it found it). The
 * offset is read as C reads numbers (0x10, 020, 16), may count from the end of a block device (-0x4000), and everything else
 * is hex with or without 0x. udev's links, which an initrd has not, become references: /dev/disk/by-partlabel/env is
 * PARTLABEL=env. Sources: U-Boot's tools/env/fw_env.c, libubootenv's uboot_env.c.
 */
import { ENVIRONMENT_SIZES, isMtd } from "./boot-record-rules.ts";
import type { EnvironmentCopy } from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import type { Problem } from "./schema/document.ts";

/** The filesystem that names outside /dev lie on. */
export interface EnvironmentFilesystem {
  device: string;
  /** Where the running system has it mounted: with "/boot", /boot/uboot.env is the filesystem's /uboot.env. */
  mountedAt: string;
}

const UDEV_LINK = /^\/dev\/disk\/by-(partlabel|partuuid|label|uuid)\/(.+)$/;

interface Line {
  number: number;
  /** Fields with their columns. */
  fields: { text: string; column: number }[];
}

/**
 * Reads fw_env.config.
 * @param file as messages name it
 * @returns one copy or two of one size; none where there are problems
 */
export function parseFwEnvConfig(
  text: string,
  file: string,
  filesystem: EnvironmentFilesystem | null,
): { copies: EnvironmentCopy[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const refuse = (line: number, column: number, what: string): null => {
    problems.push({ file, line, column, text: what });
    return null;
  };
  const lines = linesOf(text);
  const yaml = lines.find(({ fields }) => fields[0]?.text.endsWith(":") || fields[0]?.text === "---");
  if (yaml !== undefined) {
    refuse(
      yaml.number,
      1,
      "this is libubootenv's YAML form of fw_env.config; write the other: DEVICE OFFSET SIZE [SECTOR [SECTORS]]",
    );
    return { copies: [], problems };
  }
  const copies = lines.flatMap((line) => copyOf(line, filesystem, refuse) ?? []);
  const [first, second] = copies;
  if (lines.length === 0) refuse(1, 1, "names no environment; write a line DEVICE OFFSET SIZE, two where it is redundant");
  const third = lines[2];
  if (third !== undefined) refuse(third.number, 1, "names a third copy; U-Boot has one or two");
  const at = lines[1]?.number ?? 1;
  if (first !== undefined && second !== undefined) {
    if (first.size !== second.size) refuse(at, 1, `copies of ${first.size} and ${second.size} bytes; both have one size`);
    if (overlap(first, second)) refuse(at, 1, "both copies lie in one place; give each its own");
    if (isMtd(first.device) !== isMtd(second.device))
      refuse(at, 1, "one copy in flash, and one that is not; U-Boot has both in one kind of place");
  }
  return problems.length > 0 ? { copies: [], problems } : { copies, problems };
}

/** Comments begin a line for the tools; behind the fields they stop reading at the `#` too. */
function linesOf(text: string): Line[] {
  return text.split("\n").flatMap((line, index) => {
    const fields = [...line.replace(/(^|\s)#.*$/, "").matchAll(/\S+/g)];
    const placed = fields.map((field) => ({ text: field[0], column: field.index + 1 }));
    return placed.length > 0 ? [{ number: index + 1, fields: placed }] : [];
  });
}

type Refuse = (line: number, column: number, what: string) => null;

function copyOf({ number, fields }: Line, filesystem: EnvironmentFilesystem | null, refuse: Refuse): EnvironmentCopy | null {
  const [name, ...rest] = fields;
  const [offset, size, sectorSize, sectors, lock, more] = rest;
  const last = fields.at(-1);
  if (name === undefined || last === undefined) return null;
  if (offset === undefined || size === undefined) {
    return refuse(
      number,
      last.column,
      `"${name.text}" is followed by ${rest.length} numbers; write DEVICE OFFSET SIZE [SECTOR [SECTORS]]`,
    );
  }
  if (more !== undefined) return refuse(number, more.column, `"${more.text}": more fields than fw_env.config has`);
  if (lock !== undefined && !/^[01]$/.test(lock.text)) {
    return refuse(number, lock.column, `"${lock.text}" is neither 0 nor 1 (whether fw_setenv leaves flash unlocked)`);
  }
  const refuseField = (field: { text: string; column: number }, what: string): null =>
    refuse(number, field.column, `"${field.text}" is ${what}`);
  const start = offsetIn(offset.text);
  if (start === null) return refuseField(offset, "no offset; write bytes as 0x100000, 1048576, or -0x4000 from the device's end");
  const sizes = [size, sectorSize, sectors].map((field) => (field === undefined ? 0 : hexIn(field.text)));
  const [bytes = null, sector = null, count = null] = sizes;
  const wrong = [size, sectorSize, sectors].find((_field, index) => sizes[index] === null);
  if (wrong !== undefined) return refuseField(wrong, "no hex number");
  if (bytes === null || sector === null || count === null) return null;
  if (bytes < ENVIRONMENT_SIZES.least || bytes > ENVIRONMENT_SIZES.most) {
    return refuseField(
      size,
      `${bytes} bytes (sizes are hex, with or without 0x); U-Boot's CONFIG_ENV_SIZE is 16 bytes to 16 MiB`,
    );
  }
  if (name.text.startsWith("/dev/")) {
    const device = name.text.replace(UDEV_LINK, (_link, by: string, value: string) => `${by.toUpperCase()}=${value}`);
    const fault = deviceProblem(device) ?? (start < 0 && isMtd(device) ? "flash has offsets from its start only" : null);
    if (fault !== null) return refuse(number, name.column, fault);
    return { device, offset: start, size: bytes, sectorSize: sector, sectors: count };
  }
  if (start !== 0) return refuseField(offset, "no offset for a file, which begins at 0");
  const path = filesystem === null ? null : pathIn(name.text, filesystem.mountedAt);
  if (filesystem === null) {
    return refuse(number, name.column, `"${name.text}" is a file, and nothing says on which filesystem; set uboot-env's device`);
  }
  if (path === null) {
    const { mountedAt, device } = filesystem;
    return refuse(number, name.column, `"${name.text}" is no file below ${mountedAt}, where the running system has ${device}`);
  }
  return { device: filesystem.device, file: path, size: bytes };
}

function deviceProblem(name: string): string | null {
  if (name.startsWith("/dev/ubi")) return `"${name}" is a UBI volume, which slipway does not write; use another store`;
  if (name.startsWith("/dev/mtd") && !isMtd(name)) return `"${name}": name the flash itself, /dev/mtdN, which can be erased`;
  return deviceFault(name);
}

/** "0x10", "020" and "16" are one number, as strtoll(3) with base 0 reads it. Null: no whole number. */
function offsetIn(text: string): number | null {
  const [, sign, hex, octal, decimal] = /^([-+]?)(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9][0-9]*))$/i.exec(text) ?? [];
  const digits = hex ?? octal ?? decimal;
  if (digits === undefined) return null;
  const value = Number.parseInt(digits, hex !== undefined ? 16 : octal !== undefined ? 8 : 10);
  if (!Number.isSafeInteger(value)) return null;
  return sign === "-" && value !== 0 ? -value : value;
}

function hexIn(text: string): number | null {
  const digits = /^(?:0x)?([0-9a-f]+)$/i.exec(text)?.[1];
  const value = digits === undefined ? Number.NaN : Number.parseInt(digits, 16);
  return Number.isSafeInteger(value) ? value : null;
}

function pathIn(name: string, mountedAt: string): string | null {
  const names = name.split("/").slice(1);
  if (!name.startsWith("/") || names.some((part) => ["", ".", ".."].includes(part))) return null;
  const above = mountedAt === "/" ? "/" : `${mountedAt}/`;
  return name.startsWith(above) ? `/${name.slice(above.length)}` : null;
}

function overlap(first: EnvironmentCopy, second: EnvironmentCopy): boolean {
  if (first.device !== second.device) return false;
  if ("file" in first || "file" in second) return "file" in first && "file" in second && first.file === second.file;
  if (first.offset < 0 !== second.offset < 0) return false;
  return first.offset < second.offset + second.size && second.offset < first.offset + first.size;
}
