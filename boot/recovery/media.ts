/** Which of the machine's block devices may be somebody's medium, and how its filesystem is mounted: to be read, and trusted in nothing. */
import type { BlockDevice } from "../devices/block-device.ts";
import type { DeviceReference } from "../devices/reference.ts";
import { matches } from "../devices/resolve.ts";
import type { FilesystemType } from "../devices/superblock.ts";

/** What is the machine's own. */
export interface OwnDevices {
  /** Name of the disk that labels are resolved on, "vda"; null where none is known. */
  disk: string | null;
  /** Slots, data, boot record and factory partition. */
  references: readonly DeviceReference[];
}

/** Made by the kernel over other devices, too small for any image, or the parts of an eMMC that are its firmware's. */
const NO_MEDIA = /^(dm-|nbd|fd\d)|^mmcblk\d+(boot|rpmb|gp)/;

/**
 * The devices on which media are looked for: those that do not lie on the machine's own disk. A disk with partitions is looked at
 * itself only where a disc's image was written over it, as is usual for sticks. Where the own disk is not known, nothing that a
 * reference of the machine names counts.
 */
export function foreignDevices(devices: readonly BlockDevice[], own: OwnDevices): BlockDevice[] {
  const isOwn = (device: BlockDevice): boolean => {
    if ((device.disk ?? device.name) === own.disk) return true;
    return own.references.some((reference) => (own.disk === null || reference.by === "path") && matches(device, reference));
  };
  const hasPartitions = ({ name }: BlockDevice) => devices.some(({ disk }) => disk === name);
  return devices.filter((device) => {
    if (NO_MEDIA.test(device.name) || isOwn(device)) return false;
    return !hasPartitions(device) || device.superblock?.type === "iso9660";
  });
}

/**
 * Options by filesystem. No journal is replayed, and what a superblock says of errors ("panic") is overruled: somebody may have made
 * it to stop the machine.
 */
const OPTIONS: Partial<Record<FilesystemType, string>> = {
  vfat: "",
  ext2: "errors=continue",
  ext3: "noload,errors=continue",
  ext4: "noload,errors=continue",
  iso9660: "",
};

/** Besides those of media. */
const OPTIONS_OF_FACTORY: Partial<Record<FilesystemType, string>> = { ...OPTIONS, erofs: "", squashfs: "" };

/** How a filesystem on a medium, or on the factory partition, is mounted; null where it is none of those that are looked at. */
export function mountOptions(place: "factory" | "media", type: FilesystemType): string | null {
  return (place === "media" ? OPTIONS : OPTIONS_OF_FACTORY)[type] ?? null;
}

/** Tables of letters that mounting the filesystem asks for: the kernel's own way to them is a modprobe. */
export function letterModules(type: FilesystemType): readonly string[] {
  return type === "vfat" || type === "iso9660" ? ["nls_cp437", "nls_ascii", "nls_utf8", "nls_iso8859_1"] : [];
}

/** Directories of a medium in which a channel or images are looked for, the root first; `system` is the machine's. */
export function mediumDirectories(system: string): string[] {
  return [...new Set([".", "slipway", system])];
}
