/** The network's profile as bytes on the boot record's partition. */
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { type NetworkProfile, networkProfile } from "../network/profile.ts";
import { decodeFrame, encodeFrame, isZero } from "./frame.ts";
import { RECORD_LAYOUT } from "./store.ts";

export interface ProfileReading {
  /** Null where neither copy holds one. */
  profile: NetworkProfile | null;
  /** Highest sequence seen, 0 without one; the next write takes this plus one. */
  sequence: number;
  /** The copy to write next: never the one that `profile` came from. */
  nextCopy: 0 | 1;
  /** What is wrong with copies that are not blank; null when nothing is. */
  reason: string | null;
}

interface CopyReading {
  profile: NetworkProfile | null;
  sequence: number;
  reason: string | null;
}

function readCopy(area: Uint8Array): CopyReading {
  if (isZero(area)) return { profile: null, sequence: 0, reason: null };
  const { frame, reason } = decodeFrame("network", area.subarray(0, RECORD_LAYOUT.profileSize));
  if (frame === null) return { profile: null, sequence: 0, reason };
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(frame.payload));
    return { profile: networkProfile(value), sequence: frame.sequence, reason: null };
  } catch (error) {
    return { profile: null, sequence: frame.sequence, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Reads the areas of both copies (up to 16 KiB each). Never throws; bytes that are no profile are none. */
export function readProfile(copies: readonly [Uint8Array, Uint8Array]): ProfileReading {
  const [first, second] = [readCopy(copies[0]), readCopy(copies[1])];
  const newest = second.profile !== null && (first.profile === null || second.sequence > first.sequence) ? second : first;
  const faults = [first, second].flatMap(({ reason }, index) => (reason === null ? [] : [`copy ${index}: ${reason}`]));
  return {
    profile: newest.profile,
    sequence: Math.max(first.sequence, second.sequence),
    nextCopy: newest === first && first.profile !== null ? 1 : 0,
    reason: faults.length > 0 ? faults.join("; ") : null,
  };
}

/**
 * The bytes to write at the start of the copy `nextCopy`: a frame with canonical JSON, padded with zeros to a multiple of 4096.
 * Throws RangeError above 16 KiB, which the limits of a profile exclude.
 */
export function encodeProfile(profile: NetworkProfile, sequence: number): Uint8Array {
  const { links, nameservers, proxy } = profile;
  const copied = links.map(({ hardware, name, addresses, gateways }) => ({ hardware, name, addresses, gateways }));
  const text = canonicalJson({ schema: 1, links: copied, nameservers, proxy });
  const frame = encodeFrame("network", sequence, new TextEncoder().encode(text));
  const { profileSize, writeUnit } = RECORD_LAYOUT;
  if (frame.length > profileSize) throw new RangeError(`a network profile of ${frame.length} bytes, its area has ${profileSize}`);
  const padded = new Uint8Array(Math.ceil(frame.length / writeUnit) * writeUnit);
  padded.set(frame);
  return padded;
}
