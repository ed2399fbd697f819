import { pathText } from "../../../state-ops/merge/path-text.ts";
import {
  attributesDigest,
  ContentDigest,
  contentDigest,
  countsAsAttribute,
  type Entry,
  nodeDigest,
} from "../../../state-ops/merge/tree.ts";
import { O } from "../../kernel/constants.ts";
import type { Descriptor, FileStatus, Kernel } from "../../kernel/kernel.ts";
import { isCode, type OnProgress, openBeneath, procPath, withDescriptor } from "../beneath.ts";
import { attributesOf, type Place } from "../clone-metadata.ts";

/** What an overlay has written on an entry of an upper layer. */
export interface OverlayMarks {
  whiteout: boolean;
  opaque: boolean;
}

/** What a walk looks at. Paths are path texts (path-text.ts). */
export interface WalkRules {
  /** Whether the path, and what is below it, belongs to the tree. The root is not asked for. */
  sees(path: string): boolean;
  /** Whether what is in a directory is looked at. */
  enters(path: string): boolean;
  /** Whether the content of a file of `size` bytes is read. */
  reads(path: string, size: number): boolean;
  add(path: string, entry: Entry, marks: OverlayMarks): void;
}

/** Bytes of a file that are in memory at once. */
const piece = 1024 * 1024;
/** Bytes that are read between two reports of progress. */
const step = 4 * 1024 * 1024;
const overlayMark = "trusted.overlay.";

/**
 * Walks trees that nobody needs to trust: no link is followed, no other mount is entered, nothing is opened but directories
 * and regular files that are to be read. Parents are added before their children. Sockets are left out, as a clone does, and
 * so is what goes away meanwhile.
 */
export class TreeWalker {
  #bytes = 0;
  #files = 0;
  #reported = 0;

  constructor(
    readonly kernel: Kernel,
    readonly onProgress: OnProgress,
  ) {}

  /** Throws KernelError whose subject may be a descriptor. */
  walk(root: Place, rules: WalkRules): void {
    this.#visit(root, ".", rules);
  }

  #visit(place: Place, path: string, rules: WalkRules): void {
    const { kernel } = this;
    try {
      const status = kernel.statusAt(place.name, place.at);
      const { kind } = status;
      if (kind === "socket") return;
      if (++this.#files % 100 === 0) this.onProgress(this.#bytes, this.#files);
      const { attributes, marks } = this.#attributes(place, status);
      const size = status.size > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(status.size);
      const content = this.#content(place, path, status, size, rules);
      const { mode, owner, group } = status;
      const sized = kind === "file" || kind === "symlink";
      rules.add(path, { type: kind, mode, owner, group, size: sized ? size : 0, content, attributes }, marks);
      if (kind === "directory" && rules.enters(path)) this.#children(place, path, rules);
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
  }

  #children(place: Place, path: string, rules: WalkRules): void {
    const { kernel } = this;
    try {
      const open = () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.DIRECTORY);
      withDescriptor(kernel, open, (directory) => {
        for (const { name } of kernel.readDirectory(directory)) {
          const child = path === "." ? pathText(name) : `${path}/${pathText(name)}`;
          if (rules.sees(child)) this.#visit({ at: directory, name }, child, rules);
        }
      });
    } catch (error) {
      // Something is mounted on it: that is not of this tree.
      if (!isCode(error, "EXDEV")) throw error;
    }
  }

  #attributes(place: Place, status: FileStatus): { attributes: string | null; marks: OverlayMarks } {
    const { kernel } = this;
    const path = procPath(place.at, place.name);
    const names = attributesOf(kernel, path);
    const own = names.filter(countsAsAttribute).map((name) => ({ name, value: kernel.getAttribute(path, name) }));
    const has = (mark: string) => names.includes(`${overlayMark}${mark}`);
    const node = status.kind === "character" && status.node.major === 0 && status.node.minor === 0;
    const opaque = has("opaque") && Buffer.from(kernel.getAttribute(path, `${overlayMark}opaque`)).toString("latin1") === "y";
    return {
      attributes: attributesDigest(own),
      marks: { whiteout: node || (status.kind === "file" && has("whiteout")), opaque: status.kind === "directory" && opaque },
    };
  }

  #content(place: Place, path: string, status: FileStatus, size: number, rules: WalkRules): string | null {
    const { kernel } = this;
    switch (status.kind) {
      case "file":
        return rules.reads(path, size) ? this.#fileDigest(place) : null;
      case "symlink":
        return contentDigest(kernel.readLink(place.name, place.at));
      case "character":
      case "block":
        return nodeDigest(status.node.major, status.node.minor);
      default:
        return null;
    }
  }

  #fileDigest(place: Place): string {
    const { kernel } = this;
    const open = () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.NONBLOCK);
    return withDescriptor(kernel, open, (file) => {
      const digest = new ContentDigest();
      for (const bytes of this.#pieces(file)) digest.add(bytes);
      return digest.text();
    });
  }

  *#pieces(file: Descriptor): Generator<Uint8Array> {
    const { size } = this.kernel.status(file);
    for (let at = 0n; at < size; ) {
      const left = size - at;
      const bytes = this.kernel.read(file, left < BigInt(piece) ? Number(left) : piece, at);
      if (bytes.length === 0) return;
      yield bytes;
      at += BigInt(bytes.length);
      this.#read(bytes.length);
    }
  }

  #read(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes - this.#reported < step) return;
    this.#reported = this.#bytes;
    this.onProgress(this.#bytes, this.#files);
  }
}
