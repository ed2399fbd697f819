import { seedTemporary } from "../../state-ops/layout.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type FileStatus, type Kernel, KernelError } from "../kernel/kernel.ts";
import { exists, type OnProgress, openBeneath, splitPath, withDescriptor, writeNewFile } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";
import { keepsContent, newContent } from "./generated.ts";
import { fileMode, makeStore, type StoreOrder } from "./make-store.ts";
import { OpenDirectories } from "./open-directories.ts";
import { removeTree } from "./remove-tree.ts";
import { applyRoot } from "./root-properties.ts";
import { WriteBack } from "./write-back.ts";

interface Built {
  order: StoreOrder;
  directory: Descriptor;
  aside: string;
  name: string;
}

/**
 * The stores on one filesystem. What is there under a store's name is always finished: new ones are built aside, made
 * durable all at once, and renamed. The caller closes.
 */
export class Stores {
  readonly directories: OpenDirectories;
  readonly #failures = new Map<StoreOrder, unknown>();
  readonly #warnings = new Map<StoreOrder, string[]>();
  readonly #writeBack: WriteBack;

  constructor(
    readonly kernel: Kernel,
    readonly root: Descriptor,
    readonly onProgress: OnProgress,
    /** False on a filesystem that no reboot survives. */
    readonly durable: boolean,
  ) {
    this.directories = new OpenDirectories(kernel, root);
    this.#writeBack = new WriteBack(kernel);
  }

  /** Makes those of `orders` that do not exist. Never throws: what failed is thrown by {@link open}. */
  make(orders: readonly StoreOrder[]): void {
    const built = orders.flatMap((order) => {
      try {
        return this.#build(order) ?? [];
      } catch (error) {
        this.#failures.set(order, error);
        return [];
      }
    });
    if (built.length > 0) this.#publish(built);
  }

  /**
   * Opens a store (O_PATH), its root as the operator says. Throws what making it threw; KernelError (ELOOP or ENOTDIR: a
   * link or another kind of file is in its place).
   */
  open(order: StoreOrder): { store: Descriptor; warnings: string[] } {
    if (this.#failures.has(order)) throw this.#failures.get(order);
    const place = this.#placeOf(order);
    let { store, status } = this.#openAt(place, order);
    try {
      if (order.generate !== null && this.#renew(place, order, order.generate)) {
        this.kernel.close(store);
        ({ store, status } = this.#openAt(place, order));
      }
      const warnings = applyRoot(this.kernel, place, status, order).map((text) => `${order.path} ${text}`);
      return { store, warnings: [...(this.#warnings.get(order) ?? []), ...warnings] };
    } catch (error) {
      this.kernel.close(store);
      throw error;
    }
  }

  close(): void {
    this.directories.close();
  }

  /** Builds the store aside; null where it exists. */
  #build(order: StoreOrder): Built | null {
    const { kernel, onProgress } = this;
    const [parent, name] = splitPath(order.path);
    const directory = this.directories.at(parent);
    if (exists(kernel, directory, name) || this.#hasFormer(order)) return null;
    const aside = seedTemporary(name);
    try {
      removeTree(kernel, directory, aside, onProgress);
      const { bytes, lostAttributes } = makeStore(kernel, { at: directory, name: aside }, order, onProgress);
      if (this.durable) this.#writeBack.wrote(bytes, this.root);
      if (lostAttributes.length > 0) {
        const lost = `${order.path} was seeded without the attributes ${lostAttributes.join(", ")}, which its filesystem does not know`;
        this.#warnings.set(order, [lost]);
      }
    } catch (error) {
      this.#discard(directory, aside);
      throw error;
    }
    return { order, directory, aside, name };
  }

  #hasFormer({ formerPath }: StoreOrder): boolean {
    if (formerPath === null) return false;
    const [parent, name] = splitPath(formerPath);
    return exists(this.kernel, this.directories.at(parent), name);
  }

  /** Others need the space of what failed. What resists is left for the next boot. */
  #discard(directory: Descriptor, aside: string): void {
    try {
      removeTree(this.kernel, directory, aside, this.onProgress);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  /** Two syncs of the filesystem, however many stores: their content before they get their names, then the names. */
  #publish(built: readonly Built[]): void {
    const all = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        for (const { order } of built) this.#failures.set(order, error);
      }
    };
    const sync = (): void => {
      if (this.durable) this.kernel.syncFilesystem(this.root);
    };
    all(() => {
      sync();
      for (const { order, directory, aside, name } of built) {
        try {
          this.kernel.rename(aside, name, { at: directory, exclusive: true });
        } catch (error) {
          this.#failures.set(order, error);
        }
      }
      sync();
    });
  }

  #placeOf({ path, formerPath }: StoreOrder): Place & { name: string } {
    const [parent, name] = splitPath(path);
    const place = { at: this.directories.at(parent), name };
    if (formerPath === null || exists(this.kernel, place.at, name)) return place;
    const [formerParent, formerName] = splitPath(formerPath);
    return { at: this.directories.at(formerParent), name: formerName };
  }

  #openAt(place: Place, order: StoreOrder): { store: Descriptor; status: FileStatus } {
    const { kernel } = this;
    const store = openBeneath(kernel, place.at, place.name, order.kind === "directory" ? O.PATH | O.DIRECTORY : O.PATH);
    try {
      const status = kernel.status(store);
      requireOwn(status, order);
      return { store, status };
    } catch (error) {
      kernel.close(store);
      throw error;
    }
  }

  /** Replaces what was to be made on the device and is not what it should be. True where it did. */
  #renew(place: Place & { name: string }, order: StoreOrder, what: NonNullable<StoreOrder["generate"]>): boolean {
    const { kernel } = this;
    const open = () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.NONBLOCK);
    const text = withDescriptor(kernel, open, (fd) => new TextDecoder().decode(kernel.read(fd, 64, 0n)));
    if (keepsContent(what, text)) return false;
    const aside = seedTemporary(place.name);
    removeTree(kernel, place.at, aside, this.onProgress);
    writeNewFile(kernel, place.at, aside, newContent(what), fileMode(order));
    kernel.rename(aside, place.name, { at: place.at });
    kernel.sync(place.at);
    return true;
  }
}

/** A file with a second name is somebody else's too: what is written here would change it there. */
function requireOwn({ kind, links }: FileStatus, order: StoreOrder): void {
  if (kind !== order.kind) {
    const code = order.kind === "directory" ? "ENOTDIR" : "EINVAL";
    throw new KernelError(`open as ${order.kind}`, `${order.path}, which is a ${kind}`, code);
  }
  if (kind === "file" && links !== 1) {
    throw new Error(
      `${order.path} has ${links} names on the data filesystem; remove the others, or copy it to a file of its own`,
    );
  }
}
