import { storeDevices } from "../../../state-ops/boot-record-rules.ts";
import type { ControlBootRecord, ControlFile } from "../../../state-ops/control.ts";
import { bootnameOf } from "../../../state-ops/slot-file.ts";
import { BlsStore } from "./bls.ts";
import { GrubenvStore } from "./grubenv.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { EnvironmentStore } from "./uboot-env.ts";

/** The devices that the control file's store lies on: references of it, each once. */
export function devicesOfStore(bootRecord: ControlBootRecord): string[] {
  return storeDevices(bootRecord).map(({ device }) => device);
}

/**
 * The control file's store; null where the boot record is the only one.
 *
 * @param nodeOf the device node of each reference of {@link devicesOfStore}
 */
export function openLoaderStore(
  desk: StoreDesk,
  { bootRecord, slots }: Pick<ControlFile, "bootRecord" | "slots">,
  nodeOf: (reference: string) => string,
): LoaderStore | null {
  const named = slots.map((slot) => ({ name: slot.name, bootname: bootnameOf(slot) }));
  switch (bootRecord.store) {
    case "record":
      return null;
    case "grubenv": {
      const { grubenv } = bootRecord;
      return new GrubenvStore(desk, { ...grubenv, device: nodeOf(grubenv.device) }, named);
    }
    case "uboot-env": {
      const { copies, dialect } = bootRecord.environment;
      return new EnvironmentStore(
        desk,
        { copies: copies.map((copy) => ({ ...copy, device: nodeOf(copy.device) })), dialect },
        named,
      );
    }
    case "bls": {
      const { device, directory } = bootRecord.bls;
      return new BlsStore(desk, { device: nodeOf(device), directory }, named);
    }
    case "gpt":
    case "tryboot":
      return null;
  }
}
