/** The data filesystem and the image as the commands reach them: mounted where nobody else sees them, for one look or change. */
import { readSuperblock, SUPERBLOCK_BYTES, type Superblock } from "../../boot/devices/superblock.ts";
import { type BootReport, RUN } from "../../boot/report.ts";
import { imageMount } from "../../boot/slot-image.ts";
import type { DataFilesystem } from "../../state-ops/control.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { MNT, MS, O } from "../kernel/constants.ts";
import { makeDirectories, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { detachDataFilesystem, mountDataFilesystem } from "../state/data-filesystem.ts";
import type { Machine } from "./machine.ts";
import { deviceOnBootDisk } from "./slot-device.ts";

const DATA_FILESYSTEMS: readonly DataFilesystem[] = ["ext4", "xfs", "btrfs"];

/**
 * Mounts the data filesystem of this boot as PID 1 did, hands its root to `use`, and takes the mount away, whatever happens.
 * Where the filesystem has become read-only (its own answer to an error of the disk), the mount is read-only too. Throws
 * Refusal where this boot has no data filesystem, or another one is in its place now.
 */
export function withDataFilesystem<Result>(kernel: Kernel, machine: Machine, use: (data: Descriptor) => Result): Result {
  return withMounted(kernel, sameData(kernel, machine.report), use);
}

/**
 * As {@link withDataFilesystem}, for slots that are files there. An image that keeps no state boots without the data filesystem:
 * then it is the one that the control file names.
 *
 * @param what is looked for, for the refusal: "slot c"
 */
export function withSlotData<Result>(kernel: Kernel, machine: Machine, what: string, use: (data: Descriptor) => Result): Result {
  const { report, control } = machine;
  const failed = report.warnings.some((warning) => warning.startsWith("no data filesystem"));
  if (report.data !== null || control.data === null || failed) return withDataFilesystem(kernel, machine, use);
  const { device: reference, filesystem } = control.data;
  const device = deviceOnBootDisk(kernel, machine, `the data filesystem of ${what}`, reference);
  const found = superblockOf(kernel, device);
  if (found?.type !== filesystem) {
    throw new Refusal(`${what}: ${device} has ${found?.type ?? "no known filesystem"}, the control file says ${filesystem}`);
  }
  return withMounted(kernel, { device, filesystem }, use);
}

function withMounted<Result>(
  kernel: Kernel,
  { device, filesystem }: { device: string; filesystem: DataFilesystem },
  use: (data: Descriptor) => Result,
): Result {
  const mount = (place: string): Descriptor => {
    try {
      return mountDataFilesystem(kernel, device, filesystem, place);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== "EBUSY") throw error;
      return mountReadOnly(kernel, device, place, filesystem, "");
    }
  };
  return withOwnMount(kernel, "data", `the data filesystem on ${device} cannot be mounted`, mount, use);
}

/**
 * Mounts the running slot's image once more, so that what it has below the mounts upon it can be seen: read-only, and without
 * a journal's replay. As {@link withDataFilesystem} otherwise. Throws Refusal where its device cannot be mounted any more.
 */
export function withImage<Result>(kernel: Kernel, machine: Machine, use: (root: Descriptor) => Result): Result {
  const { slotDevice, verity } = machine.report;
  // dm-verity holds the slot's own device.
  const device = verity?.device ?? slotDevice;
  const { type, options } = imageMount(device, superblockOf(kernel, device)?.type ?? null);
  const mount = (place: string) => mountReadOnly(kernel, device, place, type, options);
  return withOwnMount(kernel, "image", `the image on ${device} cannot be mounted`, mount, use);
}

/** As {@link withImage}, with the image of another slot on `device`, proven or not. */
export function withSlotImage<Result>(kernel: Kernel, slot: string, device: string, use: (root: Descriptor) => Result): Result {
  const { type, options } = imageMount(device, superblockOf(kernel, device)?.type ?? null);
  const mount = (place: string) => mountReadOnly(kernel, device, place, type, options);
  return withOwnMount(kernel, "image", `the image in slot ${slot} cannot be mounted from ${device}`, mount, use);
}

function sameData(kernel: Kernel, report: BootReport): { device: string; filesystem: DataFilesystem } {
  const { data } = report;
  if (data === null) {
    const why = report.warnings.find((warning) => warning.startsWith("no data filesystem"));
    throw new Refusal(
      `this boot has no data filesystem, so no state is kept (${why ?? "no operator of the image needs one"}); see slipway status`,
    );
  }
  const filesystem = DATA_FILESYSTEMS.find((type) => type === data.filesystem);
  const uuid = superblockOf(kernel, data.device)?.uuid ?? "unknown";
  if (filesystem !== undefined && uuid === data.uuid) return { device: data.device, filesystem };
  throw new Refusal(
    `${data.device} holds the filesystem ${uuid} now, this boot began with ${data.filesystem} ${data.uuid}; reboot, so that state is laid again`,
  );
}

function superblockOf(kernel: Kernel, device: string): Superblock | null {
  const read = () => withOpen(kernel, device, O.RDONLY, (fd) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n)));
  return refuseErrors(`${device} cannot be read`, read);
}

/** Mounts at a place that nobody else has, and sees. */
function withOwnMount<Result>(
  kernel: Kernel,
  what: "data" | "image",
  failed: string,
  mount: (place: string) => Descriptor,
  use: (root: Descriptor) => Result,
): Result {
  // Two commands at once must not take away each other's directory.
  const place = `${RUN.directory}/${what}-${kernel.processId()}`;
  refuseErrors("no mount namespace of its own", () => kernel.privateMounts());
  const root = refuseErrors(failed, () => {
    makeDirectories(kernel, place, 0o700);
    try {
      return mount(place);
    } catch (error) {
      kernel.remove(place, { directory: true });
      throw error;
    }
  });
  try {
    return use(root);
  } finally {
    kernel.close(root);
    detachDataFilesystem(kernel, place);
  }
}

function mountReadOnly(kernel: Kernel, device: string, place: string, type: string, options: string): Descriptor {
  kernel.mount(device, place, type, MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOATIME, options);
  try {
    return kernel.open(place, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
  } catch (error) {
    kernel.unmount(place, MNT.DETACH);
    throw error;
  }
}

function refuseErrors<Result>(what: string, run: () => Result): Result {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const remedy = error.code === "EPERM" || error.code === "EACCES" ? "run this as root" : "is the disk still there and sound?";
    throw new Refusal(`${what} (${error.code}); ${remedy}`);
  }
}
