import { frameText } from "../../../boot/network/dhcp-frame.ts";
import { AF } from "../constants.ts";
import type { LinksInMemory } from "./memory-links.ts";
import { Errno } from "./memory-nodes.ts";
import type { MemorySocket } from "./memory-sockets.ts";

/** A packet socket of a machine in memory, with whole frames: packet(7). */
export class MemoryPackets implements MemorySocket {
  readonly waiting: Uint8Array[] = [];
  /** Index; 0: bound to none. */
  link = 0;
  readonly #network: LinksInMemory;

  constructor(network: LinksInMemory) {
    this.#network = network;
  }

  get name(): string {
    return this.link === 0 ? "packets" : `packets of ${this.#network.nameOf(this.link)}`;
  }

  /** struct sockaddr_ll */
  bind(address: Uint8Array): void {
    const view = new DataView(address.buffer, address.byteOffset, address.length);
    if (address.length < 20 || view.getUint16(0, true) !== AF.PACKET) throw new Errno("EINVAL");
    const link = view.getInt32(4, true);
    if (!this.#network.links.has(link)) throw new Errno("ENODEV");
    this.link = link;
  }

  send(bytes: Uint8Array): void {
    if (!this.#network.links.has(this.link)) throw new Errno("ENXIO");
    this.#network.transmit(this.link, bytes);
  }

  describe(bytes: Uint8Array): { text: string; effect: boolean } {
    return { text: frameText(bytes), effect: true };
  }
}
