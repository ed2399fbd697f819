import type { Architecture } from "../boot/architecture.ts";
import { BOARD, guestArchitecture } from "./architecture.ts";
import { diskWords, type MachineDisk } from "./disks.ts";
import { type Firmware, firmwareWords } from "./firmware.ts";
import type { Lock } from "./lock.ts";
import { type NetworkCard, networkWords } from "./networks.ts";

/** A machine to start. */
export interface MachineOptions {
  /** Begins the log's name; by default the name of the script that runs. */
  name?: string;
  /** Default {@link guestArchitecture}. */
  architecture?: Architecture;
  /** Instead of the architecture's own: a Raspberry Pi 3, which has 1 GiB, four processors and no PCI; its disk is an SD card. */
  board?: "raspi3b";
  /** Left out where `firmware` starts what the disks hold. */
  kernel?: string;
  firmware?: Firmware;
  initrd?: string;
  /** The kernel's command line, as it is. {@link consoleWord} in it makes the kernel speak on the console. */
  append?: string;
  /** Default 512. */
  memoryMiB?: number;
  /** Default 1. */
  cpus?: number;
  disks?: MachineDisk[];
  /** Default none. */
  net?: readonly NetworkCard[];
  /** The guest's clock counts instructions: see accelerator.ts. */
  countInstructions?: boolean;
  /** What the clock on the board says at the start: "1970-01-01T00:00:00". Default: the host's time. */
  clock?: string;
  /** Default "none"; "i6300esb" resets the machine when it expires. */
  watchdog?: "none" | "i6300esb";
  /** QEMU ends where the machine would restart. */
  noReboot?: boolean;
  /** A kernel panic is not a failure. */
  expectPanic?: boolean;
  /** Counted from QEMU's start; QEMU is killed then. Default 120,000. */
  timeoutMs?: number;
  /** A place taken before with `takePlaces`, for tests that run two machines at once. It is given back when QEMU ends. */
  place?: Lock;
  /** More words for QEMU. */
  extra?: string[];
  /** Gets the console's bytes as they come. */
  onOutput?: (bytes: Uint8Array) => void;
}

/**
 * QEMU's words for `options`, without the accelerator.
 * @param sockets directory with the unix sockets `results` and `qmp`, to which QEMU connects
 */
export function machineWords(options: MachineOptions, sockets: string): string[] {
  const architecture = options.architecture ?? guestArchitecture;
  const isRaspberry = options.board === "raspi3b";
  const machine = isRaspberry ? RASPBERRY : BOARD[architecture].machine;
  const words = [...machine, "-nodefaults", "-no-user-config", "-display", "none"];
  if (!isRaspberry) words.push("-m", String(options.memoryMiB ?? 512), "-smp", String(options.cpus ?? 1));
  words.push("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console");
  words.push("-chardev", `socket,id=results,path=${sockets}/results`, ...resultsWords(architecture, isRaspberry));
  words.push("-qmp", `unix:${sockets}/qmp`, ...startWords(options));
  if (options.initrd !== undefined) words.push("-initrd", options.initrd);
  if (options.append !== undefined) words.push("-append", options.append);
  words.push(...networkWords(options.net ?? []));
  if (options.clock !== undefined) words.push("-rtc", `base=${options.clock}`);
  if (options.watchdog === "i6300esb") words.push("-device", "i6300esb", "-action", "watchdog=reset");
  if (options.noReboot) words.push("-no-reboot");
  return [...words, ...diskWords(options.disks ?? []), ...(options.extra ?? [])];
}

function startWords({ kernel, firmware }: MachineOptions): string[] {
  if ((kernel === undefined) === (firmware === undefined))
    throw new Error("a machine is started by a kernel or by firmware: give one");
  return [...(kernel === undefined ? [] : ["-kernel", kernel]), ...(firmware === undefined ? [] : firmwareWords(firmware))];
}

/** The processor comes after the architecture's, and holds. */
const RASPBERRY = ["-machine", "raspi3b", "-cpu", "cortex-a53"];

/** Words that make the channel "results" ttyS1, which a Raspberry Pi has. A board without PC serial ports gets two on PCI, the first of which nobody hears. */
function resultsWords(architecture: Architecture, isRaspberry: boolean): string[] {
  if (architecture === "x86-64" || isRaspberry) return ["-serial", "chardev:results"];
  const unheard = ["-chardev", "null,id=unheard", "-device", "pci-serial,chardev=unheard"];
  return [...unheard, "-device", "pci-serial,chardev=results"];
}
