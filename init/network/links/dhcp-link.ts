/** DHCP on one link: carries out what the client of boot/network/dhcp-client.ts wants. */
import { type DhcpAction, DhcpClient, type DhcpIdentity } from "../../../boot/network/dhcp-client.ts";
import { EVERYBODY } from "../../../boot/network/dhcp-frame.ts";
import type { Lease } from "../../../boot/network/dhcp-lease.ts";
import { printAddress, printPrefixed, sameBytes } from "../../../state-ops/ip-address.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { PacketSocket } from "./packet-socket.ts";

const BROADCAST = Uint8Array.of(255, 255, 255, 255);

export class DhcpLink {
  readonly #identity: DhcpIdentity;
  readonly #client: DhcpClient;
  readonly #told: (line: string) => void;
  readonly #name: string;
  readonly #socket: PacketSocket;
  #lastFailure = "";
  #knownAddress: Uint8Array | null = null;

  /** Throws KernelError. */
  constructor(
    kernel: Kernel,
    link: { index: number; name: string },
    identity: DhcpIdentity,
    random: () => number,
    told: (line: string) => void,
  ) {
    this.#identity = identity;
    this.#name = link.name;
    this.#told = told;
    this.#client = new DhcpClient(identity, random);
    this.#socket = new PacketSocket(kernel, link.index);
  }

  get fd(): Descriptor {
    return this.#socket.fd;
  }
  get lease(): Lease | null {
    return this.#client.lease;
  }

  /** Takes what came, and does what is due. */
  turn(carrier: boolean, nowMs: number): void {
    if (carrier) this.#carryOut(this.#client.begin(nowMs));
    else this.#client.rest();
    for (const frame of this.#socket.receive()) {
      const ours = sameBytes(frame.to, EVERYBODY) || sameBytes(frame.to, this.#identity.hardware);
      if (ours) this.#carryOut(this.#client.receive(frame, nowMs));
    }
    this.#carryOut(this.#client.tick(nowMs));
  }

  #carryOut(actions: DhcpAction[]): void {
    for (const action of actions) {
      if (action.do === "send") this.#send(action);
      else if (action.do === "drop") {
        this.#knownAddress = null;
        this.#told(`${this.#name}: the address from DHCP is given up: ${action.why}`);
      } else this.#tellOf(action.lease);
    }
  }

  /** A lease that was only prolonged is no news. */
  #tellOf(lease: Lease): void {
    const { address, server, lengthMs } = lease;
    const again = this.#knownAddress !== null && sameBytes(this.#knownAddress, address.address);
    this.#knownAddress = address.address;
    if (again) return;
    const time = lengthMs === Number.POSITIVE_INFINITY ? "for ever" : `for ${Math.round(lengthMs / 1000)} s`;
    this.#told(`${this.#name}: DHCP gives ${printPrefixed(address)} ${time}, says ${printAddress(server)}`);
  }

  #send({ message, to }: Extract<DhcpAction, { do: "send" }>): void {
    const { hardware } = this.#identity;
    const target = to ?? { address: BROADCAST, hardware: EVERYBODY };
    try {
      this.#socket.send({ from: hardware, to: target.hardware, source: message.client, destination: target.address, message });
      this.#lastFailure = "";
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      // It is sent again by and by; the same failure is told once.
      if (error.code !== this.#lastFailure) this.#told(`${this.#name}: DHCP cannot be asked: ${error.message}`);
      this.#lastFailure = error.code;
    }
  }

  close(): void {
    this.#socket.close();
  }
}
