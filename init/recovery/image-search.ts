import type { Seal } from "../../boot/image/seal.ts";
import type { BootRecord, ImageId } from "../../boot/record/record.ts";
import { type Offered, preferred, type RecoveryJudge, whyNotTaken } from "../../boot/recovery/judge-image.ts";
import { ownArchitecture } from "../version.ts";
import type { RecoveryDesk } from "./desk.ts";
import type { FoundImage } from "./found-image.ts";

/** Which images are looked for. */
export interface WantedImages {
  /** Only these, the first one first; null: any. */
  imageIds: readonly ImageId[] | null;
  /** None of these. */
  except: readonly ImageId[];
}

/** Takes why something that was looked at is not taken, one sentence each. */
export type Refused = (reason: string) => void;

/** One search for images, in whatever place. */
export class ImageSearch {
  readonly #told = new Set<string>();

  constructor(
    readonly desk: RecoveryDesk,
    readonly wanted: WantedImages,
    readonly refused: Refused,
  ) {}

  get record(): BootRecord {
    return this.desk.counters.record;
  }

  get judge(): RecoveryJudge {
    const { system, trust } = this.desk.boot.control;
    return { system, trust, architecture: ownArchitecture, record: this.record };
  }

  /** Whether an image is one of those that are looked for. */
  wants(imageId: ImageId): boolean {
    const { imageIds, except } = this.wanted;
    return (imageIds === null || imageIds.includes(imageId)) && !except.includes(imageId);
  }

  /** Whether the image with that seal, at `name`, is wanted and may be taken; says why where it may not. */
  async takes(seal: Seal, name: string): Promise<boolean> {
    if (!this.wants(seal.manifest.rootHash)) return false;
    const reason = await whyNotTaken(seal, this.judge);
    if (reason !== null) this.refuse(name, reason);
    return reason === null;
  }

  /** What is at `name` is not taken. */
  refuse(name: string, reason: string): void {
    this.tell(`${name}: ${reason}`);
  }

  /** Why something is not taken: told to people, and kept for the step's reason. The same is told once. */
  tell(line: string): void {
    if (this.#told.has(line)) return;
    this.#told.add(line);
    this.desk.boot.log.notice(line);
    this.desk.screen.say(line);
    this.refused(line);
  }

  /** Best first. */
  inOrder<Offer extends Offered>(offers: readonly Offer[]): Offer[] {
    return preferred(offers, this.record, this.wanted.imageIds);
  }

  /** Something was found, or answered. Throws where the search was given up. */
  advance(): void {
    this.desk.signal.throwIfAborted();
    this.desk.advanced();
  }
}

/**
 * Gives the image to whoever searches. Asking for the next one says that this one is of no use: it is closed then. Where the search
 * ends with it, closing it is up to who took it.
 */
export async function* give(image: FoundImage): AsyncGenerator<FoundImage> {
  yield image;
  await image.close();
}

/** The image with a {@link FoundImage.close} that closes its source and then lets go of what it lies on, once. */
export function foundImage(image: Omit<FoundImage, "close">, release: () => void = () => {}): FoundImage {
  let isOpen = true;
  return {
    ...image,
    close: async () => {
      if (!isOpen) return;
      isOpen = false;
      try {
        await image.source.close();
      } finally {
        release();
      }
    },
  };
}
