import type { Way } from "../network/links/machine-network.ts";
import type { Counters } from "../sequence/counters.ts";
import type { Devices } from "../sequence/devices.ts";
import type { Launch } from "../sequence/launch.ts";
import type { RecoveryScreen } from "./screen.ts";

/** The machine's network, as far as a recovery's steps have to do with it. */
export interface DeskNetwork {
  /** Every way that comes up within `waitMs`, one after the other, each the one that is used when it is given. */
  ways(waitMs: number, signal: AbortSignal): AsyncGenerator<Way>;
  /** For people. */
  addresses(): string[];
}

/** What a step of a recovery works with. */
export interface RecoveryDesk {
  boot: Launch;
  devices: Devices;
  counters: Counters;
  screen: RecoveryScreen;
  /** Aborted where the step is given up, since it got no further: whatever waits has to end then, by throwing `signal.reason`. */
  signal: AbortSignal;
  /**
   * Progress was made: a block was written, a server answered, a medium was found. Feeds the watchdog too, so it is to be called
   * within long synchronous work. A step that does not call it for as long as the control file's `patience` is given up.
   */
  advanced(): void;
  /** The control file's sources were asked: whether any of them said something that can be believed, be it that it has nothing. */
  askedSources(reached: boolean): void;
  /** The network, brought up when it is first asked for; null where the control file and the command line want none. */
  network(): Promise<DeskNetwork | null>;
}
