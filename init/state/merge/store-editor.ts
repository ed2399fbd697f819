import type { MetadataFrom } from "../../../state-ops/merge/decide.ts";
import { countsAsAttribute } from "../../../state-ops/merge/tree.ts";
import { O } from "../../kernel/constants.ts";
import type { Descriptor, FileStatus, Kernel } from "../../kernel/kernel.ts";
import { exists, isCode, type OnProgress, openBeneath, procPath, removeIfThere, withDescriptor } from "../beneath.ts";
import { ContentCopier } from "../clone-content.ts";
import { attributesOf, copyMetadata, type Place } from "../clone-metadata.ts";
import { cloneTree } from "../clone-tree.ts";
import { removeTree } from "../remove-tree.ts";
import type { WriteBack } from "../write-back.ts";
import { inParent } from "./tree-place.ts";

const opaqueMark = "trusted.overlay.opaque";

/**
 * Changes one store, path text by path text, beneath its root and without following links. A file is never written in place:
 * its other names, and whatever it shares its inode with, keep what they have.
 */
export class StoreEditor {
  constructor(
    readonly kernel: Kernel,
    /** Root of the store, or of an overlay's upper layer. */
    readonly store: Place,
    /** The same place in the image. */
    readonly image: Place,
    /** Where other operators lie below, as path text: what is there may be hidden by theirs, and is left alone. */
    readonly nested: readonly string[],
    readonly onProgress: OnProgress,
    /** Of all that is changed before a sync of all. */
    readonly writeBack: WriteBack,
  ) {}

  /** Removes what is there. A directory store itself always stays. */
  remove(path: string): void {
    const { kernel } = this;
    inParent(kernel, this.store, path, (place) => {
      const { kind } = kernel.statusAt(place.name, place.at);
      if (kind !== "directory") kernel.remove(place.name, { at: place.at });
      else if (path !== ".") this.#removeDirectory(path, place);
    });
  }

  #removeDirectory(path: string, place: Place): void {
    const { kernel } = this;
    try {
      kernel.remove(place.name, { at: place.at, directory: true });
    } catch (error) {
      if (!isCode(error, "ENOTEMPTY", "EEXIST")) throw error;
      const holdsNested = this.nested.some((other) => other.startsWith(`${path}/`));
      if (!holdsNested) removeTree(kernel, place.at, place.name, this.onProgress);
    }
  }

  clearOpaque(path: string): void {
    inParent(this.kernel, this.store, path, (place) => {
      this.kernel.removeAttribute(procPath(place.at, place.name), opaqueMark);
    });
  }

  addWhiteout(path: string): void {
    inParent(this.kernel, this.store, path, (place) => {
      removeIfThere(this.kernel, place.at, place.name);
      this.kernel.makeNode(place.name, "character", 0, { major: 0, minor: 0 }, place.at);
    });
  }

  /** Makes or replaces what is there by what the image has; with `state` metadata a file's content alone. */
  take(path: string, metadata: MetadataFrom): void {
    this.#both(path, (from, to) => {
      const status = this.kernel.statusAt(from.name, from.at);
      if (status.kind === "directory") this.#takeDirectory(from, status, to);
      else if (metadata === "state") this.#replace(to, to, (file) => this.#copyContent(from, status, file));
      else this.#takeWhole(from, to);
    });
  }

  /** Gives a file this content, and the mode, owner and attributes of the image's or of its own. */
  write(path: string, content: Uint8Array, metadata: MetadataFrom): void {
    this.#both(path, (from, to) => {
      this.#replace(metadata === "image" ? from : to, to, (file) => this.kernel.write(file, content, 0n));
    });
  }

  #takeWhole(from: Place, to: Place): void {
    removeIfThere(this.kernel, to.at, to.name);
    const { onProgress, writeBack } = this;
    cloneTree(this.kernel, from, to, { onProgress, dropOptionalAttributes: true, writeBack });
  }

  /** The directory alone: what is in it is taken path by path. Attributes go that only the store's has. */
  #takeDirectory(from: Place, status: FileStatus, to: Place): void {
    const { kernel } = this;
    if (!exists(kernel, to.at, to.name)) kernel.makeDirectory(to.name, 0o700, to.at);
    const names = attributesOf(kernel, procPath(from.at, from.name));
    const path = procPath(to.at, to.name);
    for (const name of attributesOf(kernel, path)) {
      if (countsAsAttribute(name) && !names.includes(name)) kernel.removeAttribute(path, name);
    }
    const open = () => openBeneath(kernel, to.at, to.name, O.RDONLY | O.DIRECTORY);
    withDescriptor(kernel, open, (directory) =>
      copyMetadata(kernel, from, status, to, () => kernel.changeMode(directory, status.mode), true),
    );
  }

  /** Makes a file aside with what `fill` writes and the metadata of `like`, and renames it to its name. */
  #replace(like: Place, to: Place, fill: (file: Descriptor) => void): void {
    const { kernel } = this;
    const aside = { at: to.at, name: freeName(kernel, to.at) };
    const open = () => openBeneath(kernel, aside.at, aside.name, O.RDWR | O.CREAT | O.EXCL, 0o600);
    withDescriptor(kernel, open, (file) => {
      fill(file);
      const status = kernel.statusAt(like.name, like.at);
      copyMetadata(kernel, like, status, aside, () => kernel.changeMode(file, status.mode), true);
    });
    kernel.rename(aside.name, to.name, { at: to.at });
  }

  #copyContent(from: Place, status: FileStatus, file: Descriptor): void {
    const copier = new ContentCopier(this.kernel, (bytes) => this.onProgress(bytes, 0), this.writeBack);
    const open = () => openBeneath(this.kernel, from.at, from.name, O.RDONLY | O.NONBLOCK);
    withDescriptor(this.kernel, open, (source) => copier.copy(source, file, status.size));
  }

  #both(path: string, use: (from: Place, to: Place) => void): void {
    inParent(this.kernel, this.image, path, (from) => inParent(this.kernel, this.store, path, (to) => use(from, to)));
  }
}

/** A name that nothing in the directory has. */
function freeName(kernel: Kernel, at: Descriptor): string {
  for (let count = 0; ; count++) {
    const name = `.slipway-merge-${count}`;
    if (!exists(kernel, at, name)) return name;
  }
}
