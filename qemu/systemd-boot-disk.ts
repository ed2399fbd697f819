/** What lies on the EFI system partition of a machine that systemd-boot starts. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type EspFiles, makeEsp } from "./esp.ts";
import { project } from "./places.ts";
import { madeOf } from "./product.ts";

/** Debian's package systemd-boot-efi: the loader, unsigned, and the stub of unified kernel images. */
export const SYSTEMD_BOOT = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
export const SYSTEMD_STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/** A slot's kernel, initrd and entry: way one of a kernel per slot, each slot's own on the partition. */
export interface EspSlot {
  bootname: string;
  kernel: string;
  initrd: string;
  /** Words for the kernel beside slipway's. */
  words: string;
}

const loaders = `${project}/boot/loaders/systemd-boot`;

/** The text of the project's loader.conf. */
export function loaderConf(): string {
  return readFileSync(`${loaders}/loader.conf`, "utf8");
}

/** The text of the project's entry for `bootname`. */
function entryText(bootname: string, words: string): string {
  const text = readFileSync(`${loaders}/slipway-BOOTNAME.template`, "utf8").replaceAll("BOOTNAME", bootname);
  return text.replace(/^options .*$/m, (options) => `${options} ${words}`.trim());
}

/** Files for `slots`, the first of which boots first; each with three tries. */
export function systemdBootFiles(slots: readonly EspSlot[], loader: string = SYSTEMD_BOOT): EspFiles {
  const files: EspFiles = { "EFI/BOOT/BOOTX64.EFI": { file: loader }, "loader/loader.conf": loaderConf() };
  slots.forEach(({ bootname, kernel, initrd, words }, place) => {
    const entry = entryText(bootname, words);
    files[`loader/entries/slipway-${slots.length - place}-${bootname}+3.conf`] = entry;
    files[`loader/entries/slipway-${bootname}.template`] = entry;
    files[`slipway/${bootname}/linux`] = { file: kernel };
    files[`slipway/${bootname}/initrd`] = { file: initrd };
  });
  return files;
}

/** What a file is made of, for {@link madeOf}. */
function contentOf(source: EspFiles[string]): string {
  const content = typeof source === "string" || source instanceof Uint8Array ? source : readFileSync(source.file);
  return createHash("sha256").update(content).digest("hex");
}

/** The image of a partition with `files`, kept. */
export async function espImage(files: EspFiles, sizeMiB: number): Promise<string> {
  const contents = Object.entries(files).map(([path, source]) => [path, contentOf(source)]);
  const directory = await madeOf("esp", [contents, sizeMiB], (aside) => makeEsp(`${aside}/image`, files, sizeMiB));
  return `${directory}/image`;
}
