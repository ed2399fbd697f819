import { MS, O } from "../constants.ts";
import type { Descriptor, DeviceNumber, DirectoryEntry, FileKind, Path } from "../kernel.ts";
import { EfivarsFilesystem } from "./memory-efivars.ts";
import type { MemoryFiles } from "./memory-files.ts";
import { type Directory, type Entry, Errno, type Place, toBytes, toName } from "./memory-nodes.ts";
import type { Walked } from "./memory-walk.ts";

// Calls that change names and properties, in the order of checks that Linux has (fs/namei.c, fs/xattr.c).

function directoryOf(place: Place): Directory {
  const { directory } = place.entry.node;
  if (!directory) throw new Errno("ENOTDIR");
  return directory;
}

/** Makes a new entry where none exists. Only a directory may be named with a slash at the end. */
function make(
  files: MemoryFiles,
  path: Path,
  at: Descriptor | undefined,
  kind: FileKind,
  mode: number,
  device?: DeviceNumber,
): Entry {
  const walked = files.walkNames(path, at);
  if (walked.found) throw new Errno("EEXIST");
  if (walked.slash && kind !== "directory") throw new Errno("ENOENT");
  files.prepareWrite(walked.parent);
  const entry = directoryOf(walked.parent).make(walked.name, kind, mode, device);
  files.stamp(walked.parent.entry, entry);
  return entry;
}

export function makeDirectory(files: MemoryFiles, path: Path, mode: number, at?: Descriptor): void {
  make(files, path, at, "directory", mode & 0o7777 & ~files.umask);
}

export function makeNode(
  files: MemoryFiles,
  path: Path,
  kind: FileKind,
  mode: number,
  device: DeviceNumber,
  at?: Descriptor,
): void {
  if (kind === "directory") throw new Errno("EPERM");
  if (kind === "symlink") throw new Errno("EINVAL");
  const stands = kind === "block" || kind === "character" ? device : undefined;
  make(files, path, at, kind, mode & 0o7777 & ~files.umask, stands);
}

export function makeSymlink(files: MemoryFiles, target: Path, path: Path, at?: Descriptor): void {
  if (target.length === 0) throw new Errno("ENOENT");
  make(files, path, at, "symlink", 0o777).node.target = toName(target);
}

export function makeHardLink(files: MemoryFiles, existing: Path, path: Path, at?: Descriptor): void {
  const source = files.existing(existing, at, false);
  const walked = files.walkNames(path, at);
  if (walked.found) throw new Errno("EEXIST");
  if (walked.slash) throw new Errno("ENOENT");
  files.refuseReadOnly(walked.parent);
  if (source.mount !== walked.parent.mount) throw new Errno("EXDEV");
  if (source.entry.node.kind === "directory") throw new Errno("EPERM");
  files.prepareWrite(source);
  files.prepareWrite(walked.parent);
  directoryOf(walked.parent).link(walked.name, source.entry.node);
  files.stamp(walked.parent.entry, null);
}

function isAbove(entry: Entry, other: Entry): boolean {
  for (let at: Entry | null = other; at; at = at.parent) if (at === entry) return true;
  return false;
}

export function rename(files: MemoryFiles, from: Path, to: Path, at: Descriptor | undefined, exclusive: boolean): void {
  const source = files.walkNames(from, at);
  const target = files.walkNames(to, at);
  if (source.parent.mount !== target.parent.mount) throw new Errno("EXDEV");
  if (source.ending !== "name") throw new Errno("EBUSY");
  if (target.ending !== "name") throw new Errno(exclusive ? "EEXIST" : "EBUSY");
  files.refuseReadOnly(source.parent);
  if (!source.found) throw new Errno("ENOENT");
  if (exclusive && target.found) throw new Errno("EEXIST");
  const moved = directoryOf(source.parent).find(source.name);
  const replaced = target.found ? directoryOf(target.parent).find(target.name) : null;
  if (!moved) throw new Errno("ENOENT");
  if (moved.node.kind !== "directory" && (source.slash || (!replaced && target.slash))) throw new Errno("ENOTDIR");
  if (moved.node.kind === "directory" && isAbove(moved, target.parent.entry)) throw new Errno("EINVAL");
  if (replaced && isAbove(replaced, source.parent.entry)) throw new Errno("ENOTEMPTY");
  if (replaced?.node === moved.node) return;
  if (replaced) checkReplace(files, moved, replaced);
  if (files.mounts.isMountPoint(moved)) throw new Errno("EBUSY");
  files.prepareWrite(source.parent);
  files.prepareWrite(target.parent);
  const names = directoryOf(target.parent);
  const before = moved.parent;
  if (replaced) names.drop(target.name);
  names.adopt(target.name, moved);
  if (before) files.stamp(before, null);
  files.stamp(target.parent.entry, null);
}

function checkReplace(files: MemoryFiles, moved: Entry, replaced: Entry): void {
  const directories = [moved, replaced].map((entry) => entry.node.kind === "directory");
  if (directories[0] && !directories[1]) throw new Errno("ENOTDIR");
  if (!directories[0] && directories[1]) throw new Errno("EISDIR");
  if (files.mounts.isMountPoint(replaced)) throw new Errno("EBUSY");
  if ((replaced.node.directory?.names().length ?? 0) > 0) throw new Errno("ENOTEMPTY");
}

export function remove(files: MemoryFiles, path: Path, at: Descriptor | undefined, directory: boolean): void {
  const walked = files.walkNames(path, at);
  const { parent, name } = walked;
  refuseEnding(walked, directory);
  files.refuseReadOnly(parent);
  const entry = directoryOf(parent).find(name);
  if (!entry) throw new Errno("ENOENT");
  const isDirectory = entry.node.kind === "directory";
  if (!directory && walked.slash) throw new Errno(isDirectory ? "EISDIR" : "ENOTDIR");
  if (directory && !isDirectory) throw new Errno("ENOTDIR");
  if (!directory && isDirectory) throw new Errno("EISDIR");
  if (files.mounts.isMountPoint(entry)) throw new Errno("EBUSY");
  if ((entry.node.directory?.names().length ?? 0) > 0) throw new Errno("ENOTEMPTY");
  if (entry.node.filesystem instanceof EfivarsFilesystem) entry.node.filesystem.refuseImmutable(entry.node);
  files.prepareWrite(parent);
  directoryOf(parent).drop(name);
  files.stamp(parent.entry, null);
}

function refuseEnding({ ending }: Walked, directory: boolean): void {
  if (ending === "name") return;
  if (!directory) throw new Errno("EISDIR");
  throw new Errno(ending === "dot" ? "EINVAL" : ending === "dotdot" ? "ENOTEMPTY" : "EBUSY");
}

/** Sorted by bytes; at most the first `most`. */
export function readDirectory(files: MemoryFiles, fd: Descriptor, most?: number): DirectoryEntry[] {
  const { place, node } = files.descriptor(fd);
  if (node?.kind !== "directory" || !place) throw new Errno("ENOTDIR");
  const names = node.directory?.names() ?? [];
  return names
    .slice(0, most)
    .sort()
    .flatMap((name) => {
      const entry = node.directory?.find(name);
      return entry ? [{ name: toBytes(name), kind: entry.node.kind }] : [];
    });
}

export function readLink(files: MemoryFiles, path: Path, at?: Descriptor): Uint8Array {
  const { mount, entry } = files.existing(path, at, false);
  if (entry.node.kind !== "symlink") throw new Errno("EINVAL");
  if (entry.node.jump) return new TextEncoder().encode(files.mounts.path(entry.node.jump()));
  if (!(mount.flags & MS.NOATIME)) entry.node.accessed = files.clock();
  return toBytes(entry.node.target);
}

export function changeOwner(files: MemoryFiles, path: Path, owner: number, group: number, at?: Descriptor): void {
  const place = files.existing(path, at, false);
  files.prepareWrite(place);
  const { node } = place.entry;
  if (owner !== -1) node.owner = owner;
  if (group !== -1) node.group = group;
  // As Linux does for root too, except that a directory keeps its bits and setgid without group execution means locking.
  if (node.kind !== "directory" && node.kind !== "symlink") {
    node.mode &= node.mode & 0o010 ? ~0o6000 : ~0o4000;
  }
}

export function changeMode(files: MemoryFiles, fd: Descriptor, mode: number): void {
  const { place, node, flags } = files.descriptor(fd);
  if (!place || !node || flags & O.PATH) throw new Errno("EBADF");
  files.prepareWrite(place);
  place.entry.node.mode = mode & 0o7777;
  node.mode = mode & 0o7777;
}

export function changeTimes(files: MemoryFiles, path: Path, accessed: bigint, modified: bigint, at?: Descriptor): void {
  const place = files.existing(path, at, false);
  files.prepareWrite(place);
  place.entry.node.accessed = accessed;
  place.entry.node.modified = modified;
}

function attributesOf(files: MemoryFiles, path: Path, name: string, writes: boolean): Map<string, Uint8Array> {
  const place = files.existing(path, undefined, false);
  const [space, rest] = [name.slice(0, name.indexOf(".")), name.slice(name.indexOf(".") + 1)];
  if (writes) files.refuseReadOnly(place);
  if (!["user", "trusted", "security", "system"].includes(space) || rest === "") throw new Errno("EOPNOTSUPP");
  const { kind } = place.entry.node;
  if (space === "user" && kind !== "file" && kind !== "directory") throw new Errno(writes ? "EPERM" : "ENODATA");
  if (writes) files.prepareWrite(place);
  return place.entry.node.attributes;
}

export function listAttributes(files: MemoryFiles, path: Path): string[] {
  return [...files.existing(path, undefined, false).entry.node.attributes.keys()].sort();
}

export function getAttribute(files: MemoryFiles, path: Path, name: string): Uint8Array {
  const value = attributesOf(files, path, name, false).get(name);
  if (!value) throw new Errno("ENODATA");
  return value.slice();
}

export function setAttribute(files: MemoryFiles, path: Path, name: string, value: Uint8Array): void {
  attributesOf(files, path, name, true).set(name, value.slice());
}

export function removeAttribute(files: MemoryFiles, path: Path, name: string): void {
  if (!attributesOf(files, path, name, true).delete(name)) throw new Errno("ENODATA");
}
