/** What attacks on a system image have in common: an image that is right, another one, and who is trusted. */
import { encodeFooter, type Footer, footerOf } from "../../../boot/image/footer.ts";
import type { PublicKey } from "../../../boot/image/keys.ts";
import { encodeManifest, type Manifest, superblockOf } from "../../../boot/image/seal.ts";
import type { Trust } from "../../../boot/image/trust.ts";
import {
  assembled,
  type ImageParts,
  imageOf,
  type KeyPair,
  keyPair,
  type SampleImage,
  sealOver,
  trustIn,
} from "../image-parts.ts";

/**
 * Where an attack is found out at the latest. `seal`: when footer and seal are read and judged, before anything else of the image
 * is looked at. `tree`, `data`: by the hashes. `form`: where a file must be an image to its last byte (`slipway image verify`);
 * what is altered there is not used by anything else.
 */
export type FoundBy = "seal" | "tree" | "data" | "form";

/** A spoiled image. */
export interface Attack {
  name: string;
  foundBy: FoundBy;
  /** What the refusal says, for those found by the seal. */
  words: RegExp;
  make(): Uint8Array;
}

/** Everything that attacks are made of. */
export interface AttackedWorld {
  /** The three keys that are trusted, of which two must have signed. */
  keys: [KeyPair, KeyPair, KeyPair];
  stranger: KeyPair;
  trusted: PublicKey[];
  trust: Trust;
  system: string;
  /** The rollback index that images must have at least. */
  floor: number;
  /** The image that is right, and one of the same system that is as right, of another filesystem. */
  image: SampleImage;
  other: SampleImage;
}

export const FLOOR = 5;

/** The world of two filesystems of whole blocks. */
export function attackedWorld(filesystem: Uint8Array, other: Uint8Array, system = "small"): AttackedWorld {
  const keys: AttackedWorld["keys"] = [keyPair("first"), keyPair("second"), keyPair("third")];
  const signers = keys.slice(0, 2);
  return {
    ...{ keys, stranger: keyPair("stranger"), trusted: keys.map(({ publicKey }) => publicKey), trust: trustIn(keys, 2) },
    ...{ system, floor: FLOOR },
    image: imageOf(filesystem, signers, { system, version: "5", rollbackIndex: FLOOR }),
    other: imageOf(other, signers, { system, version: "6", rollbackIndex: FLOOR + 1 }),
  };
}

/** `bytes` with `mask` over the byte at `at`; counted from the end where it is negative. */
export function flipped(bytes: Uint8Array, at: number, mask = 0x01): Uint8Array {
  const copy = bytes.slice();
  const place = at < 0 ? copy.length + at : at;
  copy[place] = (copy[place] ?? 0) ^ mask;
  return copy;
}

/** The image with other parts, and a footer that fits the seal unless one is given. */
export function withParts({ image }: AttackedWorld, parts: Partial<ImageParts>, footer: Partial<Footer> = {}): Uint8Array {
  const seal = parts.seal ?? image.parts.seal;
  const fitting = encodeFooter({ ...footerOf(seal, image.layout.sealOffset), ...footer });
  return assembled({ ...image.parts, footer: fitting, ...parts });
}

/** The image with a seal over a manifest that is changed, signed by those who are trusted, superblock and all. */
export function withManifest(world: AttackedWorld, change: Partial<Manifest>): Uint8Array {
  const manifest = { ...world.image.manifest, ...change };
  const seal = sealOver(encodeManifest(manifest), world.keys.slice(0, 2));
  return withParts(world, { seal, superblock: superblockOf(manifest) });
}

/** The image with a seal over `text`, whatever it is, signed by those who are trusted. */
export function withPayload(world: AttackedWorld, text: string): Uint8Array {
  return withParts(world, { seal: sealOver(new Uint8Array(Buffer.from(text)), world.keys.slice(0, 2)) });
}

/** Collects attacks: what they are found by is said once for all of a kind. */
export function attacks(foundBy: FoundBy, list: [name: string, words: RegExp, make: () => Uint8Array][]): Attack[] {
  return list.map(([name, words, make]) => ({ name, foundBy, words, make }));
}
