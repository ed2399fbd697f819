import { MS, O, RESOLVE } from "../constants.ts";
import type { Descriptor, OpenOptions, Path } from "../kernel.ts";
import { Bytes, type Storage } from "./memory-bytes.ts";
import type { BlockDevice } from "./memory-devices.ts";
import { EfivarsFilesystem } from "./memory-efivars.ts";
import type { MemoryFlash } from "./memory-flash.ts";
import { MountTable } from "./memory-mounts.ts";
import { type Entry, Errno, type Filesystem, type Node, type Place, toName } from "./memory-nodes.ts";
import { numberText } from "./memory-status.ts";
import { type Walked, walk } from "./memory-walk.ts";

export interface OpenFile {
  /** Null for a socket. */
  place: Place | null;
  /** The node that was opened: a later copy-up or rename does not change it. */
  node: Node | null;
  flags: number;
  offset: number;
  /** Where reads and writes go; null where there is nothing to read. */
  storage: Storage | null;
  locked: boolean;
}

const WRITING = O.WRONLY | O.RDWR;

/** The files of one machine as its only process sees them: mounts, root, working directory and descriptors. */
export class MemoryFiles {
  readonly mounts = new MountTable();
  readonly descriptors = new Map<Descriptor, OpenFile>();
  /** By "major:minor". */
  readonly devices = new Map<string, BlockDevice>();
  /** Character devices of drivers that this kernel has not. */
  readonly absent = new Set<string>();
  /** Flash, by its node's number. */
  readonly flashes = new Map<string, MemoryFlash>();
  root: Place;
  workingDirectory: Place;
  umask = 0o022;

  constructor(
    rootfs: Filesystem,
    /** Wall clock, nanoseconds since the epoch. */
    readonly clock: () => bigint,
  ) {
    const mount = this.mounts.add(rootfs, rootfs.root, "rootfs", 0, null);
    this.root = { mount, entry: rootfs.root };
    this.workingDirectory = this.root;
  }

  /** Resolves a path. Throws Errno. */
  walk(path: Path, at: Descriptor | undefined, follow: boolean, resolve = 0): Walked {
    const start = at === undefined ? this.workingDirectory : this.place(at);
    return walk(this.mounts, toName(path), { follow, resolve, root: this.root, start });
  }

  /** Resolves a path whose last name is to be made or removed. */
  walkNames(path: Path, at: Descriptor | undefined): Walked {
    const start = at === undefined ? this.workingDirectory : this.place(at);
    return walk(this.mounts, toName(path), { follow: false, names: true, root: this.root, start });
  }

  /** Resolves a path that must exist. */
  existing(path: Path, at: Descriptor | undefined, follow: boolean): Place {
    const { found } = this.walk(path, at, follow);
    if (!found) throw new Errno("ENOENT");
    return found;
  }

  descriptor(fd: Descriptor): OpenFile {
    const open = this.descriptors.get(fd);
    if (!open) throw new Errno("EBADF");
    return open;
  }

  place(fd: Descriptor): Place {
    const { place } = this.descriptor(fd);
    if (!place) throw new Errno("ENOTDIR");
    return place;
  }

  /** Throws EROFS where the mount or its filesystem is read-only, else gets the entry ready for a change. */
  prepareWrite(place: Place): void {
    this.refuseReadOnly(place);
    place.mount.filesystem.prepareWrite(place.entry);
  }

  refuseReadOnly(place: Place): void {
    if (place.mount.flags & MS.RDONLY || place.mount.filesystem.readOnly) throw new Errno("EROFS");
  }

  touch(node: Node): void {
    node.modified = this.clock();
  }

  open(path: Path, flags: number, options: OpenOptions): Descriptor {
    const resolve = options.resolve ?? 0;
    const both = RESOLVE.BENEATH | RESOLVE.IN_ROOT;
    if ((resolve & both) === both) throw new Errno("EINVAL");
    const creates = (flags & O.CREAT) !== 0 && (flags & O.PATH) === 0;
    const exclusive = creates && (flags & O.EXCL) !== 0;
    const follow = (flags & O.NOFOLLOW) === 0 && !exclusive;
    const walked = this.walk(path, options.at, follow, resolve);
    let place = walked.found;
    if (!place) {
      if (!creates) throw new Errno("ENOENT");
      if (walked.slash) throw new Errno("EISDIR");
      place = this.#create(walked, options.mode ?? 0o600);
    } else {
      if (exclusive) throw new Errno("EEXIST");
      if (flags & O.PATH) return this.#openPath(place, flags);
      this.#checkOpen(place, flags, creates);
    }
    const node = place.entry.node;
    const open: OpenFile = { place, node, flags, offset: 0, storage: this.#storage(place, node), locked: false };
    if (flags & O.TRUNC && node.kind === "file") {
      node.bytes.truncate(0);
      this.touch(node);
    }
    return this.addDescriptor(open);
  }

  addDescriptor(open: OpenFile): Descriptor {
    let fd = 0;
    while (this.descriptors.has(fd)) fd++;
    this.descriptors.set(fd, open);
    return fd;
  }

  #create(walked: Walked, mode: number): Place {
    this.prepareWrite(walked.parent);
    const directory = walked.parent.entry.node.directory;
    if (!directory) throw new Errno("ENOTDIR");
    const entry = directory.make(walked.name, "file", mode & 0o7777 & ~this.umask);
    this.stamp(walked.parent.entry, entry);
    return { mount: walked.parent.mount, entry };
  }

  /** Times of a new entry and of its directory. */
  stamp(parent: Entry, entry: Entry | null): void {
    const now = this.clock();
    parent.node.modified = now;
    if (entry) {
      entry.node.modified = now;
      entry.node.accessed = now;
    }
  }

  #openPath(place: Place, flags: number): Descriptor {
    if (flags & O.DIRECTORY && place.entry.node.kind !== "directory") throw new Errno("ENOTDIR");
    return this.addDescriptor({ place, node: place.entry.node, flags, offset: 0, storage: null, locked: false });
  }

  #checkOpen(place: Place, flags: number, creates: boolean): void {
    const { kind, device } = place.entry.node;
    const writes = (flags & WRITING) !== 0 || (flags & O.TRUNC) !== 0;
    if (flags & O.DIRECTORY && kind !== "directory") throw new Errno("ENOTDIR");
    if (kind === "symlink") throw new Errno("ELOOP");
    if (kind === "directory" && (creates || writes)) throw new Errno("EISDIR");
    if (kind === "socket") throw new Errno("ENXIO");
    if (kind === "block" || kind === "character") {
      if (place.mount.flags & MS.NODEV) throw new Errno("EACCES");
      if (kind === "block" && !this.devices.has(numberText(device))) throw new Errno("ENXIO");
      if (kind === "character" && this.absent.has(numberText(device))) throw new Errno("ENODEV");
    } else if (writes) {
      this.prepareWrite(place);
      const { node } = place.entry;
      if (node.filesystem instanceof EfivarsFilesystem) node.filesystem.refuseImmutable(node);
    }
  }

  #storage(place: Place, node: Node): Storage | null {
    if (node.kind === "file") {
      if (!node.produce) return node.bytes;
      return Bytes.of(node.produce());
    }
    if (node.kind === "block") return this.devices.get(numberText(place.entry.node.device))?.storage ?? null;
    return this.flashes.get(numberText(node.device)) ?? null;
  }

  /** The descriptor, where it may be read (or, with `writes`, written). */
  #accessible(fd: Descriptor, writes: boolean): OpenFile {
    const open = this.descriptor(fd);
    const access = open.flags & 3;
    if (open.flags & O.PATH || access === (writes ? O.RDONLY : O.WRONLY)) throw new Errno("EBADF");
    if (open.node?.kind === "directory") throw new Errno("EISDIR");
    return open;
  }

  read(fd: Descriptor, length: number, offset: bigint | null): Uint8Array<ArrayBuffer> {
    const open = this.#accessible(fd, false);
    refuseUnaligned(open, length, offset);
    const bytes = open.storage?.read(offset === null ? open.offset : Number(offset), length) ?? new Uint8Array(0);
    if (offset === null) open.offset += bytes.length;
    return bytes;
  }

  write(fd: Descriptor, bytes: Uint8Array, offset: bigint | null): void {
    const open = this.#accessible(fd, true);
    const { storage, node } = open;
    if (!node) throw new Errno("EBADF");
    if (node.kind === "character" && !storage) return;
    if (!storage) throw new Errno("EINVAL");
    let at = offset === null ? open.offset : Number(offset);
    if (open.flags & O.APPEND && node.kind === "file") at = storage.size;
    refuseUnaligned(open, bytes.length, offset);
    if (node.kind === "block") {
      if (this.devices.get(numberText(node.device))?.readOnly) throw new Errno("EPERM");
      if (at + bytes.length > storage.size) throw new Errno("ENOSPC");
    }
    if (node.filesystem instanceof EfivarsFilesystem) node.filesystem.store(node, bytes);
    else storage.write(at, bytes);
    if (open.flags & O.DSYNC) this.sync(fd);
    this.touch(node);
    if (offset === null) open.offset = at + bytes.length;
  }

  /** Makes durable what the descriptor stands for. */
  sync(fd: Descriptor): void {
    const { node, flags } = this.descriptor(fd);
    if (!node || flags & O.PATH) throw new Errno("EBADF");
    if (node.kind === "block") this.devices.get(numberText(node.device))?.storage.sync();
    else node.filesystem.sync(node);
  }

  /** Makes the whole filesystem durable that the descriptor lies on. */
  syncFilesystem(fd: Descriptor): void {
    if (this.descriptor(fd).flags & O.PATH) throw new Errno("EBADF");
    this.place(fd).mount.filesystem.sync(null);
  }

  truncate(fd: Descriptor, size: bigint): void {
    const open = this.descriptor(fd);
    if (open.flags & O.PATH) throw new Errno("EBADF");
    if (open.node?.kind !== "file" || (open.flags & WRITING) === 0) throw new Errno("EINVAL");
    open.node.bytes.truncate(Number(size));
    this.touch(open.node);
  }

  allocate(fd: Descriptor, offset: bigint, length: bigint): void {
    const open = this.#accessible(fd, true);
    if (open.node?.kind !== "file") throw new Errno("ENODEV");
    open.node.bytes.truncate(Math.max(open.node.bytes.size, Number(offset + length)));
    this.touch(open.node);
  }

  seekData(fd: Descriptor, offset: bigint): bigint | null {
    const bytes = this.#regular(fd);
    const next = bytes.nextData(Number(offset));
    return next === null ? null : BigInt(next);
  }

  seekHole(fd: Descriptor, offset: bigint): bigint {
    const next = this.#regular(fd).nextHole(Number(offset));
    if (next === null) throw new Errno("ENXIO");
    return BigInt(next);
  }

  #regular(fd: Descriptor): Bytes {
    const { node, flags } = this.descriptor(fd);
    if (flags & O.PATH) throw new Errno("EBADF");
    if (node?.kind !== "file") throw new Errno("EINVAL");
    return node.bytes;
  }

  copyRange(from: Descriptor, to: Descriptor, offset: bigint, length: number): number {
    const source = this.#accessible(from, false);
    const target = this.#accessible(to, true);
    if (source.node?.kind !== "file" || target.node?.kind !== "file") throw new Errno("EINVAL");
    const bytes = source.node.bytes.read(Number(offset), length);
    target.node.bytes.write(Number(offset), bytes);
    this.touch(target.node);
    return bytes.length;
  }
}

/** O_DIRECT on a disk takes whole sectors only. */
function refuseUnaligned(open: OpenFile, length: number, offset: bigint | null): void {
  if (!(open.flags & O.DIRECT) || open.node?.kind !== "block") return;
  if (length % 512 !== 0 || (offset ?? BigInt(open.offset)) % 512n !== 0n) throw new Errno("EINVAL");
}
