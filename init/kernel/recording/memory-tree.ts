import type { DeviceNumber, FileKind } from "../kernel.ts";
import { Bytes } from "./memory-bytes.ts";
import { type Entry, type Node, toName } from "./memory-nodes.ts";

export interface Properties {
  mode?: number;
  owner?: number;
  group?: number;
  attributes?: Record<string, Uint8Array | string>;
}

/** What {@link file}, {@link directory}, {@link link} and {@link device} describe. */
export class Described {
  constructor(
    readonly kind: FileKind,
    readonly fill: (node: Node) => void,
    readonly properties: Properties & { device?: DeviceNumber },
    readonly children: Tree = {},
  ) {}
}

/**
 * A tree of files: names or relative paths ("usr/sbin/init", whose directories are made) with what they stand for.
 * Text or bytes are a file of mode 0644, a plain object is a directory of mode 0755.
 */
export interface Tree {
  [path: string]: string | Uint8Array | Described | Tree;
}

/** A regular file; a function makes its contents at each open, as /proc does. */
export function file(contents: string | Uint8Array | Bytes | (() => string), properties: Properties = {}): Described {
  const fill = (node: Node): void => {
    if (typeof contents === "function") node.produce = contents;
    else node.bytes = contents instanceof Bytes ? contents : Bytes.of(contents);
  };
  return new Described("file", fill, properties);
}

export function directory(children: Tree = {}, properties: Properties = {}): Described {
  return new Described("directory", () => {}, properties, children);
}

export function link(target: string): Described {
  return new Described(
    "symlink",
    (node) => {
      node.target = toName(target);
    },
    {},
  );
}

export function device(kind: "block" | "character", major: number, minor: number, properties: Properties = {}): Described {
  return new Described(kind, () => {}, { ...properties, device: { major, minor } });
}

const defaultMode: Partial<Record<FileKind, number>> = { directory: 0o755, symlink: 0o777, block: 0o600, character: 0o600 };

/** Makes the described files below a directory. What is there already is kept, a file's contents are replaced. */
export function plant(below: Entry, tree: Tree): void {
  for (const [path, value] of Object.entries(tree)) {
    const names = toName(path)
      .split("/")
      .filter((name) => name !== "");
    const last = names.pop();
    let at = below;
    for (const name of names) at = child(at, name, directory());
    if (last === undefined) plantInto(at, describe(value));
    else plantInto(child(at, last, describe(value)), describe(value));
  }
}

function describe(value: Tree[string]): Described {
  if (value instanceof Described) return value;
  return typeof value === "string" || value instanceof Uint8Array ? file(value) : directory(value);
}

function child(parent: Entry, name: string, what: Described): Entry {
  const names = parent.node.directory;
  if (!names) throw new Error(`a described tree puts "${name}" below "${parent.name}", which is no directory`);
  const found = names.find(name);
  if (found?.node.kind === what.kind) return found;
  if (found) names.drop(name);
  return names.make(name, what.kind, what.properties.mode ?? defaultMode[what.kind] ?? 0o644, what.properties.device);
}

function plantInto(entry: Entry, what: Described): void {
  const { mode, owner, group, attributes } = what.properties;
  what.fill(entry.node);
  if (mode !== undefined) entry.node.mode = mode;
  entry.node.owner = owner ?? entry.node.owner;
  entry.node.group = group ?? entry.node.group;
  for (const [name, value] of Object.entries(attributes ?? {}))
    entry.node.attributes.set(name, new Uint8Array(Buffer.from(value)));
  plant(entry, what.children);
}
