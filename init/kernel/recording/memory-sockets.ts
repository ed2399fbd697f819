/** A socket of a machine in memory. */
export interface MemorySocket {
  /** As traces show it: "packets of eth0". */
  readonly name: string;
  /** Messages that wait, the oldest first. */
  readonly waiting: Uint8Array[];
  /** Throws Errno. */
  bind(address: Uint8Array): void;
  /** Throws Errno. */
  send(bytes: Uint8Array, address: Uint8Array | null): void;
  /** What sending `bytes` means, and whether it changes anything. */
  describe(bytes: Uint8Array): { text: string; effect: boolean };
}
