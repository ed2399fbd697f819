import type { DeviceNumber, FileKind } from "../kernel.ts";
import { Bytes } from "./memory-bytes.ts";

/** A call of the machine in memory that failed. The recording kernel turns it into a KernelError. */
export class Errno extends Error {
  constructor(readonly code: string) {
    super(code);
    this.name = "Errno";
  }
}

/** Names and link targets are kept as Latin-1 text, one character a byte, so that they sort and compare by bytes. */
export function toName(path: string | Uint8Array): string {
  return Buffer.from(path).toString("latin1");
}

export function toBytes(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(name, "latin1"));
}

/** For people: the name as UTF-8 text. */
export function toText(name: string): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** What a name stands for (an inode). Times are nanoseconds since the epoch. */
export class Node {
  owner = 0;
  group = 0;
  links = 1;
  accessed = 0n;
  modified = 0n;
  readonly attributes = new Map<string, Uint8Array>();
  /** Contents of a regular file. */
  bytes = new Bytes();
  /** What a mount of a loop device over this file shows; null where its content is no filesystem. */
  image: Filesystem | null = null;
  /** Where a symbolic link points. */
  target = "";
  /** Names in a directory. */
  directory: Directory | null = null;
  /** Contents made anew at each open, as those of files in /proc. */
  produce: (() => string) | null = null;
  /** Where a link of /proc/self/fd leads, whatever its text. */
  jump: (() => Place) | null = null;

  constructor(
    readonly filesystem: Filesystem,
    readonly kind: FileKind,
    public mode: number,
    readonly number: number,
    readonly device: DeviceNumber = { major: 0, minor: 0 },
  ) {}

  get size(): number {
    if (this.kind === "symlink") return this.target.length;
    return this.kind === "file" ? this.bytes.size : 0;
  }
}

/** One name in a directory (a dentry). */
export class Entry {
  /** Set when the name was removed while something still used it. */
  gone = false;
  constructor(
    public parent: Entry | null,
    public name: string,
    public node: Node,
  ) {}
}

export interface Directory {
  find(name: string): Entry | null;
  /** In no order. */
  names(): string[];
  /** Makes a new node under a name that does not exist. */
  make(name: string, kind: FileKind, mode: number, device?: DeviceNumber): Entry;
  /** A further name for an existing node. */
  link(name: string, node: Node): Entry;
  /** Moves an entry of any directory of the same filesystem here. */
  adopt(name: string, entry: Entry): void;
  /** Takes the name away; what it stood for lives on while open. */
  drop(name: string): void;
}

/** A directory that holds its names itself. */
export class PlainDirectory implements Directory {
  readonly #entries = new Map<string, Entry>();
  constructor(readonly self: () => Entry) {}

  find(name: string): Entry | null {
    return this.#entries.get(name) ?? null;
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  make(name: string, kind: FileKind, mode: number, device?: DeviceNumber): Entry {
    const entry = newEntry(this.self().node.filesystem, this.self(), name, kind, mode, device);
    this.#entries.set(name, entry);
    if (kind === "directory") this.self().node.links++;
    return entry;
  }

  link(name: string, node: Node): Entry {
    const entry = new Entry(this.self(), name, node);
    node.links++;
    this.#entries.set(name, entry);
    return entry;
  }

  adopt(name: string, entry: Entry): void {
    const from = entry.parent?.node.directory;
    if (from instanceof PlainDirectory) from.#entries.delete(entry.name);
    if (entry.node.kind === "directory") {
      if (entry.parent) entry.parent.node.links--;
      this.self().node.links++;
    }
    entry.parent = this.self();
    entry.name = name;
    this.#entries.set(name, entry);
  }

  drop(name: string): void {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#entries.delete(name);
    entry.gone = true;
    entry.node.links -= entry.node.kind === "directory" ? 2 : 1;
    if (entry.node.kind === "directory") this.self().node.links--;
  }
}

/** One mounted or mountable filesystem. */
export class Filesystem {
  readOnly = false;
  readonly root: Entry;
  #next = 2;
  /** Bytes and inodes that statfs tells as the size of the filesystem. */
  capacity = { bytes: 1 << 30, inodes: 65536 };

  constructor(
    readonly type: string,
    readonly number: DeviceNumber,
    readonly magic: number,
  ) {
    this.root = newEntry(this, null, "", "directory", 0o755);
  }

  nextInode(): number {
    return this.#next++;
  }

  /** Before a node is changed. An overlay copies it into its upper layer. */
  prepareWrite(_entry: Entry): void {}

  /** fsync of one node, or with null of all. Where there is no disk nothing is to be done. */
  sync(_node: Node | null): void {}
}

export function newEntry(
  filesystem: Filesystem,
  parent: Entry | null,
  name: string,
  kind: FileKind,
  mode: number,
  device?: DeviceNumber,
): Entry {
  const entry = new Entry(parent, name, new Node(filesystem, kind, mode, filesystem.nextInode(), device));
  if (kind === "directory") {
    entry.node.directory = new PlainDirectory(() => entry);
    entry.node.links = 2;
  }
  return entry;
}

/** Every entry below `top`, parents first. Mounts are not entered. */
export function* walkEntries(top: Entry): Generator<Entry> {
  for (const name of (top.node.directory?.names() ?? []).sort()) {
    const entry = top.node.directory?.find(name);
    if (!entry) continue;
    yield entry;
    yield* walkEntries(entry);
  }
}

/** A filesystem, or a part of one, shown at a place. */
export class Mount {
  /** Taken away while still in use. */
  detached = false;
  constructor(
    readonly id: number,
    readonly filesystem: Filesystem,
    readonly root: Entry,
    /** What `root` shows: "/dev/vda2", "tmpfs". */
    readonly source: string,
    public flags: number,
    public parent: Mount | null,
    /** The entry of `parent` that this mount covers. */
    public point: Entry | null,
  ) {}
}

/** An entry as seen through a mount. */
export interface Place {
  mount: Mount;
  entry: Entry;
}
