/** Sealed images as the builder's verbs look at them: in a file, on a device, or the .idx of one. */
import { type ImageLayout, imageSizeOf, type Seal } from "../../../boot/image/seal.ts";
import { BLOCK, decodeVeritySuperblock } from "../../../boot/image/verity.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { type Reader, readSeal } from "../../image/read-seal.ts";
import { O } from "../../kernel/constants.ts";
import { sizeOf } from "../../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { reasonOf } from "../input.ts";

export interface OpenImage {
  /** As the command line named it. */
  name: string;
  kind: "file" | "device" | "index";
  fd: Descriptor;
  /** Which byte of the image `fd` begins with: not 0 for an .idx. */
  base: number;
  /** Where what there is ends, counted from the image's start. */
  end: number;
  seal: Seal;
  layout: ImageLayout;
  /** Bytes of the whole image. */
  size: number;
  /** Reads at offsets of the image. */
  reader: Reader;
}

/**
 * Opens a sealed image; nothing but the form of its seal is checked.
 *
 * @throws BadInput where there is no sealed image, Error where one is damaged
 */
export function openImage(kernel: Kernel, name: string): OpenImage {
  const fd = open(kernel, name);
  try {
    const { kind } = kernel.status(fd);
    if (kind !== "file" && kind !== "block") throw new BadInput(`${name} is a ${kind}; give an image file, a device or an .idx`);
    const start = decodeVeritySuperblock(kernel.read(fd, BLOCK, 0n));
    const base = "parameters" in start ? start.parameters.dataBlocks * BLOCK : 0;
    const end = sizeOf(kernel, fd) + BigInt(base);
    const reader: Reader = {
      read: (from, length, offset) => {
        const at = (offset ?? 0n) - BigInt(base);
        return at < 0n ? new Uint8Array(0) : kernel.read(from, length, at);
      },
    };
    const reading = readSeal(reader, fd, end);
    if (reading.is === "fault") throw new Error(`${name} is damaged: ${reading.reason}`);
    if (reading.is === "unsealed") {
      throw new BadInput(`${name} is no sealed image: ${reading.reason}; slipway image seal makes it one`);
    }
    const { seal, layout, by } = reading;
    if (kind === "file" && by !== "footer") {
      throw new Error(`${name} has no footer in its last ${BLOCK} bytes: was it cut off, or something appended?`);
    }
    const size = imageSizeOf(seal.manifest, seal.bytes.length);
    if (kind === "file" && BigInt(size) !== end) {
      throw new Error(`${name} has ${end - BigInt(base)} bytes, and must have ${size - base}: was something added in it?`);
    }
    if (base !== 0 && base !== layout.hashOffset) {
      throw new Error(
        `${name} begins with the verity superblock of a filesystem of ${base} bytes, the seal says ${layout.hashOffset}`,
      );
    }
    return {
      name,
      kind: base !== 0 ? "index" : kind === "file" ? "file" : "device",
      fd,
      base,
      end: Number(end),
      seal,
      layout,
      size,
      reader,
    };
  } catch (error) {
    kernel.close(fd);
    throw error;
  }
}

/** Opens a sealed image, hands it to `use`, and closes it whatever happens. */
export async function withImage<Result>(
  kernel: Kernel,
  name: string,
  use: (image: OpenImage) => Result | Promise<Result>,
): Promise<Result> {
  const image = openImage(kernel, name);
  try {
    return await use(image);
  } finally {
    kernel.close(image.fd);
  }
}

function open(kernel: Kernel, name: string): Descriptor {
  try {
    return kernel.open(name, O.RDONLY | O.NONBLOCK);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new BadInput(`${name} cannot be read: ${error.code === "ENOENT" ? "no such file or directory" : reasonOf(error)}`);
  }
}
