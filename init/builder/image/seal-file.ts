import { PAYLOAD_TYPE } from "../../../boot/image/envelope.ts";
import { encodeFooter, footerOf } from "../../../boot/image/footer.ts";
import {
  decodeSeal,
  encodeManifest,
  type ImageFilesystem,
  imageSizeOf,
  layoutOf,
  type Needs,
  type Seal,
  superblockOf,
} from "../../../boot/image/seal.ts";
import { TreeBuilder } from "../../../boot/image/tree-build.ts";
import { BLOCK, saltOf } from "../../../boot/image/verity.ts";
import { withProgress } from "../../image/progress.ts";
import { O } from "../../kernel/constants.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { type SigningKey, signEnvelope } from "../keys/signing-key.ts";

/** What a seal says of an image, beside what follows from the image itself. */
export interface SealContent {
  system: string;
  version: string;
  rollbackIndex: number;
  revokesBelow: number | null;
  needs: Needs;
  /** None: the image is unsigned. */
  keys: readonly SigningKey[];
  /** The kernel's own signature of a root hash (Manifest.kernelSignature). */
  kernelSignature(rootHash: string): Promise<string | null>;
}

/** A filesystem in a file, from its start. `size` with its padding. */
export interface FilesystemExtent {
  type: ImageFilesystem;
  size: number;
}

/** Bytes that are read and hashed between two turns of the event loop. */
const PIECE = 4 * 1024 * 1024;

/**
 * Makes `file`, a filesystem, a sealed image: cut or padded with zeros to the filesystem's size, then the hash tree, the seal
 * and the footer. Reads the filesystem once; memory does not grow with it. Not safe against a crash: `file` is a scratch file.
 */
export async function sealFile(kernel: Kernel, file: string, filesystem: FilesystemExtent, content: SealContent): Promise<Seal> {
  const fd = kernel.open(file, O.RDWR);
  try {
    kernel.truncate(fd, BigInt(filesystem.size));
    const salt = saltOf(content.system).toHex();
    const rootHash = await writeTree(kernel, fd, filesystem.size, salt);
    const manifest = {
      schema: 1 as const,
      system: content.system,
      version: content.version,
      filesystem: filesystem.type,
      filesystemSize: filesystem.size,
      rootHash,
      salt,
      rollbackIndex: content.rollbackIndex,
      revokesBelow: content.revokesBelow,
      needs: content.needs,
      kernelSignature: await content.kernelSignature(rootHash),
    };
    const bytes = signEnvelope(PAYLOAD_TYPE.seal, encodeManifest(manifest), content.keys);
    kernel.write(fd, superblockOf(manifest), BigInt(layoutOf(manifest).hashOffset));
    return writeSeal(kernel, fd, bytes);
  } finally {
    kernel.close(fd);
  }
}

/**
 * Writes the seal `bytes` and the footer behind the tree, in place of others.
 *
 * @param base which byte of the image the file begins with: not 0 for an .idx
 * @throws BadInput where no reader would take it
 */
export function writeSeal(kernel: Kernel, fd: Descriptor, bytes: Uint8Array, base = 0): Seal {
  const seal = decodeSeal(bytes);
  const { sealOffset } = layoutOf(seal.manifest);
  const size = imageSizeOf(seal.manifest, bytes.length);
  kernel.truncate(fd, BigInt(sealOffset - base));
  kernel.truncate(fd, BigInt(size - base));
  kernel.write(fd, bytes, BigInt(sealOffset - base));
  kernel.write(fd, encodeFooter(footerOf(bytes, sealOffset)), BigInt(size - BLOCK - base));
  return seal;
}

/** Writes the hash tree to its place behind the filesystem, and returns the root hash. */
async function writeTree(kernel: Kernel, fd: Descriptor, filesystemSize: number, salt: string): Promise<string> {
  const { dataBlocks, treeOffset } = layoutOf({ filesystemSize });
  const builder = new TreeBuilder(salt, dataBlocks, (treeBlock, block) =>
    kernel.write(fd, block, BigInt(treeOffset + treeBlock * BLOCK)),
  );
  const buffer = new Uint8Array(new ArrayBuffer(PIECE));
  await withProgress("hash tree", filesystemSize, async (onBytes) => {
    for (let at = 0; at < filesystemSize; at += PIECE) {
      const length = Math.min(PIECE, filesystemSize - at);
      const bytes = buffer.subarray(0, length);
      const got = kernel.readInto(fd, bytes, BigInt(at));
      if (got !== length) throw new Error(`it ends at byte ${at + got}; did something cut it off?`);
      builder.add(bytes);
      onBytes(at + length);
      await new Promise(setImmediate); // a signal ends us in between
    }
  });
  return builder.rootHash();
}
