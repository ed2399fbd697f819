import { BLS_DIRECTORIES, bootRecordFaults, ENVIRONMENT_SIZES, STORES, storePathFault } from "./boot-record-rules.ts";
import { bootloaderFaults } from "./bootloader-rules.ts";
import type { ControlBootloader, ControlBootRecord, ControlFile, EnvironmentCopy } from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import { Fields } from "./fields.ts";
import { BadInput } from "./outcome.ts";
import type { BootRecordReader } from "./read-plain-control.ts";

/** What a control file may have beyond slipway's own partition. Both throw BadInput. */
export const bootRecordReader: BootRecordReader = {
  read: readBootRecord,
  bootloader: readBootloader,
  check: (control) => {
    checkBootRecord(control);
    checkBootloader(control);
  },
};

/** `bootloader` of a control file. */
function readBootloader(value: unknown): ControlBootloader {
  const fields = new Fields(value, "bootloader", ["directories", "program"]);
  const directories = fields.list("directories").map((entry, index) => {
    const directory = new Fields(entry, `bootloader.directories[${index}]`, ["device", "directory"]);
    return { device: deviceOf(directory, "device"), directory: directory.text("directory") };
  });
  return { directories, program: fields.text("program") };
}

function checkBootloader(control: ControlFile): void {
  const [fault] = control.bootloader === undefined ? [] : bootloaderFaults(control.bootloader, control);
  if (fault !== undefined) throw new BadInput(`${fault.at.join(".")}: ${fault.text}`);
}

/** `bootRecord` of a control file, whatever its store. */
function readBootRecord(value: unknown): ControlBootRecord {
  const where = "bootRecord";
  const any = new Fields(value, where, ["store", "device"], ["grubenv", "environment", "dialect", "bls", "tryboot"]);
  const device = any.nullable("device", () => deviceOf(any, "device"));
  const store = any.oneOf("store", STORES);
  const only = (...keys: string[]) => new Fields(value, where, ["store", "device", ...keys]);
  switch (store) {
    case "record":
      only();
      return { device, store };
    case "grubenv": {
      const fields = only("grubenv").object("grubenv", ["device", "file", "dialect"]);
      const dialect = fields.oneOf("dialect", ["rauc", "slipway"]);
      return { device, store, grubenv: { device: deviceOf(fields, "device"), file: pathOf(fields, "file"), dialect } };
    }
    case "uboot-env": {
      const fields = only("environment").object("environment", ["copies", "dialect"]);
      const copies = fields.list("copies").map((copy, index) => readCopy(copy, `bootRecord.environment.copies[${index}]`));
      return { device, store, environment: { copies, dialect: fields.oneOf("dialect", ["rauc", "rauc-decimal"]) } };
    }
    case "gpt":
      return { device, store, dialect: only("dialect").oneOf("dialect", ["chromeos", "gptprio"]) };
    case "bls": {
      const fields = only("bls").object("bls", ["device", "directory"]);
      return {
        device,
        store,
        bls: { device: deviceOf(fields, "device"), directory: fields.oneOf("directory", BLS_DIRECTORIES) },
      };
    }
    case "tryboot":
      return { device, store, tryboot: { device: deviceOf(only("tryboot").object("tryboot", ["device"]), "device") } };
  }
}

/** Boot record, store and slots have to go together. */
function checkBootRecord(control: Pick<ControlFile, "slots" | "data" | "bootRecord">): void {
  const [fault] = bootRecordFaults(control);
  if (fault !== undefined) throw new BadInput(`${fault.at.join(".")}: ${fault.text}`);
}

function readCopy(value: unknown, where: string): EnvironmentCopy {
  const any = new Fields(value, where, ["device", "size"], ["offset", "sectorSize", "sectors", "file"]);
  const size = any.integer("size", ENVIRONMENT_SIZES.least, ENVIRONMENT_SIZES.most);
  const device = deviceOf(any, "device");
  if (any.has("file")) return { device, size, file: pathOf(new Fields(value, where, ["device", "size", "file"]), "file") };
  const fields = new Fields(value, where, ["device", "size", "offset", "sectorSize", "sectors"]);
  const whole = (key: string) => fields.integer(key, 0, Number.MAX_SAFE_INTEGER);
  const offset = fields.integer("offset", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  return { device, size, offset, sectorSize: whole("sectorSize"), sectors: whole("sectors") };
}

function deviceOf(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), deviceFault);
}

function pathOf(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), storePathFault);
}
