/**
 * systemd-boot for the scenarios: entries of boot/loaders/systemd-boot with a kernel and an initrd for each slot on the EFI system
 * partition, or a unified kernel image for each, signed where Secure Boot is to be on.
 */
import { readEntries } from "../../../boot/stores/bls.ts";
import { readEntryName } from "../../../boot/stores/bls-names.ts";
import type { EntryFile } from "../../../boot/stores/bls-order.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { type EspFiles, namesOnEsp, putOnEsp, removeFromEsp, textOnEsp } from "../../../qemu/esp.ts";
import { FACTORY_VARIABLES } from "../../../qemu/firmware.ts";
import { startMachine } from "../../../qemu/machine.ts";
import { madeOf, slipway } from "../../../qemu/product.ts";
import { enrolledVariables, type Signer, secureBootKeys, signedEfi } from "../../../qemu/secure-boot.ts";
import { espImage, loaderConf, SYSTEMD_BOOT, systemdBootFiles } from "../../../qemu/systemd-boot-disk.ts";
import type { LoaderDisk, LoaderUnderTest } from "./loader-scenarios.ts";
import { smallDisk } from "./small-machine.ts";

const ENTRIES = "loader/entries";
const IMAGES = "EFI/Linux";
/** Both kernels and initrds, twice over for an update, and the size from which FAT32 has clusters of 4096 bytes. */
const ESP_MIB = 300;
const named = ["a", "b"].map((name) => ({ name, bootname: name }));

/** The os-release that `slipway initrd uki` puts in where it is told none. */
const RELEASE = "ID=slipway\nPRETTY_NAME=slipway\n";

async function withVariables(secure: boolean): Promise<string> {
  return throwAwayCopy(secure ? await enrolledVariables(await secureBootKeys()) : FACTORY_VARIABLES);
}

function entriesOn(disk: string): Promise<EntryFile[]> {
  return filesIn(disk, ENTRIES, (name) => textOnEsp(disk, `${ENTRIES}/${name}`));
}

async function filesIn(disk: string, directory: string, text: (name: string) => Promise<string>): Promise<EntryFile[]> {
  const names = await namesOnEsp(disk, directory);
  return Promise.all(names.map(async (name) => ({ name, text: await text(name) })));
}

/** The file that the loader would take for `slot`: the one of the highest rank. */
export async function fileOf(disk: string, directory: string, slot: string): Promise<string> {
  const names = await namesOnEsp(disk, directory);
  const own = names.filter((name) => readEntryName(name)?.id.match(new RegExp(`^slipway-\\d+-${slot}$`)));
  const rank = (name: string) => Number(name.split("-")[1]);
  const [best] = own.sort((a, b) => rank(b) - rank(a));
  if (best === undefined) throw new Error(`${directory} has no entry of slot ${slot}: ${names.join(", ")}`);
  return `${directory}/${best}`;
}

function viewOf(files: readonly EntryFile[], kind: "conf" | "efi") {
  const reading = readEntries(files, named, kind);
  if (reading.condition !== "valid") throw new Error(reading.reason);
  return reading.view;
}

/** Type 1 entries. */
export function systemdBootUnderTest(): LoaderUnderTest {
  return {
    name: "systemd-boot",
    bootRecord: `boot-record: { store: bls, device: PARTLABEL=boot-record, bls: { device: PARTLABEL=esp, directory: ${ENTRIES} } }`,
    starts: 3,
    countsTrialsOnly: true,
    async disk({ system, slots, kernel, initrd, words }) {
      const files = systemdBootFiles(["a", "b"].map((bootname) => ({ bootname, kernel, initrd, words })));
      return smallDisk({ system, slots, partitions: [`esp:esp=${await espImage(files, ESP_MIB)}`], size: "1200M" });
    },
    async start(_disk, options) {
      return startMachine({ ...options, firmware: { kind: "ovmf", variables: await withVariables(false) } });
    },
    view: async (disk) => viewOf(await entriesOn(disk), "conf"),
    setInitrd: (disk, slot, initrd) => putOnEsp(disk, { [`slipway/${slot}/initrd`]: { file: initrd } }),
    tears: {
      "a counted twin of the first entry": async (disk) => {
        const path = await fileOf(disk, ENTRIES, "a");
        await putOnEsp(disk, { [path.replace(".conf", "+2-1.conf")]: await textOnEsp(disk, path) });
      },
      "an entry cut short at its making": (disk) => putOnEsp(disk, { [`${ENTRIES}/slipway-99-b+3.conf`]: "" }),
      "the first entry lost": async (disk) => removeFromEsp(disk, await fileOf(disk, ENTRIES, "a")),
    },
    repeat: (disk) => putOnEsp(disk, { "loader/loader.conf": loaderConf().replace(/^default .*$/m, "default slipway-*-a*") }),
  };
}

/** A unified kernel image of `slot`, kept. `signer` null: unsigned. */
export async function unifiedImage(
  { kernel, initrd, words }: Omit<LoaderDisk, "system" | "slots">,
  slot: string,
  signer: Signer | null,
): Promise<string> {
  const directory = await madeOf("uki", [kernel, initrd, words, slot, signer], async (aside) => {
    const signing = signer === null ? [] : ["--key", signer.key, "--cert", signer.certificate];
    const line = `${words} slipway.slot=${slot}`;
    await slipway([
      "initrd",
      "uki",
      "--linux",
      kernel,
      "--initrd",
      initrd,
      "--cmdline",
      line,
      ...signing,
      "-o",
      `${aside}/uki.efi`,
    ]);
  });
  return `${directory}/uki.efi`;
}

/** Type 2 entries. With `secure` only what is signed with the machine's own keys is started. */
export function unifiedUnderTest(secure: boolean): LoaderUnderTest {
  let made: LoaderDisk | null = null;
  const signer = async () => (secure ? (await secureBootKeys()).db : null);
  return {
    name: secure ? "systemd-boot, signed images" : "systemd-boot, unified kernel images",
    bootRecord: `boot-record: { store: bls, device: PARTLABEL=boot-record, bls: { device: PARTLABEL=esp, directory: ${IMAGES} } }`,
    starts: 3,
    countsTrialsOnly: true,
    async disk(wanted) {
      made = wanted;
      const by = await signer();
      const files: EspFiles = {
        "EFI/BOOT/BOOTX64.EFI": { file: by === null ? SYSTEMD_BOOT : await signedEfi(SYSTEMD_BOOT, by) },
        "loader/loader.conf": loaderConf(),
        [`${IMAGES}/slipway-2-a+3.efi`]: { file: await unifiedImage(wanted, "a", by) },
        [`${IMAGES}/slipway-1-b+3.efi`]: { file: await unifiedImage(wanted, "b", by) },
      };
      const { system, slots } = wanted;
      const partitions = [`esp:esp=${await espImage(files, ESP_MIB)}`];
      return smallDisk({ system, slots, partitions, size: "1500M", slotSize: "220M" });
    },
    async start(_disk, options) {
      const firmware = { kind: "ovmf" as const, variables: await withVariables(secure), secureBoot: secure };
      return startMachine({ ...options, memoryMiB: 768, firmware });
    },
    view: async (disk) => viewOf(await filesIn(disk, IMAGES, async () => RELEASE), "efi"),
    async setInitrd(disk, slot, initrd) {
      if (made === null) throw new Error("no disk was made yet");
      const file = await unifiedImage({ ...made, initrd }, slot, await signer());
      await putOnEsp(disk, { [await fileOf(disk, IMAGES, slot)]: { file } });
    },
    tears: {},
    repeat: (disk) => putOnEsp(disk, { "loader/loader.conf": loaderConf().replace(/^default .*$/m, "default slipway-*-a*") }),
  };
}
