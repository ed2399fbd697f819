/** What a slot must hold to be booted: decisions over what was found on its device and in its root. */
import type { FilesystemType } from "./devices/superblock.ts";

/** Per filesystem that a slot may have: the options that keep its journal from being replayed, which would write to the slot. */
const OPTIONS: Partial<Record<FilesystemType, string>> = {
  erofs: "",
  squashfs: "",
  ext2: "",
  ext3: "noload",
  ext4: "noload",
  xfs: "norecovery",
  btrfs: "rescue=nologreplay",
};

/** Mount options with which a filesystem is mounted read-only and not written to; null where a slot cannot have it. */
export function readOnlyOptions(type: FilesystemType | null): string | null {
  return type === null ? null : (OPTIONS[type] ?? null);
}

/** Filesystem and mount options of the image on `device`. Throws Error where a slot cannot have that filesystem. */
export function imageMount(device: string, type: FilesystemType | null): { type: FilesystemType; options: string } {
  const options = readOnlyOptions(type);
  if (type !== null && options !== null) return { type, options };
  const known = Object.keys(OPTIONS).join(", ");
  throw new Error(`${device} has ${type ?? "no known"} filesystem; a slot holds one of ${known}: install an image there`);
}

/** Why a slot without an image cannot boot. */
export function noImage(device: string): string {
  return `${device} holds no image: it begins with zeros; install one`;
}

/**
 * Checks the root of an image before its init is looked for. Returns what is only worth a warning.
 *
 * @param root the directories it lacks for the handover, and why its modules do not fit, null where they do
 * @throws Error where it cannot be booted, or not as a trial
 */
export function checkRoot(root: { missing: readonly string[]; foreignModules: string | null }, trial: boolean): string | null {
  if (root.missing.length > 0) {
    throw new Error(`the root has no directory ${root.missing.map((name) => `/${name}`).join(", ")}; make it in the image`);
  }
  if (root.foreignModules !== null && trial) throw new Error(`${root.foreignModules}; install an image made for this kernel`);
  return root.foreignModules;
}
