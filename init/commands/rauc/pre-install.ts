/** RAUC's pre-install handler: runs once the bundle is proven, and before anything is written. */
import type { SlotName } from "../../../boot/record/record.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { withInstallLock } from "../../converge/install-lock.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { type Kernel, KernelError } from "../../kernel/kernel.ts";
import { changeRecord } from "../change-record.ts";
import type { Machine, Places } from "../machine.ts";
import { withSlotPlace } from "../slot-place.ts";
import { slotWithBootname } from "./bootnames.ts";
import { readyForRauc } from "./ready.ts";
import { WHO } from "./states.ts";

/** A slot that RAUC is about to write to. */
interface RaucTarget {
  bootname: string;
  device: string;
}

/**
 * What RAUC writes to, from the environment of its handlers (docs/integration.rst of RAUC, "System-Based Customization"). Slots
 * without a bootname, which go with another slot, are none of slipway's. Throws BadInput where a variable is missing.
 */
export function raucTargets(environment: Readonly<Record<string, string | undefined>>): RaucTarget[] {
  const value = (name: string) => {
    const found = environment[name];
    if (found !== undefined) return found;
    throw new BadInput(
      `${name} is not in the environment; this is for RAUC, as pre-install= in the [handlers] of its system.conf`,
    );
  };
  return value("RAUC_TARGET_SLOTS")
    .split(" ")
    .filter((number) => number !== "")
    .map((number) => ({ bootname: value(`RAUC_SLOT_BOOTNAME_${number}`), device: value(`RAUC_SLOT_DEVICE_${number}`) }))
    .filter(({ bootname }) => bootname !== "");
}

/**
 * Refuses an install of RAUC's that slipway would refuse, and makes its targets ready.
 *
 * @returns what there is to say
 * @throws BadInput for a bootname that no slot has, Refusal where slipway writes to a slot, where a target must not get another
 * image now or is in use, and where RAUC takes another device for it
 */
export function preInstall(kernel: Kernel, places: Places, targets: readonly RaucTarget[]): Promise<string[]> {
  return withInstallLock(kernel, places.installLock, WHO, async () =>
    changeRecord(kernel, places, WHO, ({ machine, record }) =>
      targets.flatMap(({ bootname, device }) => {
        const slot = slotWithBootname(machine, bootname);
        refuseOtherDevice(kernel, machine, slot, device);
        return readyForRauc(kernel, machine, record, slot);
      }),
    ),
  );
}

/** A slot is the same device for both, or RAUC would write to another one than the rules were asked about. */
function refuseOtherDevice(kernel: Kernel, machine: Machine, slot: SlotName, device: string): void {
  const theirs = numberOf(kernel, device);
  const ours = withSlotPlace(kernel, machine, slot, ({ path, shown }) => ({ shown, number: numberOf(kernel, path) }));
  if (ours.number === theirs) return;
  throw new Refusal(
    `slot ${slot} is ${ours.shown} (${ours.number}), and RAUC would write to ${device} (${theirs}); make device= in RAUC's system.conf the slot's`,
  );
}

function numberOf(kernel: Kernel, path: string): string {
  try {
    const { node } = withOpen(kernel, path, O.PATH, (fd) => kernel.status(fd));
    return `${node.major}:${node.minor}`;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`${path} cannot be opened (${error.code}); is device= in RAUC's system.conf right?`);
  }
}
