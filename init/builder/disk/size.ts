import { BadInput } from "../../../state-ops/outcome.ts";

export const MiB = 1024n * 1024n;

const factors: Record<string, bigint> = { "": 1n, K: 1024n, M: MiB, G: 1024n * MiB, T: 1024n * 1024n * MiB };

/** Of a file: off_t is signed. */
const mostBytes = 2n ** 63n - 1n;

/** Bytes of "4G", "512M", "512MiB" or a plain number; powers of 1024. @throws BadInput naming `option` */
export function parseSize(option: string, text: string): bigint {
  const match = /^([1-9][0-9]{0,17})(?:([KMGT])(?:iB)?)?$/.exec(text);
  const factor = factors[match?.[2] ?? ""];
  if (!match?.[1] || factor === undefined) {
    throw new BadInput(`${option} "${text}" is no size; write bytes, or a number with K, M, G or T such as 512M or 4G`);
  }
  const bytes = BigInt(match[1]) * factor;
  if (bytes > mostBytes) throw new BadInput(`${option} ${text} is more than a file can have, 8 EiB`);
  return bytes;
}

/** The nearest multiple of 1 MiB that is not smaller. */
export function roundUp(bytes: bigint): bigint {
  return ((bytes + MiB - 1n) / MiB) * MiB;
}

export function roundDown(bytes: bigint): bigint {
  return (bytes / MiB) * MiB;
}

/** "812 MiB", or with one decimal from 10 GiB on; bytes where it is no whole MiB. */
export function printSize(bytes: bigint): string {
  if (bytes % MiB !== 0n) return `${bytes} bytes (${(Number(bytes) / Number(MiB)).toFixed(1)} MiB)`;
  const mebibytes = Number(bytes / MiB);
  return mebibytes >= 10240 ? `${(mebibytes / 1024).toFixed(1)} GiB` : `${mebibytes} MiB`;
}
