/** What the image itself mounts once its init runs: entries of fstab and enabled mount units of systemd. */
import { type ImageTree, unescapePath } from "./image-tree.ts";

export interface ImageMount {
  /** Where: absolute and canonical. */
  path: string;
  /** What does it: "/etc/fstab:3", "/usr/lib/systemd/system/var.mount". */
  by: string;
}

/** In the order in which systemd looks for a unit. */
const unitDirectories = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

/** Everything that is mounted unasked. */
export function imageMounts(image: ImageTree): ImageMount[] {
  return [...fstabMounts(image.text("/etc/fstab") ?? ""), ...unitMounts(image)];
}

/** The mount that would hide what is laid at `path`: one on it or above it. */
export function mountOver(path: string, mounts: readonly ImageMount[]): ImageMount | null {
  // The root and /run are there before systemd starts, which leaves them alone.
  const hiding = mounts.filter((mount) => mount.path !== "/" && mount.path !== "/run");
  return hiding.find((mount) => path === mount.path || path.startsWith(`${mount.path}/`)) ?? null;
}

function fstabMounts(text: string): ImageMount[] {
  return text.split("\n").flatMap((line, index) => {
    const [what, where, type, options] = line.trim().split(/[ \t]+/);
    if (what === undefined || what.startsWith("#") || where === undefined || !where.startsWith("/") || type === "swap") {
      return [];
    }
    const words = options?.split(",") ?? [];
    const onlyByHand = words.includes("noauto") && !words.includes("x-systemd.automount");
    const path = where.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    return onlyByHand ? [] : [{ path: canonical(path), by: `/etc/fstab:${index + 1}` }];
  });
}

function unitMounts(image: ImageTree): ImageMount[] {
  const names = new Set<string>();
  for (const directory of unitDirectories) {
    for (const { path } of image.files(directory)) {
      const name = /\.(?:wants|requires|upholds)\/([^/]+)\.(?:mount|automount)$/.exec(path)?.[1];
      if (name !== undefined) names.add(name);
    }
  }
  return [...names].sort().flatMap((name) => {
    const unit = findUnit(image, `${name}.mount`);
    if (unit === null) return [];
    const where = /^[ \t]*Where[ \t]*=[ \t]*(\/[^\n%]*?)[ \t\r]*$/m.exec(unit.text)?.[1];
    return { path: canonical(where ?? unescapePath(name)), by: unit.path };
  });
}

/** The unit's file that rules; null where there is none or where it is masked. */
function findUnit(image: ImageTree, name: string): { path: string; text: string } | null {
  for (const directory of unitDirectories) {
    const path = `${directory}/${name}`;
    const found = image.look(path);
    if (found === null) continue;
    if (found.target === "/dev/null" || (found.kind === "file" && found.empty)) return null;
    return { path, text: image.text(found.target ?? path) ?? "" };
  }
  return null;
}

function canonical(path: string): string {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  return `/${names.join("/")}`;
}
