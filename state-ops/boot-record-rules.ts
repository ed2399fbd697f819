/** What must hold for the boot record and the bootloader's store: the compiler refuses by these rules, and PID 1 checks them again. */
import type { ControlBootRecord, ControlFile, EnvironmentCopy, LoaderStore, SlotDefinition } from "./control.ts";
import { partitionUse } from "./partition-use.ts";
import { isPlain } from "./plain-text.ts";
import { bootnameOf } from "./slot-file.ts";

/** Where systemd-boot looks: Boot Loader Specification, type 1 and type 2. */
export const BLS_DIRECTORIES = ["loader/entries", "EFI/Linux"] as const;

/** Bytes that an environment may have: a checksum and two NULs, and no more than any machine gives it. */
export const ENVIRONMENT_SIZES = { least: 16, most: 16 * 1024 * 1024 };

/** What is wrong, and where: keys of system.yaml from the top. */
export interface BootRecordFault {
  at: readonly string[];
  text: string;
}

/** Rule for a file or directory in a bootloader's filesystem: canonical, relative to its root. */
export function storePathFault(path: string): string | null {
  const canonical = path.split("/").every((name) => !["", ".", ".."].includes(name));
  if (canonical && isPlain(path) && path.length <= 255 && !path.includes("\\")) return null;
  return `${JSON.stringify(path)} is no path in the filesystem; write it from its root, without a slash at either end, "." and ".."`;
}

/** The devices that the store lies on, each once, with their keys in system.yaml. */
export function storeDevices(bootRecord: ControlBootRecord): { at: readonly string[]; device: string; isFilesystem: boolean }[] {
  switch (bootRecord.store) {
    case "record":
    case "gpt":
      return [];
    case "grubenv":
      return [{ at: ["boot-record", "grubenv", "device"], device: bootRecord.grubenv.device, isFilesystem: true }];
    case "bls":
      return [{ at: ["boot-record", "bls", "device"], device: bootRecord.bls.device, isFilesystem: true }];
    case "tryboot":
      return [{ at: ["boot-record", "tryboot", "device"], device: bootRecord.tryboot.device, isFilesystem: true }];
    case "uboot-env": {
      const { copies } = bootRecord.environment;
      const first = copies.filter(({ device }, index) => copies.findIndex((other) => other.device === device) === index);
      return first.map((copy) => {
        const isFilesystem = "file" in copy;
        return { at: ["boot-record", "uboot-env", isFilesystem ? "device" : "config"], device: copy.device, isFilesystem };
      });
    }
  }
}

/** What is wrong with boot record, store and slots together. */
export function bootRecordFaults(control: Pick<ControlFile, "slots" | "data" | "bootRecord">): BootRecordFault[] {
  const { slots, data, bootRecord } = control;
  const faults: BootRecordFault[] = [];
  if (bootRecord.device === null && data === null) {
    const text = 'without "device" the boot record is a file on the data filesystem, and there is no "data"; give it a partition';
    faults.push({ at: ["boot-record"], text });
  }
  return [...faults, ...placeFaults(control), ...bootnameFaults(slots, bootRecord), ...fittingFaults(slots, bootRecord)];
}

/** A bootloader's file lies neither in a slot, nor where slipway keeps its own. */
function placeFaults(control: Pick<ControlFile, "slots" | "data" | "bootRecord">): BootRecordFault[] {
  return storeDevices(control.bootRecord).flatMap(({ at, device }) => {
    const use = partitionUse(device, control);
    if (use === null) return [];
    return [{ at, text: `${device} is ${use}, where no bootloader keeps its store; name the partition that it reads` }];
  });
}

function bootnameFaults(slots: readonly SlotDefinition[], { store }: ControlBootRecord): BootRecordFault[] {
  const inVariables = store === "grubenv" || store === "uboot-env";
  return slots.flatMap((slot, index): BootRecordFault[] => {
    const at = ["slots", slot.name, ...(slot.bootname === undefined ? [] : ["bootname"])];
    const bootname = bootnameOf(slot);
    const told = JSON.stringify(bootname);
    if (inVariables && !/^[A-Za-z0-9_]{1,16}$/.test(bootname)) {
      const text = `${told} cannot be part of a bootloader's variable; give the slot a "bootname" of up to 16 letters, digits and _`;
      return [{ at, text }];
    }
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(bootname)) {
      return [{ at, text: `${told} cannot name a slot to a bootloader; use up to 64 letters, digits, ".", "_" and "-"` }];
    }
    // systemd-boot's entries lie on FAT, which takes "A" and "a" for one.
    const folded = (name: string) => (store === "bls" ? name.toLowerCase() : name);
    const other = slots
      .slice(0, index)
      .find(
        (earlier) =>
          folded(bootnameOf(earlier)) === folded(bootname) || earlier.name === bootname || bootnameOf(earlier) === slot.name,
      );
    if (other === undefined) return [];
    return [{ at, text: `slots ${other.name} and ${slot.name} cannot be told apart by their names and bootnames; rename one` }];
  });
}

function fittingFaults(slots: readonly SlotDefinition[], bootRecord: ControlBootRecord): BootRecordFault[] {
  switch (bootRecord.store) {
    case "gpt": {
      const file = slots.find((slot) => "file" in slot);
      if (file === undefined) return gptFaults(slots);
      const text = `slot ${file.name} is a file, and "store: gpt" keeps its bits in the slots' entries of the partition table`;
      return [{ at: ["slots", file.name, "file"], text: `${text}; make it a partition` }];
    }
    case "tryboot":
      if (slots.length === 2) return trybootFaults(slots);
      return [
        { at: ["slots"], text: `"store: tryboot" knows what boots and what is tried: two slots, and here are ${slots.length}` },
      ];
    case "grubenv": {
      const text = storePathFault(bootRecord.grubenv.file);
      return text === null ? [] : [{ at: ["boot-record", "grubenv", "file"], text }];
    }
    case "uboot-env":
      return environmentFaults(bootRecord.environment.copies).map((text) => ({
        at: ["boot-record", "uboot-env", "config"],
        text,
      }));
    default:
      return [];
  }
}

/** Four bits of an entry are the priority, and the table itself says which entry is meant. */
function gptFaults(slots: readonly SlotDefinition[]): BootRecordFault[] {
  const many =
    slots.length > 15 ? [{ at: ["slots"], text: `"store: gpt" has 15 priorities, and here are ${slots.length} slots` }] : [];
  const unknown = slots.flatMap((slot) => {
    if ("file" in slot || !/^(LABEL|UUID)=/.test(slot.device)) return [];
    const text = `"store: gpt" finds a slot in the partition table, which knows no ${slot.device}; name it by PARTLABEL= or PARTUUID=`;
    return [{ at: ["slots", slot.name, "device"], text }];
  });
  return [...many, ...unknown];
}

function trybootFaults(slots: readonly SlotDefinition[]): BootRecordFault[] {
  return slots.flatMap((slot) => {
    if (/^[1-9]\d{0,2}$/.test(bootnameOf(slot))) return [];
    const told = JSON.stringify(bootnameOf(slot));
    const text = `"store: tryboot" knows slot ${slot.name} by the number of the partition that its kernel boots from, not by ${told}; give it that as "bootname"`;
    return [{ at: ["slots", slot.name], text }];
  });
}

/** What is wrong with the places of an environment. */
function environmentFaults(copies: readonly EnvironmentCopy[]): string[] {
  const [first, second] = copies;
  if (first === undefined || copies.length > 2) {
    return [`it names ${copies.length} places; U-Boot's environment has one copy, or two where it is redundant`];
  }
  const faults = copies.flatMap(copyFaults);
  if (second === undefined) return faults;
  if (first.size !== second.size)
    faults.push(`the copies have ${first.size} and ${second.size} bytes; U-Boot has one size for both`);
  if (overlap(first, second))
    faults.push("the two copies lie over each other; compare it with U-Boot's CONFIG_ENV_OFFSET_REDUND");
  return faults;
}

function copyFaults(copy: EnvironmentCopy): string[] {
  const { least, most } = ENVIRONMENT_SIZES;
  const faults: string[] = [];
  if (copy.size < least || copy.size > most)
    faults.push(`an environment of ${copy.size} bytes is none; it has ${least} to ${most}`);
  if ("file" in copy || !isMtd(copy.device)) return faults;
  const { device, offset, size, sectorSize, sectors } = copy;
  if (offset < 0 || (sectorSize > 0 && offset % sectorSize !== 0)) {
    faults.push(
      `${device}: the environment at ${offset} does not begin with a sector of ${sectorSize} bytes, which is erased whole`,
    );
  } else if (sectors > 0 && sectorSize > 0 && sectors * sectorSize < size) {
    faults.push(`${device}: ${sectors} sectors of ${sectorSize} bytes hold no environment of ${size}`);
  }
  return faults;
}

function overlap(first: EnvironmentCopy, second: EnvironmentCopy): boolean {
  if (first.device !== second.device) return false;
  if ("file" in first || "file" in second) return "file" in first && "file" in second && first.file === second.file;
  if (first.offset < 0 !== second.offset < 0) return false;
  const room = (copy: typeof first) => (isMtd(copy.device) ? Math.max(copy.size, copy.sectors * copy.sectorSize) : copy.size);
  return first.offset < second.offset + room(second) && second.offset < first.offset + room(first);
}

/** Whether a device is raw flash, which is erased before it is written: a character device of MTD. */
export function isMtd(device: string): boolean {
  return /^\/dev\/mtd\d+$/.test(device);
}

/** The store's names as `store:` has them. */
export const STORES = ["record", "grubenv", "uboot-env", "gpt", "bls", "tryboot"] as const satisfies readonly (
  | "record"
  | LoaderStore["store"]
)[];
