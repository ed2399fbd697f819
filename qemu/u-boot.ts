/** Disks that U-Boot starts: Debian's for QEMU's virt on arm64 (u-boot-qemu), with boot/loaders/u-boot.cmd as its boot script. */
import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { aptFor } from "./apt.ts";
import { type EspFiles, makeEsp } from "./esp.ts";
import type { Firmware } from "./firmware.ts";
import { guestKernel } from "./kernel.ts";
import { project } from "./places.ts";
import { keptOf, madeOf } from "./product.ts";
import { runProgram } from "./program.ts";

/** Labels of the partitions that {@link uBootPartitions} makes. */
export const BOOT_LABEL = "boot";
export const ENVIRONMENT_LABEL = "uboot-env";

/** Where the script keeps its counts: see there. */
export type CountsPlace = "partition" | "file" | "own";

/** Settings of boot/loaders/u-boot.cmd. `lines`: words in it, and what stands there instead. */
export interface UBootSettings {
  slots?: string;
  counts?: CountsPlace;
  lines?: Readonly<Record<string, string>>;
}

/** boot/loaders/u-boot.cmd as an integrator sets it. Throws where words that are to be replaced are not there. */
export function uBootScript({ slots = "A B", counts = "partition", lines = {} }: UBootSettings = {}): string {
  const number = { partition: 1, file: 2, own: 3 }[counts];
  let variant = 0;
  const text = readFileSync(`${project}/boot/loaders/u-boot.cmd`, "utf8").replaceAll(
    /^(?:# ([1-3])\. .*|#?(setenv slipway_(?:load|save) .*))$/gm,
    (line, said: string | undefined, command: string | undefined) => {
      if (said !== undefined) variant = Number(said);
      return command === undefined ? line : `${variant === number ? "" : "#"}${command}`;
    },
  );
  return Object.entries({ 'slipway_slots "A B"': `slipway_slots "${slots}"`, ...lines }).reduce((script, [old, words]) => {
    if (!script.includes(old)) throw new Error(`boot/loaders/u-boot.cmd has no ${old}`);
    return script.replaceAll(old, () => words);
  }, text);
}

/** A boot script as U-Boot's `source` takes it. */
export async function scriptImage(text: string): Promise<Uint8Array> {
  const directory = await madeOf("u-boot-script", [text], async (aside) => {
    writeFileSync(`${aside}/boot.cmd`, text);
    const words = ["-A", "arm64", "-T", "script", "-C", "none", "-n", "slipway", "-d", `${aside}/boot.cmd`, `${aside}/boot.scr`];
    // Images bear the time at which they were made.
    await runProgram("mkimage", words, { environment: { ...process.env, SOURCE_DATE_EPOCH: "0" } });
  });
  return new Uint8Array(readFileSync(`${directory}/boot.scr`));
}

/**
 * The partitions of a disk that U-Boot starts, as `slipway disk build --partition` takes them: FAT with boot.scr and `files`, and
 * one with `environment` from its first byte on. The first is where U-Boot looks, since none is marked as bootable. Kept.
 */
export async function uBootPartitions(
  script: string,
  files: EspFiles,
  { environment = new Uint8Array(), mebibytes = 64 }: { environment?: Uint8Array; mebibytes?: number } = {},
): Promise<string[]> {
  const inputs = [script, files, Buffer.from(environment).toString("hex"), mebibytes];
  const directory = await madeOf("u-boot", inputs, async (aside) => {
    await makeEsp(`${aside}/boot`, { "boot.scr": await scriptImage(script), ...files }, mebibytes);
    writeFileSync(`${aside}/environment`, environment);
    truncateSync(`${aside}/environment`, 1024 * 1024);
  });
  return [`${BOOT_LABEL}:linux=${directory}/boot`, `${ENVIRONMENT_LABEL}:linux=${directory}/environment`];
}

/** U-Boot's flash as it leaves the factory, erased, in the file `path`. */
export function freshFlash(path: string): string {
  writeFileSync(path, "");
  truncateSync(path, 64 * 1024 * 1024);
  return path;
}

/** Debian's U-Boot for a Raspberry Pi (u-boot-rpi), and the device tree that its firmware would hand over. Downloaded once. */
export async function raspberryUBoot(): Promise<Firmware> {
  const apt = await aptFor("arm64");
  const { kernel, version } = await guestKernel("generic", "arm64");
  const directory = await apt.withLists(async () => {
    const package_ = `u-boot-rpi=${await apt.version("u-boot-rpi")}`;
    return keptOf("u-boot-rpi", [package_], async (aside) => {
      for (const file of await apt.download([package_], aside)) await runProgram("dpkg-deb", ["--extract", file, aside]);
    });
  });
  const deviceTree = `${dirname(dirname(kernel))}/usr/lib/linux-image-${version}/broadcom/bcm2837-rpi-3-b.dtb`;
  return { kind: "u-boot-rpi", program: `${directory}/usr/lib/u-boot/rpi_arm64/u-boot.bin`, deviceTree };
}
