import { appendFileSync, mkdirSync } from "node:fs";
import { basename } from "node:path";
import { accelerator, countingInstructions } from "./accelerator.ts";
import { BOARD, guestArchitecture } from "./architecture.ts";
import { guestKernel } from "./kernel.ts";
import type { Lock } from "./lock.ts";
import { type MachineOptions, machineWords } from "./machine-options.ts";
import { logs } from "./places.ts";
import { takePlaces } from "./pool.ts";
import { type QemuEnd, QemuProcess } from "./qemu-process.ts";
import { type Line, Transcript } from "./transcript.ts";

/** How QEMU ended. `reason` is QEMU's word where it gave one: "guest-shutdown", "guest-reset"; "killed" after a power cut. */
export interface MachineEnd extends QemuEnd {
  /** Starts of the machine: the first, and one more for each reset. */
  boots: number;
}

const resets = ["guest-reset", "host-qmp-system-reset"];

let started = 0;

/**
 * A virtual machine that runs. Make one with {@link startMachine}.
 *
 * A power cut is a SIGKILL of QEMU. It models a machine whose memory is lost at that instant and whose disk keeps every
 * write that it completed, flushed or not, in the order in which it completed them. It does not model a disk that loses or
 * reorders what was in its own cache: replay a prefix of `blklogwrites` for that.
 *
 * A reset is answered with a new QEMU on the same disks: software emulation keeps its translations of all that ran before,
 * and a second boot in the same QEMU takes two to four times as long. Only a machine that logs its writes goes on in the same one.
 */
export class Machine {
  /** What the guest writes on its console. */
  readonly console: Transcript;
  /** What the guest writes on ttyS1: facts for the test, free of the kernel's messages. */
  readonly results: Transcript;
  /** Where both are kept, with a time in seconds before each line. */
  readonly log: string;
  /** Fulfilled when QEMU ended, however it ended; never rejected. */
  readonly exited: Promise<MachineEnd>;
  /** Starts so far. */
  boots = 0;
  readonly #options: MachineOptions;
  readonly #accelerator: string[];
  readonly #name: string;
  readonly #began = performance.now();
  readonly #limit: ReturnType<typeof setTimeout>;
  #process: QemuProcess;
  #cut = false;
  #panicAt = -1;
  #resetAt = 0;
  #errors = "";
  #failure: Error | null = null;

  constructor(options: MachineOptions, accelerator: string[], place: Lock) {
    this.#options = options;
    this.#accelerator = accelerator;
    started += 1;
    this.#name = options.name ?? basename(process.argv[1] ?? "machine").replace(/(\.test)?\.[jt]s$/, "");
    mkdirSync(logs, { recursive: true });
    this.log = `${logs}/${this.#name.replaceAll(/[^\w.-]+/g, "-")}-${process.pid}-${started}.log`;
    const now = () => performance.now() - this.#began;
    this.console = new Transcript("console", now, (line) => this.#keep("", line));
    this.results = new Transcript("results", now, (line) => this.#keep("results: ", line));
    this.#process = this.#start();
    this.#limit = setTimeout(() => {
      this.#fail(`still running after its time limit of ${(options.timeoutMs ?? 120_000) / 1000} s`);
      this.#kill();
    }, options.timeoutMs ?? 120_000);
    this.exited = this.#run(place);
  }

  #start(): QemuProcess {
    this.#countBoot();
    const wordsFor = (sockets: string) => {
      const words = [...this.#accelerator, ...machineWords(this.#options, sockets)];
      if (this.#startsAnew && !this.#options.noReboot) words.push("-no-reboot");
      appendFileSync(this.log, `${this.#program} ${words.map((word) => (/[\s"']/.test(word) ? `'${word}'` : word)).join(" ")}\n`);
      return words;
    };
    return new QemuProcess(this.#program, wordsFor, {
      console: (bytes) => this.#receive(bytes),
      results: (bytes) => this.results.append(bytes),
      errors: (text) => {
        this.#errors += text;
        appendFileSync(this.log, text.replace(/^(?=.)/gm, "qemu: "));
      },
      reset: () => this.#countReset(),
    });
  }

  get #program(): string {
    return BOARD[this.#options.architecture ?? guestArchitecture].program;
  }

  get #startsAnew(): boolean {
    return !this.#options.disks?.some((disk) => disk.blklogwrites !== undefined);
  }

  async #run(place: Lock): Promise<MachineEnd> {
    for (;;) {
      const end = await this.#process.ended;
      const restarts = this.#startsAnew && !this.#options.noReboot && resets.includes(end.reason);
      if (this.#cut || !restarts) return this.#cleanUp({ ...end, boots: end.reason === "not started" ? 0 : this.boots }, place);
      this.#process = this.#start();
    }
  }

  #kill(): void {
    this.#cut = true;
    this.#process.kill();
  }

  #keep(channel: string, line: Line): void {
    appendFileSync(this.log, `${(line.ms / 1000).toFixed(3).padStart(8)} ${channel}${line.text}\n`);
  }

  #countBoot(): void {
    this.boots += 1;
    const counter = process.env.SLIPWAY_BOOT_COUNTER;
    if (counter) appendFileSync(counter, ".");
  }

  #countReset(): void {
    // SeaBIOS answers a reset with a second one, to get its memory back as it was
    if (this.ms - this.#resetAt > 500) this.#countBoot();
    this.#resetAt = this.ms;
  }

  #receive(bytes: Uint8Array): void {
    this.#options.onOutput?.(bytes);
    const before = this.console.text.length;
    this.console.append(bytes);
    if (this.#options.expectPanic || this.#panicAt >= 0) return;
    this.#panicAt = this.console.text.indexOf("Kernel panic - not syncing", Math.max(0, before - 30));
    if (this.#panicAt < 0) return;
    setTimeout(() => {
      const line = this.console.text.slice(this.#panicAt).split("\n")[0];
      this.#fail(line ?? "Kernel panic");
      this.#kill();
    }, 300); // what the kernel says next belongs to it
  }

  #fail(what: string): void {
    const errors = this.#errors.trim() === "" ? "" : `\nQEMU said:\n${this.#errors.trim()}`;
    this.#failure ??= new Error(`${what}${errors}\nthe console's last lines:\n${this.console.tail(25)}\nthe log is ${this.log}`);
    this.console.fail(this.#failure);
    this.results.fail(this.#failure);
  }

  #cleanUp(end: MachineEnd, place: Lock): MachineEnd {
    clearTimeout(this.#limit);
    this.console.end();
    this.results.end();
    place.release();
    this.#fail(`the machine ended (${end.reason}, QEMU's exit ${end.code ?? end.signal})`);
    return end;
  }

  /** Milliseconds since QEMU's first start. */
  get ms(): number {
    return performance.now() - this.#began;
  }

  /**
   * Waits until the console shows `wanted` behind what an expectation met before. Throws when it did not come within
   * `timeoutMs` (default: the machine's time limit), when the kernel panicked or QEMU ended; the error shows the console's
   * last lines and where the log is.
   */
  expect(wanted: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    return this.#expectOn(this.console, wanted, timeoutMs);
  }

  /** The same on the results channel. */
  expectResult(wanted: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    return this.#expectOn(this.results, wanted, timeoutMs);
  }

  async #expectOn(channel: Transcript, wanted: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    const limit = timeoutMs ?? (this.#options.timeoutMs ?? 120_000) + 5_000;
    try {
      return await channel.expect(wanted, limit);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`machine ${this.#name}: ${message}${message.includes(this.log) ? "" : `\nthe log is ${this.log}`}`);
    }
  }

  /** Types on the console; "\n" is the Enter key. */
  send(text: string | Uint8Array): void {
    this.#process.send(text);
  }

  /** Kills QEMU and waits until it is gone. Nothing happens where it is gone already. */
  async cutPower(): Promise<MachineEnd> {
    this.#kill();
    return this.exited;
  }

  /** Presses the reset button. */
  reset(): Promise<void> {
    return this.#process.qmp.command("system_reset");
  }

  /** Presses the power button; the guest decides what happens. */
  powerDown(): Promise<void> {
    return this.#process.qmp.command("system_powerdown");
  }

  /** Plugs a USB stick in that holds the image file `file`; the machine needs a USB host called `bus`, as in "qemu-xhci,id=usb". */
  async plugStick(file: string, bus: string): Promise<void> {
    const { qmp } = this.#process;
    const below = { driver: "file", filename: file, "read-only": true };
    const backend = { driver: "raw", "node-name": "stick", file: below, "read-only": true };
    await qmp.command("blockdev-add", backend);
    await qmp.command("device_add", { driver: "usb-storage", id: "stick", bus: `${bus}.0`, drive: "stick", removable: true });
  }

  /** Stops the processors until `resume`. */
  pause(): Promise<void> {
    return this.#process.qmp.command("stop");
  }

  resume(): Promise<void> {
    return this.#process.qmp.command("cont");
  }
}

/**
 * Starts a machine: waits until one of the places for machines is free, then starts QEMU. The time limit counts from
 * QEMU's start. QEMU ends with this process, however that ends.
 * With SLIPWAY_BOOT_COUNTER set, each start of a machine adds a byte to that file.
 */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const architecture = options.architecture ?? guestArchitecture;
  const probed = options.kernel ?? (await guestKernel(undefined, architecture)).kernel;
  const words = options.countInstructions ? countingInstructions(architecture) : await accelerator(probed, architecture);
  const place = options.place ?? (await takePlaces(1))[0];
  if (!place) throw new Error("no place for a machine");
  return new Machine(options, words, place);
}
