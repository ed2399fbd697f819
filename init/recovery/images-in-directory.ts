/** What lies on a filesystem that somebody else made: a channel's directory, or images. Nothing of it is followed out of it. */
import { CHANNEL_FILE, LONGEST_CHANNEL, type NamedRelease, releaseFault } from "../../boot/channel/channel.ts";
import type { ImageLayout, Seal } from "../../boot/image/seal.ts";
import type { ImageId } from "../../boot/record/record.ts";
import { mediumDirectories } from "../../boot/recovery/media.ts";
import { readSeal } from "../image/read-seal.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, KernelError } from "../kernel/kernel.ts";
import { openBeneath, withDescriptor } from "../state/beneath.ts";
import type { ImageSearch } from "./image-search.ts";
import { releasesIn } from "./releases-in-channel.ts";

/** Names of a directory that are looked at: nobody has more of use, and somebody may have made millions. */
const MOST_NAMES = 4096;
/** Images of a directory that are looked into. */
const MOST_IMAGES = 64;

/** An image in a file of a filesystem, or on a device. */
export interface LyingImage {
  imageId: ImageId;
  version: string;
  /** For people: "/dev/sda1: slipway/acme-2.img". */
  name: string;
  seal: Seal;
  layout: ImageLayout;
  /** Opens it once more. Throws KernelError. */
  open(): Descriptor;
}

/** Every image at the usual places of the filesystem with that root, on `device`, that is looked for and may be taken. */
export async function imagesOn(search: ImageSearch, root: Descriptor, device: string): Promise<LyingImage[]> {
  const found: LyingImage[] = [];
  for (const directory of mediumDirectories(search.desk.boot.control.system)) {
    found.push(...(await new Directory(search, root, directory, device).images()));
  }
  return found;
}

class Directory {
  constructor(
    readonly search: ImageSearch,
    readonly root: Descriptor,
    readonly path: string,
    readonly device: string,
  ) {}

  async images(): Promise<LyingImage[]> {
    const { kernel } = this.search.desk.boot;
    if (!this.#isThere()) return [];
    const found: LyingImage[] = [];
    const seen = new Set<string>();
    const look = async (file: string, named: NamedRelease | null) => {
      if (seen.has(file)) return;
      seen.add(file);
      await this.search.desk.boot.breathe();
      this.search.desk.signal.throwIfAborted();
      const image = await this.#image(file, named);
      if (image !== null) found.push(image);
    };
    const channel = this.#channelFile();
    const place = this.#shown(CHANNEL_FILE);
    for (const named of channel === null ? [] : ((await releasesIn(this.search, place, channel)) ?? [])) {
      await look(named.release.image, named);
    }
    for (const file of this.#imageFiles(kernel)) await look(file, null);
    return found;
  }

  /** A directory that is not there is not worth a word, and neither is a file of such a name. */
  #isThere(): boolean {
    try {
      this.#with(".", O.RDONLY | O.DIRECTORY, () => {});
      return true;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      const { code } = error;
      if (code !== "ENOENT" && code !== "ENOTDIR") this.search.refuse(this.#shown(""), whyUnreadable(code));
      return false;
    }
  }

  /** Bytes of the channel's file; null where there is none that could be one. */
  #channelFile(): Uint8Array | null {
    const { kernel } = this.search.desk.boot;
    return this.#reading(CHANNEL_FILE, (fd) => {
      if (kernel.status(fd).kind !== "file") return null;
      return kernel.read(fd, LONGEST_CHANNEL + 1, 0n);
    });
  }

  #imageFiles(kernel: ImageSearch["desk"]["boot"]["kernel"]): string[] {
    const names = this.#reading(".", (fd) => kernel.readDirectory(fd, MOST_NAMES)) ?? [];
    const images = names.map(({ name }) => new TextDecoder().decode(name)).filter((name) => name.toLowerCase().endsWith(".img"));
    if (images.length > MOST_IMAGES) {
      this.search.refuse(
        this.#shown(""),
        `${images.length} files are named *.img, of which the first ${MOST_IMAGES} are looked at`,
      );
    }
    return images.slice(0, MOST_IMAGES);
  }

  async #image(file: string, named: NamedRelease | null): Promise<LyingImage | null> {
    const { kernel } = this.search.desk.boot;
    const name = this.#shown(file);
    const reading = this.#reading(file, (fd) => {
      const { kind, size } = kernel.status(fd);
      if (kind !== "file") return { is: "fault" as const, reason: `it is a ${kind}, no file` };
      if (size > BigInt(Number.MAX_SAFE_INTEGER)) return { is: "fault" as const, reason: `it says that it has ${size} bytes` };
      const seal = readSeal(kernel, fd, size);
      const other = seal.is === "sealed" && named !== null ? releaseFault(named, seal.seal.manifest, Number(size)) : null;
      return other === null ? seal : { is: "fault" as const, reason: other };
    });
    if (reading === null) return null;
    if (reading.is !== "sealed") {
      this.search.refuse(name, `no image that could be used: ${reading.reason}`);
      return null;
    }
    const { seal, layout } = reading;
    if (!(await this.search.takes(seal, name))) return null;
    const { rootHash: imageId, version } = seal.manifest;
    return { imageId, version, name, seal, layout, open: () => this.#open(file, O.RDONLY) };
  }

  /** Opens what has that name in the directory, and nothing that a link leads to; a fifo is not waited for. */
  #open(name: string, flags: number): Descriptor {
    const { kernel } = this.search.desk.boot;
    return openBeneath(kernel, this.root, `${this.path}/${name}`, flags | O.NONBLOCK | O.NOCTTY);
  }

  #with<Result>(name: string, flags: number, use: (fd: Descriptor) => Result): Result {
    return withDescriptor(this.search.desk.boot.kernel, () => this.#open(name, flags), use);
  }

  /** Null, and a word to people, where it cannot be read; null alone where it is not there. */
  #reading<Result>(name: string, use: (fd: Descriptor) => Result): Result | null {
    try {
      return this.#with(name, O.RDONLY, use);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.code !== "ENOENT") this.search.refuse(this.#shown(name), whyUnreadable(error.code));
      return null;
    }
  }

  /** "/dev/sda1: slipway/acme-2.img" */
  #shown(file: string): string {
    const path = [this.path, file].filter((part) => part !== "." && part !== "").join("/");
    return path === "" ? this.device : `${this.device}: ${path}`;
  }
}

function whyUnreadable(code: string): string {
  if (code === "ELOOP") return "it is a link, and links on a medium are not followed";
  if (code === "EACCES" || code === "ENXIO") return "it is a device, and devices on a medium are not opened";
  return `it cannot be read (${code}); is the medium damaged?`;
}
