/** Images on their way into a channel's directory. */
import { join } from "node:path";
import { INDEX_SUFFIX } from "../../../boot/channel/channel.ts";
import type { Publication } from "../../../boot/channel/publication.ts";
import type { Manifest } from "../../../boot/image/seal.ts";
import { judgeEnvelope, type Trust } from "../../../boot/image/trust.ts";
import { canonicalJson } from "../../../state-ops/canonical-json.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { copySparse } from "../disk/copy-sparse.ts";
import { writeIndex } from "../image/index-file.ts";
import { withImage } from "../image/open-image.ts";
import { proveImage } from "../image/prove-image.ts";
import { putFile } from "./directory.ts";

/** An image that is to be offered. */
export interface OfferedImage {
  /** As the command line named it. */
  file: string;
  manifest: Manifest;
  /** The seal's bytes: the same image may get other signatures later. */
  seal: Uint8Array;
  release: Publication["images"][number];
}

/** Reads the seal of an image file and judges its signatures; the rest of it is not looked at. @throws BadInput, Error */
export async function readOffered(kernel: Kernel, file: string, trust: Trust): Promise<OfferedImage> {
  return withImage(kernel, file, async ({ kind, seal, size }) => {
    if (kind !== "file")
      throw new BadInput(`${file} is ${kind === "device" ? "a device" : "an .idx"}; give the file of an image`);
    const { manifest, envelope } = seal;
    const verdict = await judgeEnvelope(`the seal of ${file}`, envelope, trust);
    if (!verdict.trusted) throw new BadInput(`${verdict.reason}; give the key that signed it with --trust`);
    const { system, version, rootHash, rollbackIndex } = manifest;
    return {
      file,
      manifest,
      seal: seal.bytes,
      release: { version, image: `${system}-${version}.img`, imageSize: size, rootHash, rollbackIndex },
    };
  });
}

/** What is done with an image before it is offered. */
export interface Care {
  trust: Trust;
  /** Whether the copy is read whole, against its tree. */
  prove: boolean;
}

/**
 * Whether the directory has image and index as they are offered, with the same signatures, and undamaged where that is to be seen:
 * else who gives an image once more, to mend it or to have it signed by another key too, would be told nothing and get nothing.
 */
export async function holdsImage(
  kernel: Kernel,
  { seal, release }: OfferedImage,
  directory: string,
  { trust, prove }: Care,
): Promise<boolean> {
  const isWhole = (file: string): Promise<boolean> =>
    withImage(kernel, join(directory, file), async (there) => {
      const same = Buffer.compare(there.seal.bytes, seal) === 0 && there.size === release.imageSize;
      return same && (!prove || (await proveImage(kernel, there, trust)).damages.length === 0);
    });
  try {
    return (await isWhole(release.image)) && (await isWhole(`${release.image}${INDEX_SUFFIX}`));
  } catch {
    return false; // not there, or not to be read: it is copied again
  }
}

/** Copies an image and its index into the directory, each whole or not at all. @throws BadInput where it is damaged */
export async function putImage(kernel: Kernel, offered: OfferedImage, directory: string, { trust, prove }: Care): Promise<void> {
  const { file, manifest, release } = offered;
  const path = join(directory, release.image);
  await putFile(path, async (copy) => {
    withOpen(
      kernel,
      copy,
      O.RDWR | O.CREAT | O.EXCL,
      (fd) => {
        kernel.truncate(fd, BigInt(release.imageSize));
        copySparse(kernel, file, fd, 0n);
        kernel.sync(fd);
      },
      { mode: 0o644 },
    );
    await withImage(kernel, copy, async (copied) => {
      if (canonicalJson(copied.seal.manifest) !== canonicalJson(manifest)) {
        throw new BadInput(`${file} was changed while it was copied; publish it again once it is whole`);
      }
      const { damages } = prove ? await proveImage(kernel, { ...copied, name: file }, trust) : { damages: [] };
      const [first] = damages;
      if (first !== undefined)
        throw new BadInput(`${file} is damaged: ${first.region}, byte ${first.offset}: ${first.text}; build it again`);
    });
  });
  await putFile(`${path}${INDEX_SUFFIX}`, async (index) => {
    await writeIndex(path, index);
  });
}
