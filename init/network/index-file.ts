import { decodeFooter } from "../../boot/image/footer.ts";
import { LONGEST_SEAL, paddedSealLength } from "../../boot/image/seal.ts";
import { BLOCK, MOST_DATA_BLOCKS, treeBlocks } from "../../boot/image/verity.ts";
import { Gathered } from "../../boot/network/gathered.ts";
import { besides } from "../../boot/network/source-url.ts";
import { beginsAsWebPage, WEB_PAGE } from "../../boot/network/web-page.ts";
import { type ByteRange, SourceError } from "../converge/source.ts";
import { type Attempts, NotThere } from "./attempts.ts";
import type { StreamedFile } from "./stream-fetch.ts";

/**
 * IMAGE.idx, which lies beside an image: its bytes from the verity superblock to the end, so that a server without ranges can
 * be read too. Nothing in it is believed: whoever uses it proves seal and tree.
 */
export interface ImageIndex extends StreamedFile {
  /** Bytes of the image that it belongs to. */
  imageSize: number;
  /** Its bytes of `range`, where they are held in memory; else null. */
  held(range: ByteRange): Uint8Array | null;
}

/** An index is held up to this many bytes (of an image of 4 GiB); of a longer one only its end, with seal and footer. */
const MOST_HELD = 32 * 1024 * 1024;
const TAIL = LONGEST_SEAL + BLOCK;
/** No image has a longer one. */
const LONGEST_INDEX = BLOCK + treeBlocks(MOST_DATA_BLOCKS) * BLOCK + TAIL;

/**
 * Fetches the index beside `attempts`' image. Throws SourceError.
 *
 * @param imageSize of the image, which is longer than its index; null where the server did not say
 */
export async function fetchIndex(attempts: Attempts, signal: AbortSignal, imageSize: number | null): Promise<ImageIndex> {
  const { client } = attempts;
  const { name } = besides(client.url, ".idx");
  const { bytes, length, known } = await readEnd(
    attempts,
    name,
    signal,
    Math.min(LONGEST_INDEX, imageSize ?? LONGEST_INDEX),
  ).catch((error: unknown) => {
    if (!(error instanceof NotThere)) throw error;
    const remedy = "publish the image with slipway publish, which writes its .idx, or from a server with range requests";
    throw new SourceError(`${client.url.name} is on a server without range requests, and ${error.message}; ${remedy}`);
  });
  if (beginsAsWebPage(bytes)) throw new SourceError(`${name} ${WEB_PAGE}`);
  const reading = decodeFooter(bytes.subarray(-BLOCK), Number.MAX_SAFE_INTEGER);
  if (reading.is !== "footer") {
    const seen = reading.is === "fault" ? reading.reason : "no footer at its end";
    throw new SourceError(`${name} is no index of an image: ${seen}; make it with slipway publish`);
  }
  const { sealOffset, sealLength } = reading.footer;
  const sealedSize = sealOffset + paddedSealLength(sealLength) + BLOCK;
  const base = sealedSize - length;
  if (base < 0 || base > sealOffset || base % BLOCK !== 0) {
    throw new SourceError(`${name} has ${length} bytes, which an index of an image of ${sealedSize} bytes cannot have`);
  }
  const heldFrom = sealedSize - bytes.length;
  const held = (range: ByteRange): Uint8Array | null =>
    range.offset < heldFrom ? null : bytes.slice(range.offset - heldFrom, range.offset - heldFrom + range.length);
  return { suffix: ".idx", name, base, known, imageSize: sealedSize, held };
}

/** The whole file, or its end where it is long; and how long it is. One of more than `most` bytes is none. */
async function readEnd(attempts: Attempts, name: string, signal: AbortSignal, most: number) {
  const { client } = attempts;
  return attempts.run(name, signal, async () => {
    const reply = await client.ask(".idx", null, null);
    const answer = client.answerIn(reply);
    const known = reply.is === "wanted" ? reply.version : { size: null, etag: null, modified: null };
    const gathered = new Gathered();
    let length = 0;
    try {
      for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) {
        client.transferred += bytes.length;
        length += bytes.length;
        if (length > most) {
          throw new SourceError(
            `${name} has more than ${most} bytes, and no index of its image has; make it with slipway publish`,
          );
        }
        gathered.add(bytes);
        if (length > MOST_HELD) gathered.keepLast(TAIL);
      }
    } finally {
      client.release(answer);
    }
    return { bytes: gathered.bytes, length, known };
  });
}
