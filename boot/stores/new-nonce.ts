/** A nonce that nobody has seen: 16 hex digits. */
export function newNonce(): string {
  return crypto.getRandomValues(new Uint8Array(8)).toHex();
}
