import { FILESYSTEM_MAGIC } from "../constants.ts";
import type { DeviceNumber, FileKind } from "../kernel.ts";
import { type Directory, Entry, Errno, Filesystem, Node, newEntry } from "./memory-nodes.ts";

const OPAQUE = "trusted.overlay.opaque";

function isWhiteout(node: Node): boolean {
  return node.kind === "character" && node.device.major === 0 && node.device.minor === 0;
}

function isOpaque(node: Node): boolean {
  return Buffer.from(node.attributes.get(OPAQUE) ?? []).toString() === "y";
}

/**
 * overlayfs as far as a boot sees it: the merged view, copy-up on the first change, whiteouts, opaque directories.
 * Directories of a lower layer cannot be renamed (redirect_dir=off).
 */
export class OverlayFilesystem extends Filesystem {
  readonly #upper: Entry | null;

  constructor(number: DeviceNumber, lower: Entry[], upper: Entry | null) {
    super("overlay", number, FILESYSTEM_MAGIC.overlay);
    this.#upper = upper;
    this.readOnly = upper === null;
    this.root.node.directory = new OverlayDirectory(this.root, upper, lower);
    takeProperties(this.root.node, (upper ?? lower[0])?.node);
  }

  override prepareWrite(entry: Entry): void {
    copyUp(entry);
  }

  /** A file's own node is that of its layer: what arrives here is a directory, or everything. */
  override sync(node: Node | null): void {
    this.#upper?.node.filesystem.sync(node === null ? null : this.#upper.node);
  }
}

function takeProperties(to: Node, from: Node | undefined): void {
  if (!from) return;
  to.mode = from.mode;
  to.owner = from.owner;
  to.group = from.group;
  to.accessed = from.accessed;
  to.modified = from.modified;
  for (const [name, value] of from.attributes) if (!name.startsWith("trusted.overlay.")) to.attributes.set(name, value);
}

/** Makes sure that the entry lies in the upper layer; its entry in the overlay stands for that from now on. */
function copyUp(entry: Entry): Entry {
  const own = entry.node.directory;
  if (own instanceof OverlayDirectory) return own.ensureUpper();
  const parent = entry.parent?.node.directory;
  if (!(parent instanceof OverlayDirectory)) throw new Errno("EIO");
  const upper = parent.ensureUpper();
  const there = upper.node.directory?.find(entry.name);
  if (there && !isWhiteout(there.node)) return there;
  const copy = newEntry(upper.node.filesystem, upper, entry.name, entry.node.kind, entry.node.mode, entry.node.device);
  takeProperties(copy.node, entry.node);
  copy.node.bytes.restore(entry.node.bytes);
  copy.node.target = entry.node.target;
  if (there) upper.node.directory?.drop(entry.name);
  upper.node.directory?.adopt(entry.name, copy);
  entry.node = copy.node;
  return copy;
}

class OverlayDirectory implements Directory {
  readonly #entry: Entry;
  #upper: Entry | null;
  readonly #lower: Entry[];
  /** Entries handed out, since mounts and descriptors hold on to them. */
  readonly #known = new Map<string, Entry>();

  constructor(entry: Entry, upper: Entry | null, lower: Entry[]) {
    this.#entry = entry;
    this.#upper = upper;
    this.#lower = lower;
  }

  ensureUpper(): Entry {
    if (this.#upper) return this.#upper;
    const parent = this.#entry.parent?.node.directory;
    if (!(parent instanceof OverlayDirectory)) throw new Errno("EROFS");
    const made = parent.ensureUpper().node.directory?.make(this.#entry.name, "directory", this.#entry.node.mode);
    if (!made) throw new Errno("EIO");
    takeProperties(made.node, this.#entry.node);
    this.#upper = made;
    return made;
  }

  #layers(name: string): { upper: Entry | null; lower: Entry[] } {
    const upper = this.#upper?.node.directory?.find(name) ?? null;
    const lower: Entry[] = [];
    for (const layer of this.#lower) {
      const entry = layer.node.directory?.find(name);
      if (!entry) continue;
      if (isWhiteout(entry.node)) break;
      if (entry.node.kind !== "directory" && lower.length > 0) break;
      lower.push(entry);
      if (entry.node.kind !== "directory" || isOpaque(entry.node)) break;
    }
    return { upper, lower };
  }

  find(name: string): Entry | null {
    const known = this.#known.get(name);
    if (known) return known;
    const { upper, lower } = this.#layers(name);
    const top = upper ?? lower[0];
    if (!top || isWhiteout(top.node)) return null;
    const below = upper && (upper.node.kind !== "directory" || isOpaque(upper.node)) ? [] : lower;
    return this.#show(name, top, upper, below);
  }

  #show(name: string, top: Entry, upper: Entry | null, lower: Entry[]): Entry {
    let entry = new Entry(this.#entry, name, top.node);
    if (top.node.kind === "directory") {
      entry = new Entry(this.#entry, name, new Node(this.#entry.node.filesystem, "directory", 0, top.node.number));
      entry.node.links = top.node.links;
      takeProperties(entry.node, top.node);
      const layers = lower.filter((layer) => layer.node.kind === "directory");
      entry.node.directory = new OverlayDirectory(entry, upper, layers);
    }
    this.#known.set(name, entry);
    return entry;
  }

  names(): string[] {
    const layers = this.#upper ? [this.#upper, ...this.#lower] : this.#lower;
    const all = new Set(layers.flatMap((layer) => layer.node.directory?.names() ?? []));
    return [...all].filter((name) => this.find(name) !== null);
  }

  /** Frees the name in the upper layer; true when a lower layer or a whiteout was behind it. */
  #clear(name: string): boolean {
    const { upper, lower } = this.#layers(name);
    const hidden = upper !== null && isWhiteout(upper.node);
    if (upper) this.ensureUpper().node.directory?.drop(name);
    return hidden || lower.length > 0;
  }

  make(name: string, kind: FileKind, mode: number, device?: DeviceNumber): Entry {
    const upper = this.ensureUpper();
    const covered = this.#clear(name);
    const made = upper.node.directory?.make(name, kind, mode, device);
    if (!made) throw new Errno("EIO");
    if (covered && kind === "directory") made.node.attributes.set(OPAQUE, new Uint8Array(Buffer.from("y")));
    return this.#show(name, made, made, []);
  }

  link(name: string, node: Node): Entry {
    const upper = this.ensureUpper();
    this.#clear(name);
    const made = upper.node.directory?.link(name, node);
    if (!made) throw new Errno("EIO");
    return this.#show(name, made, made, []);
  }

  adopt(name: string, entry: Entry): void {
    const from = entry.parent?.node.directory;
    if (!(from instanceof OverlayDirectory)) throw new Errno("EXDEV");
    const inner = entry.node.directory;
    if (inner instanceof OverlayDirectory && inner.#lower.length > 0) throw new Errno("EXDEV");
    const moved = copyUp(entry);
    const upper = this.ensureUpper();
    const covered = this.#clear(name);
    const behind = from.#layers(entry.name).lower.length > 0;
    const formerUpper = from.ensureUpper();
    upper.node.directory?.adopt(name, moved);
    if (behind) formerUpper.node.directory?.make(entry.name, "character", 0, { major: 0, minor: 0 });
    if (covered && inner) moved.node.attributes.set(OPAQUE, new Uint8Array(Buffer.from("y")));
    from.#known.delete(entry.name);
    entry.parent = this.#entry;
    entry.name = name;
    this.#known.set(name, entry);
  }

  drop(name: string): void {
    const entry = this.find(name);
    this.ensureUpper();
    const hidesLower = this.#layers(name).lower.length > 0;
    if (this.#upper?.node.directory?.find(name)) this.#upper.node.directory.drop(name);
    if (hidesLower) this.#upper?.node.directory?.make(name, "character", 0, { major: 0, minor: 0 });
    this.#known.delete(name);
    if (entry) entry.gone = true;
  }
}

/** Parts of an overlay's option string: "lowerdir=/a:/b,upperdir=/u,workdir=/w,xino=off". */
export function overlayLayers(options: string): { lower: string[]; upper: string | null; work: string | null } {
  const found = new Map(
    options.split(",").map((option) => {
      const equals = option.indexOf("=");
      return [option.slice(0, equals), option.slice(equals + 1)] as const;
    }),
  );
  return {
    lower: (found.get("lowerdir") ?? "").split(":").filter((path) => path !== ""),
    upper: found.get("upperdir") ?? null,
    work: found.get("workdir") ?? null,
  };
}
