import type { NetworkProfile } from "../../boot/network/profile.ts";
import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { MachineNetwork, type NetworkRequest, type Way } from "../network/links/machine-network.ts";
import type { Launch } from "../sequence/launch.ts";
import { readNetworkProfile } from "../store/network-profile.ts";
import type { DeskNetwork } from "./desk.ts";
import type { RecoveryScreen } from "./screen.ts";

/** The machine's network, brought up when a step first asks for it, and shown to people. */
export class LazyNetwork implements DeskNetwork {
  readonly #boot: Launch;
  #screen: RecoveryScreen | null = null;
  readonly #recordDevice: string | null;
  readonly #request: NetworkRequest;
  #network: MachineNetwork | null = null;
  /** How it was reached last; null where it was not. */
  told: ToldRecovery["network"] = null;

  /** `recordDevice`: where the boot record is, and beside it the way to the network that the healthy system had. */
  constructor(boot: Launch, recordDevice: string | null) {
    this.#boot = boot;
    this.#recordDevice = recordDevice;
    this.#request = { words: boot.words.network, settings: boot.control.recovery.network, profile: null };
  }

  /** Where addresses are shown from now on; null: nowhere. */
  shownOn(screen: RecoveryScreen | null): void {
    this.#screen = screen;
  }

  /** Null where there is to be none. */
  open(): DeskNetwork | null {
    return MachineNetwork.wanted(this.#request) ? this : null;
  }

  async *ways(waitMs: number, signal: AbortSignal): AsyncGenerator<Way> {
    this.#boot.modules?.loadForRecovery();
    const request = { ...this.#request, profile: this.#network === null ? this.#profile() : null };
    this.#network ??= MachineNetwork.open(this.#boot.kernel, request, (line) => {
      this.#boot.log.notice(line);
      this.#screen?.show({ addresses: this.addresses() });
    });
    for await (const way of this.#network.ways(waitMs, signal)) {
      this.told = { link: way.link, by: way.by, addresses: [...way.addresses] };
      this.#screen?.show({ addresses: this.addresses() });
      yield way;
    }
  }

  #profile(): NetworkProfile | null {
    if (this.#recordDevice === null) return null;
    try {
      const { profile, reason } = readNetworkProfile(this.#boot.kernel, this.#recordDevice);
      if (reason !== null) this.#boot.log.notice(`the network's profile: ${reason}`);
      return profile;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return null;
    }
  }

  addresses(): string[] {
    return this.#network?.addresses() ?? [];
  }

  /** Lets links and addresses go, so that the system's network manager finds them untouched. Never stands in a boot's way. */
  close(): void {
    const network = this.#network;
    this.#network = null;
    try {
      network?.close();
    } catch (error) {
      this.#boot.warn(`the network is not left as it was: ${error instanceof Error ? error.message : error}`);
    }
  }
}
