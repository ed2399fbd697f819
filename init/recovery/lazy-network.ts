import type { ToldRecovery } from "../../boot/recovery/step.ts";
import type { Launch } from "../sequence/launch.ts";
import type { DeskNetwork } from "./desk.ts";
import type { RecoveryScreen } from "./screen.ts";

/** The machine's network, brought up when a step first asks for it. */
export class LazyNetwork {
  readonly #boot: Launch;
  /** How it was reached last; null where it was not. */
  told: ToldRecovery["network"] = null;

  constructor(boot: Launch) {
    this.#boot = boot;
  }

  async open(_screen: RecoveryScreen): Promise<DeskNetwork | null> {
    this.#boot.log.info("no network");
    return null;
  }

  /** Of the machine, for people. */
  get addresses(): string[] {
    return [];
  }

  /** Lets links and addresses go, so that the system's network manager finds them untouched. */
  close(): void {}
}
