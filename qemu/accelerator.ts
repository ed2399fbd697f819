import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Architecture } from "../boot/architecture.ts";
import { BOARD, consoleWord, guestArchitecture, hostArchitecture } from "./architecture.ts";
import { withLock } from "./lock.ts";
import { cache } from "./places.ts";

const software = (architecture: Architecture) => ["-accel", "tcg,thread=multi", "-cpu", BOARD[architecture].processor];
const hardware = ["-accel", "kvm", "-cpu", "host"];

/**
 * Software emulation whose guest's clock counts instructions, one nanosecond each: the same boot takes the same time on a
 * busy host, and what runs once is not charged with its translation. A wait is cut short, but counted as long as its timer
 * had to go. The processor does without fast string moves, which the emulation counts byte by byte.
 */
export const countingInstructions = (architecture: Architecture): string[] => {
  const strings = architecture === "x86-64" ? ",-erms,-fsrm" : "";
  return ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-cpu", `${BOARD[architecture].processor}${strings}`];
};

const probeMs = 15_000;

/**
 * Boots `kernel` without a root under KVM and says whether it got to the panic that this ends in. /dev/kvm may exist and
 * be readable, and QEMU still abort or hang on it; only a boot tells.
 */
function kvmBoots(kernel: string): boolean {
  try {
    accessSync("/dev/kvm", constants.R_OK | constants.W_OK);
  } catch {
    return false;
  }
  const { program, machine } = BOARD[hostArchitecture];
  const parts = ["-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"];
  const boot = ["-no-reboot", "-kernel", kernel, "-append", `${consoleWord(hostArchitecture)} panic=-1`];
  const words = ["--pdeathsig", "KILL", "--", program, ...hardware, ...machine, ...parts, ...boot];
  const probe = spawnSync("setpriv", words, {
    timeout: probeMs,
    killSignal: "SIGKILL",
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return probe.status === 0 && /Unable to mount root fs/.test(probe.stdout);
}

/**
 * QEMU's words for the fastest accelerator that works: KVM where `kernel` is for the host's processor and a throw-away boot of
 * it came to its end, else software emulation. The probe is made once per boot of the host. SLIPWAY_ACCELERATOR=tcg leaves it out.
 */
export async function accelerator(kernel: string, architecture = guestArchitecture): Promise<string[]> {
  const foreign = architecture !== hostArchitecture;
  if (foreign || process.env.SLIPWAY_ACCELERATOR === "tcg" || !existsSync("/dev/kvm")) return software(architecture);
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const answer = `${cache}/accelerator-${boot}`;
  return withLock(`${cache}/accelerator.lock`, async () => {
    if (!existsSync(answer)) {
      mkdirSync(cache, { recursive: true });
      writeFileSync(`${answer}.new`, kvmBoots(kernel) ? "kvm" : "tcg");
      renameSync(`${answer}.new`, answer);
    }
    return readFileSync(answer, "utf8") === "kvm" ? hardware : software(architecture);
  });
}
