import { decodeFooter } from "../../boot/image/footer.ts";
import { decodeSeal, type ImageLayout, layoutOf, paddedSealLength, type Seal } from "../../boot/image/seal.ts";
import { BLOCK } from "../../boot/image/verity.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { sha256Bytes } from "../../state-ops/sha256.ts";
import { type ImageSource, SourceError } from "./source.ts";

/**
 * The seal of the image that a source has. Nothing is proven by that: signatures and tree still have to be checked. Throws
 * SourceError where there is no image, what there is is damaged, or it is another one than the source was opened for.
 */
export async function readSourceSeal(source: ImageSource): Promise<{ seal: Seal; layout: ImageLayout }> {
  const size = await source.size();
  const none = (what: string): never => {
    throw new SourceError(`${source.name} is no sealed image: ${what}; make one with slipway image build, or slipway image seal`);
  };
  if (size % BLOCK !== 0 || size < 4 * BLOCK) return none(`${size} bytes are not the size of one`);
  const reading = decodeFooter(await source.read({ offset: size - BLOCK, length: BLOCK }), size);
  if (reading.is === "none") return none("its last 4096 bytes are no footer");
  if (reading.is === "fault") throw damaged(source, reading.reason);
  const { sealOffset, sealLength, sealDigest } = reading.footer;
  const padded = await source.read({ offset: sealOffset, length: paddedSealLength(sealLength) });
  const bytes = padded.slice(0, sealLength);
  if (Buffer.compare(sha256Bytes(bytes), sealDigest) !== 0)
    throw damaged(source, "the seal is not the one that the footer names");
  try {
    const seal = decodeSeal(bytes);
    const layout = layoutOf(seal.manifest);
    const other = source.otherThanNamed?.(seal.manifest, size) ?? null;
    if (other !== null) throw new SourceError(`${source.name}: ${other}`);
    if (layout.sealOffset === sealOffset) return { seal, layout };
    throw damaged(source, `the seal lies at ${sealOffset}, an image of its size has it at ${layout.sealOffset}`);
  } catch (error) {
    if (error instanceof BadInput) throw damaged(source, error.message);
    throw error;
  }
}

function damaged(source: ImageSource, reason: string): SourceError {
  return new SourceError(`${source.name}: ${reason}; publish the image again`);
}
