import { z } from "zod";
import { device, map, text } from "./words.ts";

/** `bootloader:` of a system definition. */
export const bootloaderSchema = map({
  directories: z
    .array(
      map({
        device: device.describe("The EFI system partition: PARTLABEL=esp-a"),
        directory: text("a directory on it").describe("The loader's directory, from the filesystem's root: EFI/slipway-a"),
      }),
      { error: "must be a list of two { device: …, directory: … }" },
    )
    .describe("Two boot directories, on one EFI system partition or on two: one boots while the other is written."),
  program: text("a file's name").describe(
    "The program that the firmware starts: grubx64.efi, systemd-bootx64.efi or shimx64.efi.",
  ),
});
