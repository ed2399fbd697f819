import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { extErrors, readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { readOnlyOptions } from "../../boot/slot-image.ts";
import { failureOn } from "../../state-ops/data-check.ts";
import { LAYOUT, LONGEST_TEXT } from "../../state-ops/layout.ts";
import { REQUESTS } from "../../state-ops/requests.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { exists, readText, withDirectory } from "../state/beneath.ts";
import { readGenerations } from "../state/data-filesystem.ts";
import type { DataContent, DataFacts } from "./facts.ts";
import type { ReadOnlyMounts } from "./read-only-mounts.ts";

function readContent(kernel: Kernel, root: Descriptor, slots: readonly string[]): DataContent {
  const laidOut = exists(kernel, root, LAYOUT.slots) && exists(kernel, root, LAYOUT.generations);
  const empty = { pointers: Object.fromEntries(slots.map((slot) => [slot, null])), generations: [] };
  const layout = exists(kernel, root, LAYOUT.file) ? (readText(kernel, root, LAYOUT.file, LONGEST_TEXT) ?? "") : null;
  return { layout, requests: readRequests(kernel, root), ...(laidOut ? readGenerations(kernel, root, slots) : empty) };
}

function readRequests(kernel: Kernel, root: Descriptor): string | null {
  try {
    return withDirectory(kernel, root, REQUESTS.directory, (updater) => readText(kernel, updater, REQUESTS.file, LONGEST_TEXT));
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/**
 * What the data partition holds. What cannot be looked at is said, never thrown.
 *
 * @param lookOn at what else lies on it, while it is mounted
 */
export function gatherData(
  kernel: Kernel,
  mounts: ReadOnlyMounts,
  device: BlockDevice,
  slots: readonly string[],
  lookOn: (root: Descriptor) => void,
): DataFacts {
  const nothing = { fault: null, filesystem: null, uuid: null, errors: false, content: null, unknown: null };
  try {
    const bytes = withOpen(kernel, device.path, O.RDONLY, (fd) => kernel.read(fd, SUPERBLOCK_BYTES, 0n));
    const superblock = readSuperblock(bytes);
    if (superblock === null) return nothing;
    const { type, uuid } = superblock;
    const options = readOnlyOptions(type);
    if (options === null) return { ...nothing, filesystem: type, uuid };
    const { value, unknown } = mounts.look(device, type, options, (root) => {
      lookOn(root);
      return readContent(kernel, root, slots);
    });
    return { fault: null, filesystem: type, uuid, errors: type === "ext4" && extErrors(bytes), content: value, unknown };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return { ...nothing, fault: failureOn(device.path, error) };
  }
}
