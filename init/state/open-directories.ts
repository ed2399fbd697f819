import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { isCode, openBeneath, splitPath } from "./beneath.ts";

/**
 * Directories beneath `root`, each opened once for however many stores lie in it, and made (0700) where it is missing. The
 * caller closes, and makes the names durable.
 */
export class OpenDirectories {
  readonly #open = new Map<string, Descriptor>();

  constructor(
    readonly kernel: Kernel,
    readonly root: Descriptor,
  ) {}

  /** The directory at `path`; "" is the root. ELOOP, ENOTDIR: a link or something else is in its place. */
  at(path: string): Descriptor {
    if (path === "") return this.root;
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const [parent, name] = splitPath(path);
    const fd = this.#openOrMake(this.at(parent), name);
    this.#open.set(path, fd);
    return fd;
  }

  close(): void {
    for (const fd of this.#open.values()) this.kernel.close(fd);
    this.#open.clear();
  }

  #openOrMake(parent: Descriptor, name: string): Descriptor {
    const open = () => openBeneath(this.kernel, parent, name, O.RDONLY | O.DIRECTORY);
    try {
      return open();
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
      this.kernel.makeDirectory(name, 0o700, parent);
      return open();
    }
  }
}
