/**
 * Which machines a release is offered to while its rollout share is below 100 %. Each machine works that out for itself, from
 * its machine id, which never leaves it: the server learns nothing, and needs to do nothing.
 */
import { sha256Bytes } from "../../state-ops/sha256.ts";

/**
 * Where a machine stands in the rollout of one image: a number from 0 up to, not including, 100. It never changes, is spread
 * evenly over machines, and is another one for each image, so that not the same machines always come first.
 */
export function rolloutPlace(machineId: string, rootHash: string): number {
  const digest = sha256Bytes(`slipway rollout 1\n${rootHash}\n${machineId}`);
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  return (view.getUint32(0) * 100) / 2 ** 32;
}

/** Whether a machine at `place` has the release. 100 is for all and 0 for none; a larger share never takes a machine out. */
export function isOffered(place: number, share: number): boolean {
  return place < share;
}
