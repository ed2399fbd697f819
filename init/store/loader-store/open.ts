import { parseReference } from "../../../boot/devices/reference.ts";
import { storeDevices } from "../../../state-ops/boot-record-rules.ts";
import type { ControlFile } from "../../../state-ops/control.ts";
import { bootnameOf, deviceUnderRecord } from "../../../state-ops/slot-file.ts";
import { diskOf } from "../../devices/scan.ts";
import { BlsStore } from "./bls.ts";
import { GptStore } from "./gpt.ts";
import { GrubenvStore } from "./grubenv.ts";
import type { LoaderStore, StoreDesk } from "./loader-store.ts";
import { TrybootStore } from "./tryboot.ts";
import { EnvironmentStore } from "./uboot-env.ts";

type StoreControl = Pick<ControlFile, "bootRecord" | "slots"> & { data: Pick<NonNullable<ControlFile["data"]>, "device"> | null };

/** The devices that the control file's store lies on: references of it, each once. */
export function devicesOfStore({ bootRecord, data }: Pick<StoreControl, "bootRecord" | "data">): string[] {
  // The partition table is that of the disk which the boot record is found on, and the slots with it.
  if (bootRecord.store === "gpt") return [deviceUnderRecord({ bootRecord, data })];
  return storeDevices(bootRecord).map(({ device }) => device);
}

/**
 * The control file's store; null where the boot record is the only one.
 *
 * @param nodeOf the device node of each reference of {@link devicesOfStore}
 */
export function openLoaderStore(
  desk: StoreDesk,
  { bootRecord, slots, data }: StoreControl,
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
    case "gpt": {
      const node = nodeOf(deviceUnderRecord({ bootRecord, data }));
      const referred = slots.map((slot) => {
        const reference = parseReference("device" in slot ? slot.device : "");
        return { name: slot.name, bootname: bootnameOf(slot), reference };
      });
      return new GptStore(desk, diskOf(desk.kernel, node) ?? node, referred);
    }
    case "tryboot":
      return new TrybootStore(desk, nodeOf(bootRecord.tryboot.device), named);
  }
}
