/** What starts a machine that is given no kernel: firmware, which reads its disks. */
/**
 * `bios`: SeaBIOS, which starts what the first disk's boot sector holds. `ovmf`: UEFI; `variables` is a file of the machine's own,
 * a copy of {@link FACTORY_VARIABLES} or of enrolled ones, that keeps its variables from one boot to the next. `u-boot`: Debian's for QEMU's virt; its
 * environment lies in `flash`, a file of 64 MiB. `u-boot-rpi`: Debian's for a Raspberry Pi, on the board of that name, which the
 * Pi's own firmware gives a device tree; its environment is the file uboot.env on the card's first partition.
 */
export type Firmware =
  | { kind: "bios" }
  | { kind: "ovmf"; variables: string; secureBoot?: boolean }
  | { kind: "u-boot"; flash: string }
  | { kind: "u-boot-rpi"; program: string; deviceTree: string };

/** An OVMF's variables as they leave the factory, no key enrolled. */
export const FACTORY_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/** Debian's packages ovmf and u-boot-qemu. */
const FILES = {
  code: "/usr/share/OVMF/OVMF_CODE_4M.fd",
  secureCode: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
  uBoot: "/usr/lib/u-boot/qemu_arm64/u-boot.bin",
} as const;

function flashWords(unit: number, file: string, readOnly: boolean): string[] {
  const flags = readOnly ? ",readonly=on" : "";
  return ["-drive", `if=pflash,format=raw,unit=${unit},file=${file.replaceAll(",", ",,")}${flags}`];
}

/** QEMU's words for `firmware`, and whether its board needs system management mode. */
export function firmwareWords(firmware: Firmware): string[] {
  switch (firmware.kind) {
    case "bios":
      return [];
    case "ovmf": {
      const secure = ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"];
      const code = firmware.secureBoot ? FILES.secureCode : FILES.code;
      return [...(firmware.secureBoot ? secure : []), ...flashWords(0, code, true), ...flashWords(1, firmware.variables, false)];
    }
    case "u-boot-rpi":
      return ["-kernel", firmware.program, "-dtb", firmware.deviceTree];
    case "u-boot":
      return ["-bios", FILES.uBoot, ...flashWords(1, firmware.flash, false)];
  }
}
