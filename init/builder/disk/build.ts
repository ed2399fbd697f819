import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type Architecture, parseArchitecture } from "../../../boot/architecture.ts";
import { readSuperblock, SUPERBLOCK_BYTES } from "../../../boot/devices/superblock.ts";
import { neededArchitecture } from "../../../boot/image/seal.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { PARTITION_TYPES, partitionType } from "../../../state-ops/partition-types.ts";
import { flag, type OptionValues, text, texts, type Verb } from "../../commands/verb.ts";
import { readSeal } from "../../image/read-seal.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { regularFile } from "../input.ts";
import { checkOutput } from "../output.ts";
import { reportProblems } from "../report-problems.ts";
import { checkFillable } from "./fill-data.ts";
import { type DiskPlan, derivedGuid, planDisk } from "./layout.ts";
import { parseSize, printSize } from "./size.ts";
import { readDiskDefinition } from "./system.ts";
import { writeDisk } from "./write.ts";

export const verb: Verb = {
  help: `Usage: slipway disk build --system system.yaml --slot NAME=IMAGE [--slot NAME=IMAGE]… --size SIZE -o DISK

Makes a disk image to flash or to boot in a virtual machine: a GPT with the boot record, the slots and the data filesystem
of the system definition; slots that are files are put into the data filesystem. A loader's own partitions, such as the
EFI system partition, come from images that you made. The boot record is left empty, so that a
first boot tries the slots in their order. Needs the data filesystem's mkfs, but neither root nor loop devices. The disk
image is sparse. Same input, same bytes, where data is ext4 or absent.

Options:
  --system FILE        the system definition, system.yaml; its devices are partition labels, PARTLABEL=…
  --slot NAME=IMAGE    image to put into a slot; a slot without one stays zero
  --partition LABEL:TYPE=IMAGE  a partition before those of the system definition, as large as the image: esp:esp=esp.img;
                       TYPE is a type's name as in layout:, esp, xbootldr, bios-boot, linux, or a GUID
  --arch ARCHITECTURE  x86-64 or arm64: refuses images whose seal names another machine; without it, they have to agree
  --size SIZE          of the disk; bytes, or a number with K, M, G or T: 4G
  --slot-size SIZE     of each slot; the largest image and a quarter if absent, or the rest where --data-size is given
  --data-size SIZE     of the data filesystem; what remains if absent
  --random-guids       new GUIDs and a new UUID of the data filesystem, rather than ones that follow from the system's name
  -o, --output DISK    the image to write; the old one stays until the new one is whole`,
  options: {
    system: { type: "string" },
    slot: { type: "string", multiple: true },
    partition: { type: "string", multiple: true },
    arch: { type: "string" },
    size: { type: "string" },
    "slot-size": { type: "string" },
    "data-size": { type: "string" },
    "random-guids": { type: "boolean" },
    output: { type: "string", short: "o" },
  },
  positionals: [],
  async run(values) {
    return reportProblems(() => build(values));
  },
};

async function build(values: OptionValues): Promise<void> {
  const definition = readDiskDefinition(required(values, "system", "the system definition"));
  const size = parseSize("--size", required(values, "size", "the size of the disk, 4G"));
  const output = checkOutput(required(values, "output", "the disk image to write (-o)"));
  const images = readSlotOptions(
    texts(values, "slot"),
    [...definition.slots, ...definition.files].map((slot) => slot.name),
  );
  const others = readPartitionOptions(texts(values, "partition"));
  const arch = text(values, "arch");
  refuseOtherMachines(arch === undefined ? null : parseArchitecture(arch), images);
  const optionalSize = (name: string): bigint | null => {
    const given = text(values, name);
    return given === undefined ? null : parseSize(`--${name}`, given);
  };
  const guid = flag(values, "random-guids") ? () => randomUUID() : (what: string) => derivedGuid(definition.system, what);
  const imageSize = (slot: string): bigint | null => {
    const image = images.get(slot);
    return image === undefined ? null : BigInt(statSync(image).size);
  };
  const files = definition.files.flatMap((slot) => {
    const image = images.get(slot.name);
    return image === undefined ? [] : [{ slot, image }];
  });
  if (definition.data !== null) checkFillable(definition.data.filesystem, files);
  const plan = planDisk({
    system: definition.system,
    others: others.map(({ label, type, image }) => ({ label, type, imageSize: BigInt(statSync(image).size) })),
    bootRecord: definition.bootRecord,
    slots: definition.slots.map((slot) => ({ ...slot, imageSize: imageSize(slot.name) })),
    files: definition.files.map(({ name, size: bytes }) => ({ name, size: BigInt(bytes), imageSize: imageSize(name) })),
    data: definition.data?.label ?? null,
    size,
    slotSize: optionalSize("slot-size"),
    dataSize: optionalSize("data-size"),
    guid,
  });
  for (const [name, image] of images) warnOfImage(name, image);
  const byLabel = new Map(others.map(({ label, image }) => [label, image]));
  const data = definition.data && { filesystem: definition.data.filesystem, uuid: guid("data filesystem") };
  await writeDisk(linuxKernel(), plan, { images, others: byLabel, data, files }, output);
  printPlan(plan, images, byLabel, output);
  for (const { name, file } of definition.files) console.log(`     ${file}  slot ${name}, ${images.get(name) ?? "nothing yet"}`);
}

function required(values: OptionValues, name: string, what: string): string {
  const value = text(values, name);
  if (value === undefined || value === "") throw new BadInput(`--${name} is missing; it names ${what}`);
  return value;
}

/** "a=IMAGE" as slot and file, each slot once. */
function readSlotOptions(options: string[], known: string[]): Map<string, string> {
  const images = new Map<string, string>();
  for (const option of options) {
    const equals = option.indexOf("=");
    const [name, image] = [option.slice(0, Math.max(equals, 0)), option.slice(equals + 1)];
    if (equals <= 0 || image === "") throw new BadInput(`--slot "${option}" is not NAME=IMAGE`);
    if (!known.includes(name))
      throw new BadInput(`--slot ${option}: the system definition has no slot "${name}", but ${known.join(", ")}`);
    if (images.has(name)) throw new BadInput(`--slot ${name} is given twice: ${images.get(name)} and ${image}`);
    if (regularFile(`--slot ${option}`, image).size === 0) throw new BadInput(`--slot ${option}: the image is empty`);
    images.set(name, image);
  }
  return images;
}

/** "esp:esp=IMAGE" as label, type's GUID and file. */
function readPartitionOptions(options: string[]): { label: string; type: string; image: string }[] {
  return options.map((option) => {
    const [, label = "", said = "", image = ""] = /^([^:=]*):([^=]*)=(.*)$/s.exec(option) ?? [];
    if (label === "" || image === "") throw new BadInput(`--partition "${option}" is not LABEL:TYPE=IMAGE`);
    if (!/^[\x20-\x7e]{1,36}$/.test(label))
      throw new BadInput(`--partition ${option}: a label has 1 to 36 printable ASCII characters`);
    const type = partitionType(said);
    if (type === null) {
      const known = Object.keys(PARTITION_TYPES).join(", ");
      throw new BadInput(`--partition ${option}: "${said}" is no partition type; known are ${known}, and any GUID`);
    }
    if (regularFile(`--partition ${option}`, image).size === 0) throw new BadInput(`--partition ${option}: the image is empty`);
    return { label, type, image };
  });
}

/** A disk is for one machine: throws BadInput where the seals of its images name another, or two. */
function refuseOtherMachines(asked: Architecture | null, images: ReadonlyMap<string, string>): void {
  let wanted = asked === null ? null : { architecture: asked, because: `--arch says ${asked}` };
  for (const [slot, image] of images) {
    const architecture = sealedFor(image);
    if (architecture === null) continue;
    wanted ??= { architecture, because: `that of slot ${slot} is for ${architecture}` };
    if (architecture === wanted.architecture) continue;
    throw new BadInput(
      `--slot ${slot}=${image}: the image is for ${architecture}, and ${wanted.because}; a disk is for one machine`,
    );
  }
}

/** The architecture that the seal of an image names; null without a seal, or where it names none. */
function sealedFor(image: string): Architecture | null {
  const kernel = linuxKernel();
  return withOpen(kernel, image, O.RDONLY, (fd) => {
    const reading = readSeal(kernel, fd, kernel.status(fd).size);
    return reading.is === "sealed" ? neededArchitecture(reading.seal.manifest.needs) : null;
  });
}

/** Says now what would otherwise fail at the first boot. */
function warnOfImage(slot: string, image: string): void {
  const start = Buffer.alloc(SUPERBLOCK_BYTES);
  const fd = openSync(image, "r");
  try {
    const superblock = readSuperblock(start.subarray(0, readSync(fd, start, 0, start.length, 0)));
    const size = BigInt(statSync(image).size);
    if (superblock === null) {
      console.error(
        `slipway: warning: ${image} for slot ${slot} starts with no filesystem that is known; the slot will not boot`,
      );
    } else if (superblock.size !== null && superblock.size > size) {
      console.error(
        `slipway: warning: ${image} for slot ${slot} is cut off: its ${superblock.type} has ${superblock.size} bytes, the file ${size}`,
      );
    }
  } finally {
    closeSync(fd);
  }
}

function printPlan(
  plan: DiskPlan,
  images: ReadonlyMap<string, string>,
  others: ReadonlyMap<string, string>,
  output: string,
): void {
  console.log(`wrote ${output}: ${printSize(plan.size)}`);
  const width = Math.max(...plan.partitions.map((partition) => partition.label.length));
  for (const { number, label, role, slot, size } of plan.partitions) {
    const holds = slot === null ? (others.get(label) ?? role) : `slot ${slot}, ${images.get(slot) ?? "nothing yet"}`;
    console.log(`  ${number}  ${label.padEnd(width)}  ${printSize(size).padStart(10)}  ${holds}`);
  }
}
