import { BLS_DIRECTORIES, STORES } from "../boot-record-rules.ts";
import { device, map, oneOf, text } from "./words.ts";

const filesystem = (what: string) => device.describe(`The partition whose filesystem holds ${what}: PARTLABEL=esp`);

/** `boot-record:` of a system definition. Which of the maps belongs to which store is for compile-boot-record.ts to say. */
export const bootRecordSchema = map({
  store: oneOf(STORES).describe(
    "What keeps the bootloader's view of the slots: nothing beside slipway's own record (record), or a store that the bootloader reads.",
  ),
  device: device
    .optional()
    .describe("The partition of slipway's own record: PARTLABEL=boot-record. A file on the data filesystem if absent."),
  grubenv: map({
    device: filesystem("GRUB's environment block"),
    file: text("a path in that filesystem").describe("The file, from the filesystem's root: grub/grubenv"),
    dialect: oneOf(["rauc", "slipway"]).describe(
      "rauc: ORDER, A_OK and A_TRY as RAUC's script has them, one try an activation. slipway: the same, and A_TRY counts to 3.",
    ),
  })
    .optional()
    .describe("store: grubenv. GRUB's environment block."),
  "uboot-env": map({
    config: text("the name of a file").describe("fw_env.config of libubootenv, beside this file: where the environment is."),
    dialect: oneOf(["rauc", "rauc-decimal"]).describe(
      "BOOT_ORDER and BOOT_A_LEFT: hexadecimal as RAUC and its script have it, or decimal as U-Boot's bootmeth_rauc.",
    ),
    device: device
      .optional()
      .describe("The partition whose filesystem holds the files that the configuration names: PARTLABEL=boot"),
    mount: text("an absolute path")
      .regex(/^\//, { error: "must be an absolute path" })
      .optional()
      .describe("Where the running system mounts that partition: /boot. The directory of the file if absent."),
  })
    .optional()
    .describe("store: uboot-env. U-Boot's environment."),
  gpt: map({
    dialect: oneOf(["chromeos", "gptprio"]).describe(
      "Who counts, and how: ChromeOS' firmware, or GRUB's gptprio (Flatcar, Bottlerocket).",
    ),
  })
    .optional()
    .describe("store: gpt. Priority, tries and success in the slots' entries of the partition table."),
  bls: map({
    device: filesystem("the entries"),
    directory: oneOf(BLS_DIRECTORIES).describe("Entries in files of their own, or unified kernel images."),
  })
    .optional()
    .describe("store: bls. systemd-boot's counted entries."),
  tryboot: map({ device: filesystem("autoboot.txt") })
    .optional()
    .describe("store: tryboot. autoboot.txt of the Raspberry Pi's firmware."),
});
