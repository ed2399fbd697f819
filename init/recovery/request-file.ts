/** The file that asks for a recovery by being there. */
import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import { LONGEST_REQUEST, readRequest } from "../../boot/recovery/request.ts";
import type { Rung } from "../../state-ops/recovery.ts";
import { VFAT_NEEDS } from "../devices/vfat.ts";
import { MS, O } from "../kernel/constants.ts";
import { makeDirectories, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { closeData, type DataDevice, openDataIfPossible } from "../sequence/data.ts";
import type { Devices } from "../sequence/devices.ts";
import type { Launch } from "../sequence/launch.ts";
import { exists, isCode, openBeneath, splitPath, withDescriptor, withDirectory } from "../state/beneath.ts";
import { detachDataFilesystem } from "../state/data-filesystem.ts";

/** Where the filesystem is mounted for as long as the file is looked at. */
export const REQUEST_PLACE = "/run/slipway/request";

const HARMLESS = MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.NOATIME;

export interface RecoveryRequest {
  /** Who asks, for the report: "the file recover on PARTLABEL=esp". */
  by: string;
  asks: Rung | "ladder";
}

/**
 * Whether somebody asks for a recovery by the control file's `recovery.request`. Its file is gone from the disk when this answers:
 * one that cannot be removed would ask at every boot, so it is warned of and not obeyed. Never throws for what is on a disk, and
 * waits for no device.
 *
 * @param knownData UUID that the boot record knows of the data filesystem, which the file may lie on
 */
export async function takeRequest(
  boot: Launch,
  devices: Pick<Devices, "look">,
  knownData: string | null,
): Promise<RecoveryRequest | null> {
  const { request, ladder } = boot.control.recovery;
  if (request === null || ladder.length === 0) return null;
  const by = `the file ${request.path} on ${request.device}`;
  const found = devices.look(request.device);
  if (!("found" in found)) {
    // What is removable is mostly not there.
    boot.log.debug(`nobody asks for a recovery: ${"missing" in found ? found.missing : found.ambiguous}`);
    return null;
  }
  const taking = { boot, by, path: request.path };
  try {
    return isData(boot, devices, found.found.path)
      ? await takeFromData(taking, found.found, knownData)
      : takeFromDevice(taking, found.found.path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    boot.warn(`${by} could not be looked for: ${error.message}`);
    return null;
  }
}

interface Taking {
  boot: Launch;
  by: string;
  /** Relative to the filesystem. */
  path: string;
}

function isData(boot: Launch, devices: Pick<Devices, "look">, device: string): boolean {
  if (boot.control.data === null) return false;
  const data = devices.look(boot.control.data.device);
  return "found" in data && data.found.path === device;
}

/** The data filesystem has rules of its own: which one it may be, and what is done where it is damaged. */
async function takeFromData(taking: Taking, device: DataDevice, knownData: string | null) {
  const { boot } = taking;
  const { data } = await openDataIfPossible(boot, { knownData, findDevice: async () => device, opened: null, checked: null });
  if (data === null) return null;
  try {
    return take(taking, data.root, () => {});
  } finally {
    closeData(boot.kernel, data);
  }
}

/** Mounted for reading only, and for writing just where there is something to remove. */
function takeFromDevice(taking: Taking, device: string): RecoveryRequest | null {
  const { boot } = taking;
  const { kernel } = boot;
  const superblock = readSuperblock(withOpen(kernel, device, O.RDONLY, (fd) => kernel.read(fd, SUPERBLOCK_BYTES, 0n)));
  if (superblock === null) {
    boot.warn(`${taking.by} could not be looked for: ${device} holds no filesystem that is known`);
    return null;
  }
  boot.loadForFilesystem(superblock.type);
  if (superblock.type === "vfat") for (const name of VFAT_NEEDS) boot.modules?.loadNamed(name);
  makeDirectories(kernel, REQUEST_PLACE, 0o700);
  kernel.mount(device, REQUEST_PLACE, superblock.type, MS.RDONLY | HARMLESS, "");
  try {
    const open = () => kernel.open(REQUEST_PLACE, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    const makeWritable = () => kernel.mount("none", REQUEST_PLACE, "", MS.REMOUNT | HARMLESS, "");
    return withDescriptor(kernel, open, (root) => take(taking, root, makeWritable));
  } finally {
    detachDataFilesystem(kernel, REQUEST_PLACE);
  }
}

function take({ boot, by, path }: Taking, root: Descriptor, makeWritable: () => void): RecoveryRequest | null {
  const text = readAsked(boot, by, path, root);
  if (text === null) return null;
  const { asks, doubt } = readRequest(text, boot.control.recovery.ladder);
  try {
    makeWritable();
    removeDurably(boot.kernel, root, path);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    boot.alarm(
      `${by} asks for a recovery and cannot be removed (${error.code}), so that every boot would begin one: none is begun; remove it, or unlock the medium`,
    );
    return null;
  }
  if (doubt !== null) boot.warn(`${by} ${doubt}`);
  boot.log.notice(`${by} asks for a recovery: ${asks}`);
  return { by, asks };
}

/** The file's text; null where nobody asks. What is a link, or lies behind one, asks for nothing. */
function readAsked(boot: Launch, by: string, path: string, root: Descriptor): string | null {
  const { kernel } = boot;
  try {
    return withDescriptor(
      kernel,
      () => openBeneath(kernel, root, path, O.RDONLY | O.NONBLOCK),
      (fd) => {
        if (kernel.status(fd).kind === "file") return new TextDecoder("latin1").decode(kernel.read(fd, LONGEST_REQUEST, 0n));
        boot.warn(`${by} asks for nothing: it is no regular file`);
        return null;
      },
    );
  } catch (error) {
    if (isCode(error, "ENOENT", "ENOTDIR")) return null;
    if (!isCode(error, "ELOOP", "EXDEV")) throw error;
    boot.warn(`${by} asks for nothing: it is a link, or lies behind one`);
    return null;
  }
}

/** On return the name is gone for good, whatever the power does. Throws KernelError where it is not. */
function removeDurably(kernel: Kernel, root: Descriptor, path: string): void {
  const [parent, name] = splitPath(path);
  withDirectory(kernel, root, parent, (directory) => {
    kernel.remove(name, { at: directory });
    kernel.sync(directory);
    kernel.syncFilesystem(root);
    if (exists(kernel, directory, name)) throw new KernelError("unlinkat", name, "EEXIST");
  });
}
