/** Which processor the virtual machines have, and what differs with it. */
import { type Architecture, parseArchitecture } from "../boot/architecture.ts";
import { ownArchitecture } from "../init/version.ts";

export const hostArchitecture: Architecture = ownArchitecture;

/** What machines, kernels, images and initrds are made for: SLIPWAY_ARCH, else the host's. */
export const guestArchitecture: Architecture =
  process.env.SLIPWAY_ARCH === undefined ? hostArchitecture : parseArchitecture(process.env.SLIPWAY_ARCH);

/**
 * For scripts that take `--arch ARCHITECTURE`, which scripts/run.mjs has put into SLIPWAY_ARCH before. Throws BadInput for a
 * word that names no architecture, and Error where the script was started without run.mjs.
 */
export function checkGuestArchitecture(word: string | undefined): void {
  if (word === undefined || parseArchitecture(word) === guestArchitecture) return;
  throw new Error(`--arch ${word}, and SLIPWAY_ARCH is not; start this with npm`);
}

interface Board {
  /** QEMU for it. */
  program: string;
  /** QEMU's words for the board and its processor under software emulation. */
  machine: readonly string[];
  processor: string;
  /** Name in /dev of the serial port that is the console. */
  console: string;
}

/**
 * arm64: cortex-a72, since -cpu max has pointer authentication, which costs software emulation nine seconds a boot. QEMU's
 * virt starts a kernel by itself, without firmware, and has one serial port of its own.
 */
export const BOARD: Record<Architecture, Board> = {
  "x86-64": {
    program: "qemu-system-x86_64",
    machine: ["-machine", "q35"],
    processor: "max",
    console: "ttyS0",
  },
  arm64: {
    program: "qemu-system-aarch64",
    machine: ["-machine", "virt"],
    processor: "cortex-a72",
    console: "ttyAMA0",
  },
};

/** The kernel's word that makes the machine's console its console: "console=ttyS0". */
export function consoleWord(architecture: Architecture = guestArchitecture): string {
  return `console=${BOARD[architecture].console}`;
}
