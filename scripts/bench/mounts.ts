/** Whether peers leave the same mounts to the next init: only then their times compare. */

/**
 * Which mounts a peer leaves. "all": the same as slipway, each with the same flags. "declared": the root and the declared
 * state as slipway; the kernel's own filesystems, each tool in its own way. "root": the root alone.
 */
export type Leaves = "all" | "declared" | "root";

/** Mounts of a boot, each "/ erofs ro,relatime". */
export interface LeftMounts {
  name: string;
  leaves: Leaves;
  mounts: string[];
}

const kernels = { "/dev": "devtmpfs", "/proc": "proc", "/sys": "sysfs", "/run": "tmpfs" };

const placeOf = (mount: string): string => mount.split(" ")[0] ?? "";

/** Whether a mount is one of the kernel's own filesystems, or lies on one. The initramfs itself, at "/", is shown to nobody. */
function isKernels(mount: string): boolean {
  const place = placeOf(mount);
  return Object.keys(kernels).some((top) => place === top || place.startsWith(`${top}/`)) || / (rootfs|ramfs) /.test(mount);
}

/** What `other` must leave, of what slipway left. */
function wanted(mounts: string[], leaves: Leaves): string[] {
  if (leaves === "all") return mounts;
  return mounts.filter((mount) => !isKernels(mount) && (leaves === "declared" || placeOf(mount) === "/"));
}

/** Throws Error where a peer left others than it must, compared with the first of those that leave most. */
export function checkMounts(left: readonly LeftMounts[]): void {
  const first = left.find(({ leaves }) => leaves === "all") ?? left.find(({ leaves }) => leaves === "declared");
  for (const other of left.filter((candidate) => first !== undefined && candidate !== first)) {
    const expected = wanted(first?.mounts ?? [], other.leaves);
    const found = other.leaves === "all" ? other.mounts : other.mounts.filter((mount) => !isKernels(mount));
    const words = [
      ...expected.filter((mount) => !found.includes(mount)).map((mount) => `without "${mount}"`),
      ...found.filter((mount) => !expected.includes(mount)).map((mount) => `with "${mount}"`),
      ...(other.leaves === "declared" ? withoutKernels(other.mounts) : []),
    ];
    if (words.length > 0) throw new Error(`${other.name} does not do the mounts of ${first?.name}: ${words.join(", ")}`);
  }
}

function withoutKernels(mounts: string[]): string[] {
  const missing = Object.entries(kernels).filter(
    ([place, type]) => !mounts.some((mount) => mount.startsWith(`${place} ${type} `)),
  );
  return missing.map(([place, type]) => `without ${type} on ${place}`);
}
