import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { withLock } from "./lock.ts";
import { cache } from "./places.ts";

const software = ["-accel", "tcg,thread=multi", "-cpu", "max"];
const hardware = ["-accel", "kvm", "-cpu", "host"];

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
  const machine = ["-machine", "q35", "-m", "256", "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio"];
  const boot = ["-no-reboot", "-kernel", kernel, "-append", "console=ttyS0 panic=-1"];
  const words = ["--pdeathsig", "KILL", "--", "qemu-system-x86_64", ...hardware, ...machine, ...boot];
  const probe = spawnSync("setpriv", words, {
    timeout: probeMs,
    killSignal: "SIGKILL",
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return probe.status === 0 && /Unable to mount root fs/.test(probe.stdout);
}

/**
 * QEMU's words for the fastest accelerator that works: KVM where a throw-away boot of `kernel` under it came to its end,
 * else software emulation. The probe is made once per boot of the host. SLIPWAY_ACCELERATOR=tcg leaves it out.
 */
export async function accelerator(kernel: string): Promise<string[]> {
  if (process.env.SLIPWAY_ACCELERATOR === "tcg" || !existsSync("/dev/kvm")) return software;
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const answer = `${cache}/accelerator-${boot}`;
  return withLock(`${cache}/accelerator.lock`, async () => {
    if (!existsSync(answer)) {
      mkdirSync(cache, { recursive: true });
      writeFileSync(`${answer}.new`, kvmBoots(kernel) ? "kvm" : "tcg");
      renameSync(`${answer}.new`, answer);
    }
    return readFileSync(answer, "utf8") === "kvm" ? hardware : software;
  });
}
