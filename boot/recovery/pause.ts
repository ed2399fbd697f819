import { sha256Bytes } from "../../state-ops/sha256.ts";

/** A fleet that failed together must not come back together. */
const JITTER = 0.2;

/** `seconds`, up to a fifth more or less: `seed` says how much, so that machines differ, and two boots of one do. Whole seconds. */
export function jitteredPause(seconds: number, seed: string): number {
  const [high = 0, low = 0] = sha256Bytes(new TextEncoder().encode(seed));
  const share = (high * 256 + low) / 65535;
  return Math.max(1, Math.round(seconds * (1 - JITTER + 2 * JITTER * share)));
}
