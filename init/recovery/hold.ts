import type { SlotName } from "../../boot/record/record.ts";
import { CALM } from "../../boot/recovery/calm.ts";
import { jitteredPause } from "../../boot/recovery/pause.ts";
import type { Skipped } from "../../boot/selection/skipped.ts";
import { list } from "../devices/scan.ts";
import { drainUevents } from "../devices/uevents.ts";
import { takeUevents } from "../devices/wait.ts";
import { readTextIfThere } from "../kernel/files.ts";
import { type Descriptor, KernelError } from "../kernel/kernel.ts";
import { readBootId } from "../sequence/boot-id.ts";
import type { Counters } from "../sequence/counters.ts";
import type { Launch } from "../sequence/launch.ts";
import type { LazyNetwork } from "./lazy-network.ts";
import type { RecoveryScreen } from "./screen.ts";

/** Time between two looks for a medium or a link, milliseconds. */
const LOOK_EVERY = 500;

/** How long a medium that appears is given to show what lies on it, milliseconds. */
const SETTLE = 2000;

/** Nothing helps: waits, with the watchdog fed, for time to pass or for something to be plugged in. */
export class RecoveryHold {
  readonly #boot: Launch;
  readonly #counters: Counters;
  readonly #screen: RecoveryScreen;
  readonly #network: LazyNetwork;

  constructor(boot: Launch, counters: Counters, screen: RecoveryScreen, network: LazyNetwork) {
    this.#boot = boot;
    this.#counters = counters;
    this.#screen = screen;
    this.#network = network;
  }

  /**
   * Gives one slot a try, tells why the machine waits, and waits. Restarts the machine where it has come to wait as long as it
   * ever does: hardware may need that.
   */
  async wait(passed: readonly Skipped[]): Promise<void> {
    const { log, control, words } = this.#boot;
    const { rearmed, pauseSeconds } = this.#counters.giveUp();
    const { bootId = "" } = readBootId(this.#boot.kernel);
    const seconds = jitteredPause(pauseSeconds, `${bootId}:${this.#counters.record.exhausted}`);
    for (const { slot, reason } of passed) log.error(`slot ${slot}: ${reason}`);
    const next = rearmed === null ? "all is tried again" : `slot ${rearmed} gets one more try, then all is tried again`;
    log.error(`recovery could not help; in ${seconds} s ${next}`);
    this.#screen.show({ slots: [...passed], trying: null, progress: null, nextAttemptSeconds: seconds });
    if (words.shell) {
      // Nothing is drawn over what somebody types.
      this.#screen.end();
      await this.#boot.shell("rd.shell");
    }
    const came = await this.#pauseSafely(seconds);
    if (came !== null) {
      log.notice(`recovery: ${came}`);
      this.#screen.say(came);
    }
    // A disk that comes so late may have the boot record on it, which is looked for once in a boot.
    const lateRecord = came !== null && this.#counters.device === null;
    if (lateRecord || (came === null && pauseSeconds >= control.recovery.longestPause)) {
      log.error("restarting");
      this.#boot.kernel.reboot("restart");
      throw new Error("the kernel refused to restart");
    }
  }

  /** Waits for the power to hold, then gives a slot one try. Nothing is durable before: power that fails meanwhile costs nothing. */
  async calm(slot: SlotName, passed: readonly Skipped[]): Promise<void> {
    const { log, control, kernel } = this.#boot;
    const seconds = Math.min(CALM, control.recovery.longestPause);
    const line = `slot ${slot} gets one more try before anything is recovered, once the power has held for ${seconds} s: all that is known against it is that its boots ended uncleanly`;
    log.error(line);
    this.#screen.show({ slots: [...passed], trying: null, progress: null });
    this.#screen.say(line);
    const end = kernel.now().bootMs + seconds * 1000;
    for (let left = seconds * 1000; left > 0; left = end - kernel.now().bootMs) {
      this.#screen.show({ nextAttemptSeconds: Math.ceil(left / 1000), addresses: [] });
      await this.#boot.pause(Math.min(left, LOOK_EVERY));
    }
    this.#counters.giveUp();
    this.#counters.tellRecovered(line);
  }

  /** Whatever goes wrong with looking for media must not let the machine run in circles without a pause. */
  async #pauseSafely(seconds: number): Promise<string | null> {
    try {
      return await this.#pause(seconds);
    } catch (error) {
      this.#boot.log.error(`recovery: waiting: ${error instanceof Error ? error.message : error}`);
      await this.#boot.pause(seconds * 1000);
      return null;
    }
  }

  /** What ended the pause early; null where it went by. */
  async #pause(seconds: number): Promise<string | null> {
    const { kernel } = this.#boot;
    const socket = this.#listen();
    try {
      const end = kernel.now().bootMs + seconds * 1000;
      const links = this.#linksUp();
      for (let left = end - kernel.now().bootMs; left > 0; left = end - kernel.now().bootMs) {
        this.#screen.show({ nextAttemptSeconds: Math.ceil(left / 1000), addresses: this.#network.addresses() });
        await this.#boot.breathe();
        kernel.poll(socket === null ? [] : [socket], Math.min(left, LOOK_EVERY));
        const came = (socket === null ? null : this.#mediumIn(socket)) ?? this.#newLink(links);
        if (came === null) continue;
        await this.#boot.pause(SETTLE);
        if (socket !== null) this.#mediumIn(socket);
        return came;
      }
      return null;
    } finally {
      if (socket !== null) kernel.close(socket);
    }
  }

  #listen(): Descriptor | null {
    const { kernel } = this.#boot;
    try {
      const socket = kernel.openUevents();
      drainUevents(kernel, socket);
      return socket;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return null;
    }
  }

  /** What appeared, with its driver loaded where it needs one; null where nothing did. */
  #mediumIn(socket: Descriptor): string | null {
    const { kernel, modules } = this.#boot;
    const { uevents, lost } = takeUevents(kernel, socket, modules);
    let came: string | null = lost ? "devices came or went" : null;
    for (const { action, subsystem, devname, devpath } of uevents) {
      if (action === "remove") continue;
      const name = devname ?? devpath.split("/").at(-1) ?? "";
      if (subsystem === "block") came = `${name} was plugged in`;
      if (subsystem === "net" && action === "add") came = `the link ${name} appeared`;
    }
    return came;
  }

  #linksUp(): Set<string> {
    return new Set(this.#links().filter((link) => this.#isUp(link)));
  }

  #newLink(known: Set<string>): string | null {
    const link = this.#links().find((name) => !known.has(name) && this.#isUp(name));
    return link === undefined ? null : `the link ${link} came up`;
  }

  #isUp(link: string): boolean {
    return readTextIfThere(this.#boot.kernel, `/sys/class/net/${link}/operstate`)?.trim() === "up";
  }

  #links(): string[] {
    return list(this.#boot.kernel, "/sys/class/net");
  }
}
