import { MS } from "../constants.ts";
import { type Entry, Errno, type Filesystem, Mount, type Place, toText } from "./memory-nodes.ts";

/** The mount table: which filesystem is shown where. */
export class MountTable {
  /** In the order of mounting; of two at one place the later covers the earlier. */
  readonly mounts: Mount[] = [];
  #next = 1;

  add(filesystem: Filesystem, root: Entry, source: string, flags: number, at: Place | null): Mount {
    const top = at ? this.topmost(at) : null;
    if (top && (top.entry.node.kind === "directory") !== (root.node.kind === "directory")) throw new Errno("ENOTDIR");
    const mount = new Mount(this.#next++, filesystem, root, source, flags, top?.mount ?? null, top?.entry ?? null);
    this.mounts.push(mount);
    return mount;
  }

  /** The mount directly upon a place, if there is one. */
  upon(place: Place): Mount | null {
    return this.mounts.findLast((mount) => mount.parent === place.mount && mount.point === place.entry) ?? null;
  }

  /** What one sees at a place: follows the mounts upon it. */
  topmost(place: Place): Place {
    let at = place;
    for (let mount = this.upon(at); mount; mount = this.upon(at)) at = { mount, entry: mount.root };
    return at;
  }

  isMountPoint(entry: Entry): boolean {
    return this.mounts.some((mount) => mount.point === entry);
  }

  children(of: Mount): Mount[] {
    return this.mounts.filter((mount) => mount.parent === of);
  }

  /** Shows `source` at `target` too; with `recursive` also what is mounted below it. */
  bind(source: Place, target: Place, flags: number, recursive: boolean): void {
    const made = this.add(source.mount.filesystem, source.entry, source.mount.source, source.mount.flags | flags, target);
    if (recursive) this.#copyChildren(source.mount, made, source.entry);
  }

  #copyChildren(from: Mount, to: Mount, below: Entry): void {
    for (const child of this.children(from).filter((mount) => mount !== to && isBelow(mount.point, below))) {
      const copy = new Mount(this.#next++, child.filesystem, child.root, child.source, child.flags, to, child.point);
      this.mounts.push(copy);
      this.#copyChildren(child, copy, child.root);
    }
  }

  /** MS_MOVE: a mount with all that is mounted below it. */
  move(source: Place, target: Place): void {
    const mount = source.mount;
    if (source.entry !== mount.root || !mount.parent) throw new Errno("EINVAL");
    const top = this.topmost(target);
    if ((top.entry.node.kind === "directory") !== (mount.root.node.kind === "directory")) throw new Errno("EINVAL");
    for (let above: Mount | null = top.mount; above; above = above.parent) if (above === mount) throw new Errno("ELOOP");
    mount.parent = top.mount;
    mount.point = top.entry;
    this.mounts.splice(this.mounts.indexOf(mount), 1);
    this.mounts.push(mount);
  }

  /** Takes a mount away, and with `detach` all below it. */
  remove(mount: Mount, detach: boolean): void {
    for (const child of this.children(mount)) {
      if (!detach) throw new Errno("EBUSY");
      this.remove(child, true);
    }
    mount.detached = true;
    this.mounts.splice(this.mounts.indexOf(mount), 1);
  }

  /** Path of a place in the namespace, whatever root a process has: "/sysroot/etc". */
  path(place: Place): string {
    const names: string[] = [];
    let { mount, entry } = place;
    for (;;) {
      if (entry !== mount.root && entry.parent) {
        names.unshift(toText(entry.name));
        entry = entry.parent;
      } else if (mount.parent && mount.point) {
        entry = mount.point;
        mount = mount.parent;
      } else break;
    }
    const detached = mount.detached ? "(detached)" : "";
    return `${detached}/${names.join("/")}${place.entry.gone ? " (deleted)" : ""}`;
  }

  /** One line a mount, "/sysroot erofs /dev/vda2 ro,nodev", in the order of mounting. */
  list(): string[] {
    return this.mounts.map((mount) => {
      const where = mount.parent && mount.point ? this.path({ mount: mount.parent, entry: mount.point }) : "/";
      return `${where} ${mount.filesystem.type} ${mount.source} ${optionText(mount)}`;
    });
  }

  /** /proc/self/mountinfo, proc_pid_mountinfo(5). Mounts that `root` does not reach are left out. */
  information(root: Place): string {
    const lines = this.mounts.flatMap((mount) => {
      const where = mount.parent && mount.point ? this.pathFrom(root, { mount: mount.parent, entry: mount.point }) : "/";
      if (where === null) return [];
      const { major, minor } = mount.filesystem.number;
      const shown = pathWithin(mount.root);
      const writable = mount.filesystem.readOnly ? "ro" : "rw";
      const head = `${mount.id} ${mount.parent?.id ?? 0} ${major}:${minor} ${escapeSpaces(shown)} ${escapeSpaces(where)}`;
      return [`${head} ${optionText(mount)} - ${mount.filesystem.type} ${escapeSpaces(mount.source)} ${writable}\n`];
    });
    return lines.join("");
  }

  /** Path of a place as seen from `root`; null when it does not lie below. */
  pathFrom(root: Place, place: Place): string | null {
    const top = this.path(root);
    const path = this.path(place);
    if (top === "/") return path;
    if (path === top) return "/";
    return path.startsWith(`${top}/`) ? path.slice(top.length) : null;
  }
}

function isBelow(entry: Entry | null, top: Entry): boolean {
  for (let at = entry; at; at = at.parent) if (at === top) return true;
  return false;
}

function pathWithin(entry: Entry): string {
  const names: string[] = [];
  for (let at = entry; at.parent; at = at.parent) names.unshift(toText(at.name));
  return `/${names.join("/")}`;
}

function escapeSpaces(path: string): string {
  return path.replace(/[ \t\n\\]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, "0")}`);
}

function optionText(mount: Mount): string {
  const words = [mount.flags & MS.RDONLY ? "ro" : "rw"];
  const named = { nosuid: MS.NOSUID, nodev: MS.NODEV, noexec: MS.NOEXEC, noatime: MS.NOATIME, relatime: MS.RELATIME };
  for (const [word, bit] of Object.entries(named)) if (mount.flags & bit) words.push(word);
  return words.join(",");
}
