/** Asking the kernel for and about links, addresses and routes: rtnetlink(7). */
import {
  type AddressFacts,
  type LinkFacts,
  type RouteFacts,
  type RouteMessage,
  type RouteRequest,
  readMessages,
} from "../../../boot/network/rtnetlink.ts";
import { encodeRequest } from "../../../boot/network/rtnetlink-encode.ts";
import { AF, NETLINK, SO, SOCK, SOL } from "../../kernel/constants.ts";
import { errnoName } from "../../kernel/errno.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";

/** The kernel sends lists in pieces of up to 32 KiB (netlink_dump() of net/netlink/af_netlink.c). */
const PIECE = 65_536;
/** A list that something changes all the time is taken as it is after so many readings. */
const READINGS = 4;
/** Answers that are read before the right one must have come: others are late ones to what was given up. */
const MOST_PIECES = 4096;

/** struct sockaddr_nl: family, padding, the kernel chooses the port, groups. */
function netlinkAddress(groups: number): Uint8Array {
  const address = new Uint8Array(12);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF.NETLINK, true);
  view.setUint32(8, groups >>> 0, true);
  return address;
}

export function openRouteSocket(kernel: Kernel, groups: number): Descriptor {
  const fd = kernel.openSocket(AF.NETLINK, SOCK.RAW, NETLINK.ROUTE);
  try {
    kernel.bindSocket(fd, netlinkAddress(groups));
    return fd;
  } catch (error) {
    kernel.close(fd);
    throw error;
  }
}

export class RouteSocket {
  readonly #kernel: Kernel;
  readonly #fd: Descriptor;
  #sequence = 0;

  /** Throws KernelError. */
  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#fd = openRouteSocket(kernel, 0);
    // A list that comes while many addresses are there shall not be cut; where that is not allowed the usual size does.
    try {
      kernel.setSocketOption(this.#fd, SOL.SOCKET, SO.RCVBUF, Uint8Array.of(0, 0, 16, 0));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }

  links(): LinkFacts[] {
    return this.#list("links").flatMap((message) => (message.is === "link" ? [message.link] : []));
  }
  addresses(): AddressFacts[] {
    return this.#list("addresses").flatMap((message) => (message.is === "address" ? [message.address] : []));
  }
  routes(): RouteFacts[] {
    return this.#list("routes").flatMap((message) => (message.is === "route" ? [message.route] : []));
  }

  /** Carries a change out. Throws KernelError with `subject` in it. */
  change(request: RouteRequest, subject: string): void {
    const sequence = this.#send(request);
    for (const message of this.#answers(sequence, request.ask)) {
      if (message.is !== "answer") continue;
      if (message.errno !== 0) throw new KernelError(request.ask, subject, errnoName(message.errno));
      return;
    }
    throw new KernelError(request.ask, subject, "ENODATA");
  }

  #list(ask: "links" | "addresses" | "routes"): RouteMessage[] {
    for (let reading = 1; ; reading++) {
      const sequence = this.#send({ ask });
      const messages: RouteMessage[] = [];
      let end: Extract<RouteMessage, { is: "done" | "answer" }> | null = null;
      for (const message of this.#answers(sequence, ask)) {
        if (message.is === "done" || message.is === "answer") end = message;
        else messages.push(message);
        if (end) break;
      }
      if (end === null) throw new KernelError("list", ask, "ENODATA");
      if (end.errno !== 0) throw new KernelError("list", ask, errnoName(end.errno));
      if (end.is === "answer" || !end.interrupted || reading === READINGS) return messages;
    }
  }

  #send(request: RouteRequest): number {
    this.#sequence = (this.#sequence % 0x7fffffff) + 1;
    this.#kernel.sendTo(this.#fd, encodeRequest(request, this.#sequence), null);
    return this.#sequence;
  }

  /** What the kernel has to say to a request; it has said all before the request returns, or says it when asked for more. */
  *#answers(sequence: number, ask: string): Generator<RouteMessage> {
    for (let pieces = 0; pieces < MOST_PIECES; pieces++) {
      const bytes = this.#kernel.receive(this.#fd, PIECE);
      if (bytes === null) return;
      for (const message of readMessages(bytes)) if (message.sequence === sequence) yield message;
    }
    throw new KernelError(ask, "rtnetlink", "EOVERFLOW");
  }

  close(): void {
    this.#kernel.close(this.#fd);
  }
}
