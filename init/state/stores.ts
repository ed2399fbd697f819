import type { Operator } from "../../state-ops/control.ts";
import { seedTemporary } from "../../state-ops/layout.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import {
  exists,
  makeDirectories,
  type OnProgress,
  openBeneath,
  splitPath,
  withDescriptor,
  withDirectory,
  writeNewFile,
} from "./beneath.ts";
import { copyMetadata, type Place } from "./clone-metadata.ts";
import { type CloneResult, cloneTree } from "./clone-tree.ts";
import { newMachineId, validMachineId } from "./machine-id.ts";
import { removeTree } from "./remove-tree.ts";

/** A store as a mount step declares it. */
export interface StoreOrder {
  /** Relative to the data filesystem's root: "shared/etc-machine-id". */
  path: string;
  kind: "directory" | "file";
  /** `image`: starts with what the image has at the place; `none`: starts empty. */
  seed: Operator["seed"];
  generate: Operator["generate"];
  /** Applied at every boot; null: what the image's directory has when the store is made, else 0755 (files 0644) and root. */
  mode: number | null;
  owner: number | null;
  group: number | null;
  /** The same place in the image; null where the image has nothing there. */
  image: Place | null;
}

/**
 * Opens a store (O_PATH), made before where it does not exist yet: what is there under its name is always finished.
 * Returns warnings too. Throws KernelError (ELOOP or ENOTDIR: a link or another kind of file is in its place).
 */
export function openStore(
  kernel: Kernel,
  data: Descriptor,
  order: StoreOrder,
  onProgress: OnProgress,
): { store: Descriptor; warnings: string[] } {
  const [parent, name] = splitPath(order.path);
  makeDirectories(kernel, data, parent);
  return withDirectory(kernel, data, parent, (directory) => {
    const place = { at: directory, name };
    const warnings = exists(kernel, directory, name) ? [] : makeStore(kernel, data, directory, order, onProgress);
    if (order.generate === "machine-id") keepMachineId(kernel, place, order);
    const store = openBeneath(kernel, directory, name, order.kind === "directory" ? O.PATH | O.DIRECTORY : O.PATH);
    try {
      applyRoot(kernel, place, store, order);
    } catch (error) {
      kernel.close(store);
      throw error;
    }
    return { store, warnings };
  });
}

/** Builds the store aside, makes it durable, and renames it to its name. */
function makeStore(kernel: Kernel, data: Descriptor, directory: Descriptor, order: StoreOrder, onProgress: OnProgress): string[] {
  const name = splitPath(order.path)[1];
  const aside = seedTemporary(name);
  removeTree(kernel, directory, aside, onProgress);
  const result = fill(kernel, { at: directory, name: aside }, order, onProgress);
  kernel.syncFilesystem(data);
  kernel.rename(aside, name, { at: directory, exclusive: true });
  kernel.sync(directory);
  const lost = result?.lostAttributes ?? [];
  return lost.length > 0
    ? [`${order.path} was seeded without the attributes ${lost.join(", ")}, which its filesystem does not know`]
    : [];
}

function fill(kernel: Kernel, to: Place, order: StoreOrder, onProgress: OnProgress): CloneResult | null {
  const { image, kind } = order;
  const status = image === null ? null : kernel.statusAt(image.name, image.at);
  if (image !== null && order.seed === "image" && status?.kind === kind) {
    return cloneTree(kernel, image, to, { onProgress, dropOptionalAttributes: true });
  }
  if (kind === "file") {
    const text = order.generate === "machine-id" ? newMachineId() : "";
    writeNewFile(kernel, to.at, String(to.name), text, order.mode ?? (order.generate === null ? 0o644 : 0o444));
    return null;
  }
  kernel.makeDirectory(to.name, 0o755, to.at);
  withDirectory(kernel, to.at, String(to.name), (made) => {
    const mode = status?.kind === "directory" ? status.mode : 0o755;
    const setMode = () => kernel.changeMode(made, mode);
    if (image !== null && status?.kind === "directory") {
      copyMetadata(kernel, image, status, { at: made, name: "." }, setMode, true);
    } else {
      setMode();
    }
  });
  return null;
}

/** A machine id that is there and valid is for ever; anything else in a regular file's place is replaced. */
function keepMachineId(kernel: Kernel, place: Place, order: StoreOrder): void {
  const open = () => openBeneath(kernel, place.at, place.name, O.RDONLY | O.NONBLOCK);
  const text = withDescriptor(kernel, open, (fd) => {
    requireKind(kernel, fd, order);
    return new TextDecoder().decode(kernel.read(fd, 64, 0n));
  });
  if (validMachineId(text)) return;
  const aside = seedTemporary(String(place.name));
  removeTree(kernel, place.at, aside, () => {});
  writeNewFile(kernel, place.at, aside, newMachineId(), order.mode ?? 0o444);
  kernel.rename(aside, place.name, { at: place.at });
  kernel.sync(place.at);
}

function requireKind(kernel: Kernel, fd: Descriptor, order: StoreOrder): void {
  const seen = kernel.status(fd).kind;
  if (seen !== order.kind) {
    throw new KernelError(
      `open as ${order.kind}`,
      `${order.path}, which is a ${seen}`,
      order.kind === "directory" ? "ENOTDIR" : "EINVAL",
    );
  }
}

/** Owner and mode of the store's root, where the operator says so and they differ. */
function applyRoot(kernel: Kernel, place: Place, store: Descriptor, order: StoreOrder): void {
  requireKind(kernel, store, order);
  const status = kernel.status(store);
  const owner = order.owner ?? status.owner;
  const group = order.group ?? status.group;
  const mode = order.mode ?? status.mode;
  const owned = owner === status.owner && group === status.group;
  if (!owned) kernel.changeOwner(place.name, owner, group, place.at);
  if (owned && mode === status.mode) return;
  const flags = order.kind === "directory" ? O.RDONLY | O.DIRECTORY : O.RDONLY | O.NONBLOCK;
  withDescriptor(
    kernel,
    () => openBeneath(kernel, place.at, place.name, flags),
    (fd) => kernel.changeMode(fd, mode),
  );
}
