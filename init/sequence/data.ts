import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import type { BootReport } from "../../boot/report.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { checkDataFilesystem, otherDataFilesystem } from "../../state-ops/data-use.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import type { Descriptor } from "../kernel/kernel.ts";
import { detachDataFilesystem, layOut, mountDataFilesystem } from "../state/data-filesystem.ts";
import type { Launch } from "./launch.ts";

/** Where PID 1 alone sees the data filesystem, until the handover. */
export const DATA_PLACE = "/run/slipway/data";

export interface DataRequest {
  /** UUID that the boot record knows of the data filesystem. */
  knownData: string | null;
  /** Resolves the data partition's device. Called only where an operator needs it. */
  findDevice(): Promise<string>;
}

/** A data filesystem that is mounted at {@link DATA_PLACE}. */
export interface OpenData {
  root: Descriptor;
  facts: NonNullable<BootReport["data"]>;
}

/** A data filesystem that cannot be used fails the slot only where an operator says `required`. */
export async function openDataIfPossible(launch: Launch, request: DataRequest) {
  const definition = launch.control.data;
  if (definition === null) return { data: null, missing: "the control file has no data:" };
  try {
    return { data: await openData(launch, definition, request), missing: null };
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    launch.warn(`no data filesystem: ${missing}`);
    return { data: null, missing };
  }
}

async function openData(launch: Launch, data: NonNullable<ControlFile["data"]>, request: DataRequest): Promise<OpenData> {
  const { kernel } = launch;
  const device = await request.findDevice();
  const superblock = withOpen(kernel, device, O.RDONLY, (fd) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n)));
  checkDataFilesystem(device, superblock?.type ?? null, data);
  const uuid = superblock?.uuid ?? "unknown";
  const other = otherDataFilesystem(uuid, request.knownData);
  if (other !== null) launch.warn(other);
  launch.loadForFilesystem(data.filesystem);
  const root = mountDataFilesystem(kernel, device, data.filesystem, DATA_PLACE);
  try {
    for (const warning of layOut(kernel, root, uuid)) launch.warn(warning);
    return { root, facts: { device, filesystem: data.filesystem, uuid } };
  } catch (error) {
    kernel.close(root);
    detachDataFilesystem(kernel, DATA_PLACE);
    throw error;
  }
}
