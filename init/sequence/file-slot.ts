import type { FileSlot } from "../../state-ops/control.ts";
import { attachLoop, type LoopDevice } from "../devices/loop.ts";
import { O } from "../kernel/constants.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { withDescriptor } from "../state/beneath.ts";
import { detachDataFilesystem } from "../state/data-filesystem.ts";
import { mountSlotFiles, openSlotFile } from "../state/slot-files.ts";
import { closeData, type DataRequest, openDataIfPossible } from "./data.ts";
import { DeviceFailure } from "./devices.ts";
import type { Launch } from "./launch.ts";
import type { OpenData } from "./open-data.ts";

/**
 * Where the directory of the slots' files stays mounted while one of them is the root: the file pins the filesystem, so that
 * nobody could unmount it, and without any place nobody could make it read-only for the shutdown either. systemd leaves what
 * is below /run/initramfs to the very end, and then does just that.
 */
export const SLOT_FILES_PLACE = "/run/initramfs/slipway";

/** Why a slot's file cannot be looked at. */
export function outOfReach(file: string, missing: string | null): string {
  return `${file} is out of reach, since there is no data filesystem: ${missing}`;
}

/** A slot that is a file, as a block device. */
export interface OpenFileSlot {
  /** "/dev/loop1" */
  device: string;
  /** The data filesystem that it lies on. */
  data: OpenData;
  /** To be called once the device is mounted, or mapped: the kernel frees it when nothing uses it. */
  letGo(): void;
  /** Undoes all but {@link data}, once nothing is mounted from the device. */
  release(): void;
}

/**
 * Makes a block device of the slot's file, on the data filesystem, which is mounted for it and for the state.
 *
 * @throws DeviceFailure where the data filesystem cannot be used, which says nothing of the image
 */
export async function openFileSlot(launch: Launch, slot: FileSlot, request: DataRequest): Promise<OpenFileSlot> {
  const { data, missing } = await openDataIfPossible(launch, request);
  if (data === null) throw new DeviceFailure(outOfReach(slot.file, missing));
  try {
    return attachSlot(launch.kernel, slot, { ...data, holdsImage: true });
  } catch (error) {
    closeData(launch.kernel, data);
    throw error;
  }
}

function attachSlot(kernel: Kernel, slot: FileSlot, data: OpenData): OpenFileSlot {
  const directory = mountSlotFiles(kernel, data.root, SLOT_FILES_PLACE, slot.file);
  let loop: LoopDevice | null = null;
  const letGo = () => {
    if (loop !== null) kernel.close(loop.held);
    loop = null;
  };
  const release = () => {
    letGo();
    detachDataFilesystem(kernel, SLOT_FILES_PLACE);
  };
  try {
    const open = () => openSlotFile(kernel, directory, slot.file, O.RDONLY);
    const attached = withDescriptor(kernel, open, (file) => attachLoop(kernel, file, slot.file));
    loop = attached;
    return { device: attached.path, data, letGo, release };
  } catch (error) {
    release();
    throw error;
  } finally {
    kernel.close(directory);
  }
}
