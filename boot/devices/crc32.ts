/** CRC-32 of IEEE 802.3 as an unsigned number, the one of GPT and zlib. */
export function crc32(bytes: Uint8Array): number {
  return Bun.hash.crc32(bytes);
}
