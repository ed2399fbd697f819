import type { ToldRecovery } from "../../boot/recovery/step.ts";
import { MachineNetwork, type NetworkRequest, type Way } from "../network/links/machine-network.ts";
import type { Launch } from "../sequence/launch.ts";
import type { DeskNetwork } from "./desk.ts";
import type { RecoveryScreen } from "./screen.ts";

/** The machine's network, brought up when a step first asks for it, and shown to people. */
export class LazyNetwork implements DeskNetwork {
  readonly #boot: Launch;
  #screen: RecoveryScreen | null = null;
  readonly #request: NetworkRequest;
  #network: MachineNetwork | null = null;
  /** How it was reached last; null where it was not. */
  told: ToldRecovery["network"] = null;

  constructor(boot: Launch) {
    this.#boot = boot;
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
    this.#network ??= MachineNetwork.open(this.#boot.kernel, this.#request, (line) => {
      this.#boot.log.info(line);
      this.#screen?.show({ addresses: this.addresses() });
    });
    for await (const way of this.#network.ways(waitMs, signal)) {
      this.told = { link: way.link, by: way.by, addresses: [...way.addresses] };
      this.#screen?.show({ addresses: this.addresses() });
      yield way;
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
