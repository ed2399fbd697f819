import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { readOnlyOptions } from "../../boot/slot-image.ts";
import type { FileSlot } from "../../state-ops/control.ts";
import { attachLoop } from "../devices/loop.ts";
import type { SealReading } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { missingMountPoints } from "../sequence/handover.ts";
import { readImageControlText } from "../sequence/image.ts";
import { moduleVersions, USUAL_PLACES, whyNotInit } from "../sequence/next-init.ts";
import { failureOf } from "../sequence/slot.ts";
import { withDescriptor } from "../state/beneath.ts";
import { openSlotFile, openSlotFiles } from "../state/slot-files.ts";
import { readSlotImage } from "../store/image-id.ts";
import type { ImageFacts, RootFacts, SealFacts } from "./facts.ts";
import { type Look, type LookedAt, lookOrSay, type ReadOnlyMounts } from "./read-only-mounts.ts";

/** What is in the root of an image. `asked` is `init=` of the command line. */
function readRoot(kernel: Kernel, root: Descriptor, asked: string | null): RootFacts {
  const places = [...new Set([...(asked === null ? [] : [asked]), ...USUAL_PLACES])];
  return {
    missingMountPoints: missingMountPoints(kernel, root),
    modules: [...moduleVersions(kernel, root)],
    inits: Object.fromEntries(places.map((path) => [path, whyNotInit(kernel, root, path)])),
    control: readImageControlText(kernel, root),
  };
}

function sealFacts(reading: SealReading): SealFacts {
  if (reading.is !== "sealed") return reading;
  return { is: "sealed", text: new TextDecoder().decode(reading.seal.bytes) };
}

const NOTHING: ImageFacts = {
  fault: null,
  imageId: null,
  filesystem: null,
  seal: { is: "unsealed", reason: "nothing was read" },
  root: null,
  unknown: null,
};

function lookAtOwnRoot<Value>(kernel: Kernel, look: (root: Descriptor) => Value): Look<Value> {
  return withOpen(kernel, "/", O.RDONLY | O.DIRECTORY, (root) => lookOrSay(() => look(root)));
}

/**
 * What a slot's device holds. The running slot is looked at from "/", others are mounted read-only where nobody else sees
 * it. What cannot be looked at is said, never thrown.
 *
 * @param running whether this is the slot that runs
 */
export function gatherImage(
  kernel: Kernel,
  mounts: ReadOnlyMounts,
  device: LookedAt,
  running: boolean,
  asked: string | null,
): ImageFacts {
  try {
    const { imageId, reading } = readSlotImage(kernel, device.path);
    const seal = sealFacts(reading);
    if (imageId === null) return { ...NOTHING, seal };
    const read = (fd: Descriptor) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n));
    const filesystem = withOpen(kernel, device.path, O.RDONLY, read)?.type ?? null;
    const known = { ...NOTHING, imageId, filesystem, seal };
    const options = readOnlyOptions(filesystem);
    if (filesystem === null || options === null) return known;
    const look = (root: Descriptor) => readRoot(kernel, root, asked);
    const seen = running ? lookAtOwnRoot(kernel, look) : mounts.look(device, filesystem, options, look);
    return { ...known, root: seen.value, unknown: seen.unknown };
  } catch (error) {
    if (error instanceof KernelError && (error.code === "EACCES" || error.code === "EPERM")) throw error;
    return { ...NOTHING, fault: failureOf(error) };
  }
}

/**
 * What the file of a slot holds, on the data filesystem whose root is open. It is looked at through a device that the kernel
 * frees afterwards; where there is no such file, the fault says so.
 */
export function gatherFileImage(
  kernel: Kernel,
  mounts: ReadOnlyMounts,
  root: Descriptor,
  { file }: FileSlot,
  asked: string | null,
): ImageFacts {
  try {
    const open = () =>
      withDescriptor(
        kernel,
        () => openSlotFiles(kernel, root, file),
        (all) => openSlotFile(kernel, all, file, O.RDONLY),
      );
    const loop = withDescriptor(kernel, open, (fd) => attachLoop(kernel, fd, file));
    try {
      return gatherImage(kernel, mounts, loop, false, asked);
    } finally {
      kernel.close(loop.held);
    }
  } catch (error) {
    return { ...NOTHING, fault: failureOf(error) };
  }
}
