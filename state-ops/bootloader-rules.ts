/** What must hold for the boot directories: the compiler refuses by these rules, and PID 1 checks them again. */
import { storePathFault } from "./boot-record-rules.ts";
import type { ControlBootloader, ControlFile } from "./control.ts";
import { partitionUse } from "./partition-use.ts";

/** What is wrong, and where: keys of system.yaml from the top. */
export interface BootloaderFault {
  at: readonly (string | number)[];
  text: string;
}

/** Rule for the program: a file's name, as the firmware's own loader takes it. */
function programFault(program: string): string | null {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,60}\.efi$/i.test(program)) return null;
  return `${JSON.stringify(program)} is no program of UEFI in a boot directory; write its file's name: grubx64.efi`;
}

/** What is wrong with the boot directories, by themselves and beside slots, data and boot record. */
export function bootloaderFaults(
  { directories, program }: ControlBootloader,
  control: Pick<ControlFile, "slots" | "data" | "bootRecord">,
): BootloaderFault[] {
  const faults: BootloaderFault[] = [];
  const wrongProgram = programFault(program);
  if (wrongProgram !== null) faults.push({ at: ["bootloader", "program"], text: wrongProgram });
  for (const [index, { device, directory }] of directories.entries()) {
    const at = (key: string) => ["bootloader", "directories", index, key];
    const used = partitionUse(device, control);
    if (used !== null)
      faults.push({ at: at("device"), text: `${device} is ${used}, and no EFI system partition; name the one that it is` });
    const wrongPath = directoryFault(directory);
    if (wrongPath !== null) faults.push({ at: at("directory"), text: wrongPath });
  }
  const [first, second] = directories;
  if (first === undefined || second === undefined || directories.length !== 2) {
    const text = `there are ${directories.length} boot directories; there must be two, one that boots and one that is written`;
    return [...faults, { at: ["bootloader", "directories"], text }];
  }
  if (first.device === second.device && (isWithin(first, second) || isWithin(second, first))) {
    const text = `${second.directory} and ${first.directory} are not apart; give each loader a directory of its own`;
    faults.push({ at: ["bootloader", "directories", 1, "directory"], text });
  }
  return faults;
}

/** EFI/BOOT is where the firmware looks when it has forgotten everything: no upgrade touches that. */
function directoryFault(directory: string): string | null {
  const wrong = storePathFault(directory);
  if (wrong !== null) return wrong;
  if (/^efi\/boot(\/|$)/i.test(directory))
    return `${directory} is the firmware's last resort, which no upgrade touches; write EFI/NAME`;
  if (/^(EFI\/)?[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}[A-Za-z0-9]$/.test(directory)) return null;
  return `${JSON.stringify(directory)} is no boot directory; write EFI/NAME, with letters, digits, ".", "_" and "-"`;
}

function isWithin(inner: { directory: string }, outer: { directory: string }): boolean {
  return `${inner.directory}/`.toLowerCase().startsWith(`${outer.directory}/`.toLowerCase());
}
