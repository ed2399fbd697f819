import type { FilesystemType } from "../../boot/devices/superblock.ts";
import { letterModules } from "../../boot/recovery/media.ts";
import { MNT, MS, O } from "../kernel/constants.ts";
import { makeDirectories } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { setReadOnly } from "../sequence/image.ts";
import type { Launch } from "../sequence/launch.ts";

/** Below it media are mounted, each at the name of its device, where nobody but PID 1 comes by. */
const PLACES = "/run/slipway/media";

/** What is made by somebody else is read, and nothing of it acts: no program, no device, no link. */
const FLAGS = MS.RDONLY | MS.NOSUID | MS.NODEV | MS.NOEXEC | MS.NOSYMFOLLOW | MS.NOATIME;

export interface MediumDevice {
  /** "sda1" */
  name: string;
  path: string;
  readOnly: boolean;
}

/** A filesystem that somebody else made, mounted for reading for as long as one holds it. */
export class Medium {
  #holders = 1;

  private constructor(
    readonly kernel: Kernel,
    readonly device: MediumDevice,
    readonly place: string,
    readonly root: Descriptor,
  ) {}

  /**
   * Mounts it; the device cannot be written to meanwhile, since some filesystems do so even where they are mounted for reading
   * (the orphans of an ext4). Held by the caller. Throws KernelError.
   */
  static mount(boot: Launch, device: MediumDevice, type: FilesystemType, options: string): Medium {
    const { kernel } = boot;
    const place = `${PLACES}/${device.name}`;
    boot.loadForFilesystem(type);
    for (const module of letterModules(type)) boot.modules?.loadNamed(module);
    makeDirectories(kernel, place, 0o700);
    const undo: (() => void)[] = [() => removePlace(kernel, place)];
    try {
      if (!device.readOnly) {
        setReadOnly(kernel, device.path, true);
        undo.unshift(() => setReadOnly(kernel, device.path, false));
      }
      kernel.mount(device.path, place, type, FLAGS, options);
      undo.unshift(() => kernel.unmount(place, MNT.DETACH | MNT.NOFOLLOW));
      return new Medium(kernel, device, place, kernel.open(place, O.RDONLY | O.DIRECTORY | O.NOFOLLOW));
    } catch (error) {
      for (const step of undo) quietly(step);
      throw error;
    }
  }

  /** One more holds it. */
  hold(): this {
    this.#holders++;
    return this;
  }

  /** One holds it no more; with the last one it is unmounted. Never throws: the medium may be gone. */
  release(): void {
    if (--this.#holders > 0) return;
    const { kernel, device, place, root } = this;
    quietly(() => kernel.close(root));
    quietly(() => kernel.unmount(place, MNT.DETACH | MNT.NOFOLLOW));
    if (!device.readOnly) quietly(() => setReadOnly(kernel, device.path, false));
    quietly(() => removePlace(kernel, place));
  }
}

/** And the directory above, once nothing is in it. */
function removePlace(kernel: Kernel, place: string): void {
  kernel.remove(place, { directory: true });
  kernel.remove(PLACES, { directory: true });
}

function quietly(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
  }
}
