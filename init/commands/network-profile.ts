/** Remembers the running system's way to the network, so that a recovery of this machine can take it. */
import { isStub, nameserversIn, profileOf } from "../../boot/network/profile-of.ts";
import {
  type AddressFacts,
  type LinkFacts,
  type RouteFacts,
  type RouteMessage,
  readMessages,
} from "../../boot/network/rtnetlink.ts";
import { encodeRequest } from "../../boot/network/rtnetlink-encode.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { AF, NETLINK, SOCK } from "../kernel/constants.ts";
import { readTextIfThere } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { readSettings, SETTINGS_FILE } from "../network/options.ts";
import { writeNetworkProfile } from "../store/network-profile.ts";

const RESOLV_CONF = "/etc/resolv.conf";
/** What systemd-resolved itself asks, while resolv.conf names its stub. */
const RESOLVED = "/run/systemd/resolve/resolv.conf";

/** The kernel answers at once: it does so in pieces, one for each read. */
const ANSWER_TIME = 2000;
const LONGEST_PIECE = 64 * 1024;
/** A list is asked for again where something changed meanwhile. */
const ATTEMPTS = 3;

/** What the kernel lists is not to be had. */
class NoList extends Error {}

type Listed = "links" | "addresses" | "routes";

/** Every message of one list. Throws {@link NoList}, KernelError. */
function listed(kernel: Kernel, what: Listed): RouteMessage[] {
  for (let attempt = 1; ; attempt++) {
    const fd = kernel.openSocket(AF.NETLINK, SOCK.RAW, NETLINK.ROUTE);
    try {
      kernel.sendTo(fd, encodeRequest({ ask: what }, attempt), null);
      const { messages, interrupted } = receiveAll(kernel, fd, attempt);
      if (!interrupted || attempt === ATTEMPTS) return messages;
    } finally {
      kernel.close(fd);
    }
  }
}

function receiveAll(kernel: Kernel, fd: Descriptor, sequence: number): { messages: RouteMessage[]; interrupted: boolean } {
  const messages: RouteMessage[] = [];
  const until = kernel.now().bootMs + ANSWER_TIME;
  for (let left = ANSWER_TIME; left > 0; left = until - kernel.now().bootMs) {
    const piece = kernel.receive(fd, LONGEST_PIECE);
    if (piece === null) {
      kernel.poll([fd], left);
      continue;
    }
    for (const message of readMessages(piece)) {
      if (message.sequence !== sequence) continue;
      if (message.is === "done" && message.errno === 0) return { messages, interrupted: message.interrupted };
      if (message.is === "done" || message.is === "answer") throw new NoList(`the kernel refused (errno ${message.errno})`);
      messages.push(message);
    }
  }
  throw new NoList(`the kernel did not answer within ${ANSWER_TIME / 1000} s`);
}

/** The links, addresses and routes of the machine. Throws {@link NoList}, KernelError. */
function gather(kernel: Kernel): { links: LinkFacts[]; addresses: AddressFacts[]; routes: RouteFacts[] } {
  return {
    links: listed(kernel, "links").flatMap((message) => (message.is === "link" ? [message.link] : [])),
    addresses: listed(kernel, "addresses").flatMap((message) => (message.is === "address" ? [message.address] : [])),
    routes: listed(kernel, "routes").flatMap((message) => (message.is === "route" ? [message.route] : [])),
  };
}

function nameservers(kernel: Kernel): string[] {
  const named = nameserversIn(readTextIfThere(kernel, RESOLV_CONF) ?? "");
  const behind = isStub(named) ? readTextIfThere(kernel, RESOLVED) : null;
  return behind === null ? named : nameserversIn(behind);
}

/** A recovery asks everything through one proxy: the first that is named, and then none at all. */
function proxy(kernel: Kernel): string | null {
  const named = [...readSettings(kernel, SETTINGS_FILE).values()].find((options) => options.proxy !== null);
  return named?.proxy ?? null;
}

/** Keeps the profile beside the boot record on `device` where it is not as before. Returns warnings: it is no reason to fail. */
export function keepNetworkProfile(kernel: Kernel, device: string): string[] {
  try {
    const profile = profileOf({ ...gather(kernel), nameservers: nameservers(kernel), proxy: proxy(kernel) });
    const kept = profile === null ? null : writeNetworkProfile(kernel, device, profile);
    return kept === null || kept.written ? [] : [warning(kept.reason)];
  } catch (error) {
    const known = [KernelError, NoList, BadInput, Refusal].some((kind) => error instanceof kind);
    if (!known || !(error instanceof Error)) throw error;
    return [warning(error.message)];
  }
}

function warning(reason: string): string {
  return `the way to the network is not remembered for a recovery: ${reason}`;
}
