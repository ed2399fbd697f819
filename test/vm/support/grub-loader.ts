/** GRUB for the scenarios: boot/loaders/grub.cfg on the EFI system partition, with a kernel and an initrd for each slot beside it. */
import { readFileSync } from "node:fs";
import { readGrubenv } from "../../../boot/stores/grubenv.ts";
import { GRUBENV_DIALECTS } from "../../../boot/stores/grubenv-dialects.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { bytesOnEsp, type EspFiles, putOnEsp, textOnEsp } from "../../../qemu/esp.ts";
import { FACTORY_VARIABLES, type Firmware } from "../../../qemu/firmware.ts";
import { GRUB_DIRECTORY, type GrubSettings, grubPartitions, grubScript, writeBootSector } from "../../../qemu/grub.ts";
import { startMachine } from "../../../qemu/machine.ts";
import { madeOf } from "../../../qemu/product.ts";
import { runProgram } from "../../../qemu/program.ts";
import type { LoaderDisk, LoaderUnderTest } from "./loader-scenarios.ts";
import { smallDisk } from "./small-machine.ts";

const BLOCK = `${GRUB_DIRECTORY}/grubenv`;
const SCRIPT = `${GRUB_DIRECTORY}/grub.cfg`;

export interface GrubUnderTest {
  firmware: "bios" | "ovmf";
  dialect?: "slipway" | "rauc";
  settings?: GrubSettings;
}

/** Files of the ESP: what GRUB reads, and the block as grub-editenv makes it. */
async function espFiles({ kernel, initrd, words }: LoaderDisk, settings: GrubSettings): Promise<EspFiles> {
  const perSlot = {
    "set kernel=/vmlinuz": "set kernel=/slots/$1/vmlinuz",
    "set initrd=/initrd.img": "set initrd=/slots/$1/initrd.img",
  };
  return {
    [SCRIPT]: grubScript({ words, ...settings, lines: { ...perSlot, ...settings.lines } }),
    [BLOCK]: await createdBlock(),
    "slots/a/vmlinuz": { file: kernel },
    "slots/a/initrd.img": { file: initrd },
    "slots/b/vmlinuz": { file: kernel },
    "slots/b/initrd.img": { file: initrd },
  };
}

async function createdBlock(): Promise<string> {
  const directory = await madeOf("grubenv", null, async (aside) => {
    await runProgram("grub-editenv", [`${aside}/grubenv`, "create"]);
  });
  return readFileSync(`${directory}/grubenv`, "utf8");
}

/** Zeros where one of the block's two sectors was. */
async function tear(disk: string, sector: 0 | 1, fill: number): Promise<void> {
  const block = (await bytesOnEsp(disk, BLOCK)).fill(fill, sector * 512, sector * 512 + 512);
  await putOnEsp(disk, { [BLOCK]: block });
}

async function changeScript(disk: string, change: (text: string) => string): Promise<void> {
  const text = await textOnEsp(disk, SCRIPT);
  const changed = change(text);
  if (changed === text) throw new Error("GRUB's script has no such line");
  await putOnEsp(disk, { [SCRIPT]: changed });
}

export function grubUnderTest({ firmware, dialect = "slipway", settings = {} }: GrubUnderTest): LoaderUnderTest {
  const starts = dialect === "rauc" ? 1 : 3;
  const started = (variables: string): Firmware => (firmware === "bios" ? { kind: "bios" } : { kind: "ovmf", variables });
  return {
    name: `GRUB on ${firmware === "bios" ? "BIOS" : "UEFI"}${dialect === "rauc" ? ", RAUC's dialect" : ""}`,
    bootRecord: `boot-record: { store: grubenv, device: PARTLABEL=boot-record, grubenv: { device: PARTLABEL=esp, file: ${BLOCK}, dialect: ${dialect} } }`,
    starts,
    async disk(made) {
      const files = await espFiles(made, { tries: starts, ...settings });
      const partitions = await grubPartitions(firmware, files, { mebibytes: 192 });
      const { system, slots } = made;
      const disk = await smallDisk({ system, slots, partitions, size: "1G" });
      if (firmware === "bios") writeBootSector(disk);
      return disk;
    },
    start(_disk, options) {
      // GRUB is found without variables of its own, as on a disk that was moved.
      return startMachine({ ...options, firmware: started(throwAwayCopy(FACTORY_VARIABLES)) });
    },
    async view(disk) {
      const { variables, reason } = readGrubenv(await bytesOnEsp(disk, BLOCK));
      if (variables === null) throw new Error(reason);
      const names = ["a", "b"].map((name) => ({ name, bootname: name }));
      return GRUBENV_DIALECTS[dialect].view(variables, names);
    },
    setInitrd: (disk, slot, initrd) => putOnEsp(disk, { [`slots/${slot}/initrd.img`]: { file: initrd } }),
    tears: {
      "the first sector of the block torn": (disk) => tear(disk, 0, 0),
      "the second sector of the block torn": (disk) => tear(disk, 1, 0),
      "a block of the wrong size": (disk) => putOnEsp(disk, { [BLOCK]: "# GRUB Environment Block\n" }),
    },
    async otherStore(disk) {
      await putOnEsp(disk, { [`${BLOCK}.copy`]: await bytesOnEsp(disk, BLOCK) });
      await changeScript(disk, (text) => text.replace("set block=$prefix/grubenv", "set block=$prefix/grubenv.copy"));
    },
    repeat: (disk) => changeScript(disk, (text) => text.replace(/^ *load_env .*$/m, "").replace(/^ *save_env .*$/m, "")),
  };
}
