import type { DeviceNumber } from "../kernel.ts";
import type { Bytes, Storage } from "./memory-bytes.ts";
import { type Entry, Filesystem, type Node, PlainDirectory } from "./memory-nodes.ts";

interface Kept {
  node: Node;
  /** Contents as they were last synced; null for what is no file. */
  bytes: Bytes | null;
  names: [string, Kept][];
  properties: { mode: number; owner: number; group: number; links: number };
  attributes: [string, Uint8Array][];
}

/**
 * A filesystem on a disk, which knows what of it is on the disk where the worst is assumed: names and properties as of
 * the last commit of its journal, which any fsync does for the whole filesystem; contents of a file as of its own last
 * sync.
 */
export class DiskFilesystem extends Filesystem {
  readonly #synced = new WeakMap<Node, Bytes>();
  #committed: Kept;

  constructor(type: string, number: DeviceNumber, magic: number) {
    super(type, number, magic);
    this.#committed = this.#commit(this.root, true);
  }

  /** fsync of one node, or with null of everything (syncfs, sync, a clean unmount). */
  override sync(node: Node | null): void {
    if (node?.kind === "file") this.#synced.set(node, node.bytes.snapshot());
    this.#committed = this.#commit(this.root, node === null);
  }

  #commit(entry: Entry, contents: boolean): Kept {
    const { node } = entry;
    if (contents && node.kind === "file") this.#synced.set(node, node.bytes.snapshot());
    const { mode, owner, group, links } = node;
    const names = (node.directory?.names() ?? []).flatMap((name): [string, Kept][] => {
      const child = node.directory?.find(name);
      return child ? [[name, this.#commit(child, contents)]] : [];
    });
    const bytes = node.kind === "file" ? (this.#synced.get(node) ?? null) : null;
    return { node, bytes, names, properties: { mode, owner, group, links }, attributes: [...node.attributes] };
  }

  /** Remembers everything as it is now; what it returns brings that back. No mount of the filesystem survives that. */
  checkpoint(): () => void {
    const kept = this.#commit(this.root, true);
    return () => {
      restore(this.root, kept);
      this.sync(null);
    };
  }

  /** Takes back whatever was not on the disk. */
  loseUnsynced(): void {
    restore(this.root, this.#committed);
  }
}

function restore(entry: Entry, kept: Kept): void {
  const { node } = entry;
  if (node.directory) {
    const fresh = new PlainDirectory(() => entry);
    node.directory = fresh;
    for (const [name, child] of kept.names) restore(fresh.link(name, child.node), child);
  }
  if (node.kind === "file") {
    if (kept.bytes) node.bytes.restore(kept.bytes);
    else node.bytes.truncate(0);
  }
  Object.assign(node, kept.properties);
  node.attributes.clear();
  for (const [name, value] of kept.attributes) node.attributes.set(name, value);
}

/** What a disk writes whole or not at all. */
const SECTOR = 512;

/** Storage that remembers what writes replaced, until they are synced. */
export class WriteBack implements Storage {
  #unsynced: { offset: number; before: Uint8Array }[] = [];
  constructor(readonly below: Storage) {}

  get size(): number {
    return this.below.size;
  }

  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.below.read(offset, length);
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#unsynced.push({ offset, before: this.below.read(offset, bytes.length) });
    this.below.write(offset, bytes);
  }

  sync(): void {
    this.#unsynced = [];
  }

  /** Of what was not synced a disk may have written any part: sectors for which `isKept` says so, asked in the order of writes. */
  loseUnsynced(isKept: () => boolean = () => false): void {
    const writes = this.#unsynced.reverse().map(({ offset, before }) => {
      const after = this.below.read(offset, before.length);
      this.below.write(offset, before);
      return { offset, after };
    });
    for (const { offset, after } of writes.reverse()) {
      for (let at = 0; at < after.length; at += SECTOR)
        if (isKept()) this.below.write(offset + at, after.subarray(at, at + SECTOR));
    }
    this.#unsynced = [];
  }
}
