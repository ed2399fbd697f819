/** EFI system partitions, mounted where nobody else sees them, for one look or one change. */
import type { PartitionNode } from "../../boot/bootloader/facts.ts";
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { parseReference } from "../../boot/devices/reference.ts";
import { resolveAnywhere } from "../../boot/devices/resolve.ts";
import { RUN } from "../../boot/report.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { GUID } from "../../state-ops/partition-types.ts";
import type { Machine } from "../commands/machine.ts";
import { deviceOnBootDisk } from "../commands/slot-device.ts";
import { needsOf, scanBlockDevices } from "../devices/scan.ts";
import { MS, O } from "../kernel/constants.ts";
import { makeDirectories, readTextIfThere } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { detachDataFilesystem } from "../state/data-filesystem.ts";

/** One partition that the control file names, or why it cannot be used. */
export type Esp =
  | { device: string; fault: string; partition: null; root: null }
  | { device: string; fault: null; partition: PartitionNode; root: Descriptor };

export type EspPurpose = "look" | "write";

/**
 * Mounts the partitions that `references` name, each once, hands them to `use`, and takes the mounts away. What is missing or
 * cannot be mounted is handed over with the reason: a machine with one of two partitions still boots.
 */
export function withEsps<Result>(
  kernel: Kernel,
  machine: Machine,
  references: readonly string[],
  purpose: EspPurpose,
  use: (esps: ReadonlyMap<string, Esp>) => Result,
): Result {
  try {
    kernel.privateMounts();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`no mount namespace of its own (${error.code}); run this as root`);
  }
  const esps = new Map<string, Esp>();
  const places: string[] = [];
  try {
    for (const [index, device] of [...new Set(references)].entries()) {
      const place = `${RUN.directory}/esp-${index}-${kernel.processId()}`;
      const esp = openEsp(kernel, machine, device, place, purpose);
      esps.set(device, esp);
      if (esp.root !== null) places.push(place);
    }
    return use(esps);
  } finally {
    for (const { root } of esps.values()) if (root !== null) kernel.close(root);
    for (const place of places) detachDataFilesystem(kernel, place);
  }
}

function openEsp(kernel: Kernel, machine: Machine, device: string, place: string, purpose: EspPurpose): Esp {
  try {
    const found = findEsp(kernel, machine, device);
    return {
      device,
      fault: null,
      partition: partitionNode(kernel, device, found),
      root: mountEsp(kernel, found, place, purpose),
    };
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { device, fault: error.message, partition: null, root: null };
  }
}

/** By a label on the disk that this boot was from; by a UUID on any. */
function findEsp(kernel: Kernel, machine: Machine, device: string): BlockDevice {
  const wanted = parseReference(device);
  const what = `EFI system partition ${device}`;
  const { devices } = scanBlockDevices(kernel, { ...needsOf([wanted]), partuuids: true });
  if (wanted.by === "partuuid" || wanted.by === "uuid") {
    const resolution = resolveAnywhere(devices, wanted);
    if ("found" in resolution) return resolution.found;
    throw new Refusal(`${what}: ${"missing" in resolution ? resolution.missing : resolution.ambiguous}`);
  }
  const path = deviceOnBootDisk(kernel, machine, what, device);
  const found = devices.find((candidate) => candidate.path === path);
  if (found === undefined) throw new Refusal(`${what}: ${path} is no block device that this machine tells of`);
  return found;
}

/** What a boot entry has of it. The kernel counts units of 512 bytes, UEFI the disk's own sectors. */
function partitionNode(
  kernel: Kernel,
  device: string,
  { name, disk, partition, partuuid, sizeBytes }: BlockDevice,
): PartitionNode {
  const isGuid = partuuid !== null && GUID.test(partuuid);
  if (partition === null || disk === null || !isGuid)
    throw new Refusal(`EFI system partition ${device}: ${name} is no partition of a GPT, which a boot entry needs`);
  const number = (path: string, otherwise: string) => BigInt((readTextIfThere(kernel, path) ?? otherwise).trim());
  const sector = number(`/sys/class/block/${disk}/queue/logical_block_size`, "512");
  const start = number(`/sys/class/block/${name}/start`, "0") * 512n;
  return { kind: "partition", number: partition, start: start / sector, size: sizeBytes / sector, partition: partuuid };
}

function mountEsp(kernel: Kernel, { path }: BlockDevice, place: string, purpose: EspPurpose): Descriptor {
  const flags = MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.NOATIME;
  const mount = (more: number) => kernel.mount(path, place, "vfat", flags | more, "umask=0077");
  let made = false;
  let mounted = false;
  try {
    makeDirectories(kernel, place, 0o700);
    made = true;
    try {
      mount(purpose === "look" ? MS.RDONLY : 0);
    } catch (error) {
      // One filesystem is read-only for all its mounts or for none.
      if (purpose !== "look" || !(error instanceof KernelError) || error.code !== "EBUSY") throw error;
      mount(0);
    }
    mounted = true;
    return kernel.open(place, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  } catch (error) {
    if (mounted) detachDataFilesystem(kernel, place);
    else if (made) kernel.remove(place, { directory: true });
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(`${path} cannot be mounted (${error.code}); ${mountRemedy(error.code)}`);
  }
}

function mountRemedy(code: string): string {
  if (code === "EBUSY" || code === "EROFS" || code === "EACCES")
    return "is it mounted read-only elsewhere, or write-protected? mount -o remount,rw lets it be written";
  if (code === "EINVAL") return "is it FAT (mkfs.vfat), and sound (fsck.vfat)?";
  if (code === "ENODEV") return "is the module vfat there?";
  return "is the disk still there and sound, and is this root?";
}
