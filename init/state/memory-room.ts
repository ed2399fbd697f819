import { MNT, MS, O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { isCode, type OnProgress, openThroughMounts, procPath, withDescriptor } from "./beneath.ts";
import { makePath } from "./make-path.ts";
import { Stores } from "./stores.ts";

/** Directory on /run's tmpfs that {@link withTmpfs} mounts in. */
export const ROOMS = "slipway";
/** Names in it: files in memory; layers of an overlay in memory. */
export const ROOM = { files: "memory", layers: "layers" } as const;
export const ROOM_FLAGS = MS.NOSUID | MS.NODEV;

/** A tmpfs of PID 1's own for files in memory, mounted at its first use: what is bound from it stays when it is closed. */
export class MemoryRoom {
  #open: { root: Descriptor; stores: Stores } | null = null;

  constructor(
    readonly kernel: Kernel,
    /** Root of /run's own tmpfs. */
    readonly run: Descriptor,
    readonly onProgress: OnProgress,
  ) {}

  get stores(): Stores {
    if (this.#open === null) {
      const root = openRoom(this.kernel, this.run, ROOM.files, "mode=0700");
      this.#open = { root, stores: new Stores(this.kernel, root, this.onProgress, false) };
    }
    return this.#open.stores;
  }

  close(): void {
    if (this.#open === null) return;
    this.#open.stores.close();
    this.kernel.close(this.#open.root);
    closeRoom(this.kernel, this.run, ROOM.files);
    this.#open = null;
  }
}

/** Hands the root of a new tmpfs to `use`, and takes it out of sight: what was mounted from it stays. `options` are the mount's. */
export function withLayers<Result>(kernel: Kernel, run: Descriptor, options: string, use: (root: Descriptor) => Result): Result {
  const root = openRoom(kernel, run, ROOM.layers, options);
  try {
    return use(root);
  } finally {
    kernel.close(root);
    closeRoom(kernel, run, ROOM.layers);
  }
}

function openRoom(kernel: Kernel, run: Descriptor, name: string, options: string): Descriptor {
  const open = () => openThroughMounts(kernel, run, `${ROOMS}/${name}`, O.RDONLY | O.DIRECTORY);
  makePath(kernel, run, ROOMS);
  withDescriptor(
    kernel,
    () => openThroughMounts(kernel, run, ROOMS, O.RDONLY | O.DIRECTORY),
    (rooms) => {
      try {
        kernel.makeDirectory(name, 0o700, rooms);
      } catch (error) {
        if (!isCode(error, "EEXIST")) throw error;
      }
    },
  );
  withDescriptor(kernel, open, (place) => kernel.mount("tmpfs", procPath(place), "tmpfs", ROOM_FLAGS, options));
  try {
    return open();
  } catch (error) {
    closeRoom(kernel, run, name);
    throw error;
  }
}

function closeRoom(kernel: Kernel, run: Descriptor, name: string): void {
  const path = procPath(run, `${ROOMS}/${name}`);
  kernel.unmount(path, MNT.DETACH | MNT.NOFOLLOW);
  try {
    kernel.remove(path, { directory: true });
  } catch (error) {
    // An empty directory on /run is no reason not to boot.
    if (!(error instanceof KernelError)) throw error;
  }
}
