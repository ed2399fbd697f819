/** A slot tried without the firmware's reboot: the kernel and the initrd in its proven image are loaded, and started by the shutdown. */
import { newBootLine } from "../../boot/kexec/command-line.ts";
import { lineFailure, loadFailure } from "../../boot/kexec/load-failure.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { VerityUnavailable } from "../image/verity-device.ts";
import { readText } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { checkInitrd, INITRD_NAME, KERNEL_NAME, KERNELS, openSlotKernel, WrongKernel } from "../kexec/slot-kernel.ts";
import type { Answer } from "./answer.ts";
import { type Places, readMachine } from "./machine.ts";
import { provenImage } from "./proven-image.ts";
import { requestKexec } from "./systemctl.ts";

/** For the help of verbs. */
export const KEXEC_HELP = `--kexec      start the slot's own kernel at once, from its proven image, without the firmware's reboot. Where the kernel that runs
               can start no other, that is refused before anything is changed. Where the slot's kernel cannot be started (exit 3),
               what was done stands, and a reboot goes to the slot`;

/** Throws BadInput for options that go against each other. */
export function refuseTwoWays(values: { reboot: boolean; kexec: boolean }): void {
  if (values.reboot && values.kexec) throw new BadInput("--reboot and --kexec are two ways to the same slot; give one");
}

/** Throws Refusal where the kernel that runs starts no other, whichever it is. Loads nothing. */
export function requireKexec(kernel: Kernel): void {
  try {
    kernel.loadKexec(-1, null, "");
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const { whose, reason } = loadFailure(error.code);
    if (whose === "machine") throw new Refusal(`--kexec: ${reason}; nothing was changed: take --reboot`);
  }
}

/**
 * Loads the slot's kernel and has the machine go down for it. `print` shows the answer; where that cannot be done, the answer that
 * stands is shown first.
 *
 * @throws Refusal where the slot's kernel cannot be loaded, Error where systemd did not take it
 */
export async function finishByKexec<A extends Answer>(
  kernel: Kernel,
  places: Places,
  answer: A,
  print: (answer: A) => void,
): Promise<number> {
  let release: string;
  try {
    release = await loadFromSlot(kernel, places, answer.slot);
  } catch (error) {
    print(answer);
    if (!(error instanceof Refusal)) throw error;
    throw new Refusal(`--kexec: ${error.message}; what was done stands: ${answer.next}`);
  }
  print({ ...answer, next: `wait: the kernel ${release} in slot ${answer.slot} starts once this system is down.` });
  if (requestKexec(kernel, places.systemctl)) return 0;
  kernel.unloadKexec();
  throw new Error(`the kernel was loaded, but systemd did not take the kexec, so it is forgotten; ${answer.next}`);
}

/**
 * Loads the kernel and the initrd from the slot's image, each block of which is proven as it is read. Returns the kernel's release.
 * Throws Refusal where they cannot be loaded.
 */
export async function loadFromSlot(kernel: Kernel, places: Places, slot: SlotName): Promise<string> {
  const machine = readMachine(kernel, places);
  const ruling: object = JSON.parse(readText(kernel, places.control));
  const look = await provenImage(kernel, machine, slot, "kexec");
  return refusing(slot, () => look((root) => load(kernel, slot, root, ruling)));
}

function load(kernel: Kernel, slot: SlotName, root: Descriptor, ruling: object): string {
  const own = openSlotKernel(kernel, root);
  if (own === null) {
    const files = `/${KERNELS}/VERSION/${KERNEL_NAME} and ${INITRD_NAME}`;
    throw new WrongKernel(`the image has no kernel of its own at ${files} (slipway image build --kernel --initrd)`);
  }
  try {
    const initrd = checkInitrd(kernel, own, ruling);
    const line = newBootLine(readText(kernel, "/proc/cmdline"), slot);
    const failure = lineFailure(line);
    if (failure !== null) throw new Refusal(failure.reason);
    kernel.loadKexec(own.file, initrd, line);
    return own.release;
  } finally {
    own.close();
  }
}

function refusing<Result>(slot: SlotName, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError && error.call === "kexec_file_load") throw new Refusal(loadFailure(error.code).reason);
    if (error instanceof KernelError) throw new Refusal(`slot ${slot} cannot be looked into (${error.message})`);
    if (error instanceof WrongKernel || error instanceof VerityUnavailable || error instanceof SlotFailure) {
      throw new Refusal(`slot ${slot}: ${error.message}`);
    }
    throw error;
  }
}
