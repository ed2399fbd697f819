/** Frames of one link that concern a DHCP client: packet(7). */
import { clientFilter, type DhcpFrame, decodeFrame, ETHERTYPE_IP, encodeFrame } from "../../../boot/network/dhcp-frame.ts";
import { AF, SOCK } from "../../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";

const LONGEST_FRAME = 4096;
/** Frames that are taken at once: whoever floods the link shall not keep us here. */
const MOST_FRAMES = 64;

/** struct sockaddr_ll: family, protocol in network order, index, and the hardware's address, which a socket for reading leaves out. */
function packetAddress(link: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF.PACKET, true);
  view.setUint16(2, ETHERTYPE_IP, false);
  view.setInt32(4, link, true);
  return address;
}

export class PacketSocket {
  readonly #kernel: Kernel;
  readonly fd: Descriptor;

  /** Throws KernelError. */
  constructor(kernel: Kernel, link: number) {
    this.#kernel = kernel;
    // Of no protocol, so that nothing comes before the filter is there.
    this.fd = kernel.openSocket(AF.PACKET, SOCK.RAW, 0);
    try {
      kernel.filterSocket(this.fd, clientFilter());
      kernel.bindSocket(this.fd, packetAddress(link));
    } catch (error) {
      kernel.close(this.fd);
      throw error;
    }
  }

  /** Throws KernelError. */
  send(frame: DhcpFrame): void {
    this.#kernel.sendTo(this.fd, encodeFrame(frame), null);
  }

  /** What came. */
  receive(): DhcpFrame[] {
    const frames: DhcpFrame[] = [];
    for (let count = 0; count < MOST_FRAMES; count++) {
      try {
        const bytes = this.#kernel.receive(this.fd, LONGEST_FRAME);
        if (bytes === null) break;
        const frame = decodeFrame(bytes);
        if (frame !== null && frame.message.operation === 2) frames.push(frame);
      } catch (error) {
        // ENETDOWN: the link went down. It is told once, and others after it may have come before.
        if (!(error instanceof KernelError)) throw error;
      }
    }
    return frames;
  }

  close(): void {
    this.#kernel.close(this.fd);
  }
}
