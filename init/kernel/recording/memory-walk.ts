import { RESOLVE } from "../constants.ts";
import type { MountTable } from "./memory-mounts.ts";
import { Errno, type Place } from "./memory-nodes.ts";

/** What a path led to. */
export interface Walked {
  /** The directory that holds the last name. */
  parent: Place;
  /** The last name; "" for "/", "." and "..", which name no entry. */
  name: string;
  /** How the path ends where it has no last name. */
  ending: "name" | "root" | "dot" | "dotdot";
  /** A slash follows the last name. */
  slash: boolean;
  /** What is there, mounts followed; null when the name does not exist. */
  found: Place | null;
}

export interface WalkOptions {
  /** Follow a symbolic link in the last component. */
  follow: boolean;
  /** The last name is to be made or removed: a slash behind it follows no link and asks for no directory. */
  names?: boolean;
  /** RESOLVE_* bits. */
  resolve?: number;
  /** Where absolute paths start: the process's root. */
  root: Place;
  /** Where relative paths start. */
  start: Place;
}

const MAX_LINKS = 40;

/** Path resolution, path_resolution(7) and openat2(2). The path is Latin-1 text. Throws Errno as Linux does. */
export function walk(mounts: MountTable, path: string, options: WalkOptions): Walked {
  const resolve = options.resolve ?? 0;
  const scoped = (resolve & (RESOLVE.BENEATH | RESOLVE.IN_ROOT)) !== 0;
  const root = resolve & RESOLVE.IN_ROOT ? options.start : options.root;
  let at = options.start;
  let links = 0;
  if (path === "") throw new Errno("ENOENT");
  if (path.length >= 4096) throw new Errno("ENAMETOOLONG");

  const enter = (to: Place): void => {
    if (resolve & RESOLVE.NO_XDEV && to.mount !== at.mount) throw new Errno("EXDEV");
    at = to;
  };
  const restart = (): void => {
    if (resolve & RESOLVE.BENEATH) throw new Errno("EXDEV");
    enter(root);
  };
  const up = (): void => {
    const floor = scoped ? options.start : options.root;
    if (at.entry === floor.entry && at.mount === floor.mount) {
      if (resolve & RESOLVE.BENEATH) throw new Errno("EXDEV");
      return;
    }
    let place = at;
    while (place.entry === place.mount.root && place.mount.parent && place.mount.point) {
      place = { mount: place.mount.parent, entry: place.mount.point };
    }
    if (place.entry !== place.mount.root && place.entry.parent) {
      place = mounts.topmost({ mount: place.mount, entry: place.entry.parent });
    }
    enter(place);
  };

  if (path.startsWith("/")) restart();
  let parts = split(path);
  let slash = path.endsWith("/");
  let result: Walked = { parent: at, name: "", ending: path.startsWith("/") ? "root" : "dot", slash, found: at };
  while (parts.length > 0) {
    const [name = "", ...rest] = parts;
    parts = rest;
    if (at.entry.node.directory === null) throw new Errno("ENOTDIR");
    if (name.length > 255) throw new Errno("ENAMETOOLONG");
    if (name === "." || name === "..") {
      if (name === "..") up();
      result = { parent: at, name: "", ending: name === "." ? "dot" : "dotdot", slash, found: at };
      continue;
    }
    const entry = at.entry.node.directory.find(name);
    if (!entry) {
      if (parts.length > 0) throw new Errno("ENOENT");
      return { parent: at, name, ending: "name", slash, found: null };
    }
    const last = parts.length === 0;
    const place = mounts.topmost({ mount: at.mount, entry });
    if (place.entry.node.kind === "symlink" && (!last || options.follow || (slash && !options.names))) {
      if (resolve & RESOLVE.NO_SYMLINKS || ++links > MAX_LINKS) throw new Errno("ELOOP");
      const jump = place.entry.node.jump;
      if (jump) {
        if (resolve & RESOLVE.NO_MAGICLINKS) throw new Errno("ELOOP");
        if (scoped) throw new Errno("EXDEV");
        enter(jump());
        result = { parent: at, name: "", ending: "dot", slash, found: at };
        continue;
      }
      const target = place.entry.node.target;
      parts = [...split(target), ...parts];
      if (last && target.endsWith("/")) slash = true;
      if (target.startsWith("/")) restart();
      if (parts.length === 0) result = { parent: at, name: "", ending: "root", slash, found: at };
      continue;
    }
    result = { parent: at, name, ending: "name", slash, found: place };
    enter(place);
  }
  if (slash && !options.names && result.found && result.found.entry.node.kind !== "directory") throw new Errno("ENOTDIR");
  return { ...result, slash };
}

function split(path: string): string[] {
  return path.split("/").filter((name) => name !== "");
}
