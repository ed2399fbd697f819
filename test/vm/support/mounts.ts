/** The mounts of a process, as /proc/PID/mountinfo tells them. */

export interface Mount {
  id: number;
  parent: number;
  /** Where it is mounted. */
  path: string;
  /** Of the mount itself: "ro", "nosuid". */
  options: string[];
  type: string;
  source: string;
}

export function readMounts(mountinfo: string): Mount[] {
  return mountinfo
    .trim()
    .split("\n")
    .map((line) => {
      const [id = "", parent = "", , , path = "", options = ""] = line.split(" ");
      const [type = "", source = ""] = (line.split(" - ")[1] ?? "").split(" ");
      return { id: Number(id), parent: Number(parent), path, options: options.split(","), type, source };
    });
}

/** Mounts that nobody can reach, for another stands on the same place or above it. */
export function shadowed(mounts: Mount[]): string[] {
  const inside = (path: string, outer: string) => path.startsWith(outer === "/" ? "/" : `${outer}/`);
  return mounts.flatMap((mount) => {
    if (mounts.some((other) => other.id !== mount.id && other.path === mount.path)) return [mount.path];
    const around = mounts.filter((other) => other.id !== mount.id && mount.path !== "/" && inside(mount.path, other.path));
    const nearest = around.reduce<Mount | null>(
      (best, other) => (best && best.path.length >= other.path.length ? best : other),
      null,
    );
    return nearest === null || nearest.id === mount.parent ? [] : [mount.path];
  });
}
