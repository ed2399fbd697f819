import { type ChildProcessByStdio, spawn } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { accelerator } from "./accelerator.ts";
import type { Lock } from "./lock.ts";
import { type MachineOptions, machineWords } from "./machine-options.ts";
import { logs } from "./places.ts";
import { takePlaces } from "./pool.ts";
import { Qmp } from "./qmp.ts";
import { type Line, Transcript } from "./transcript.ts";

/** How QEMU ended. `reason` is QEMU's word where it gave one: "guest-shutdown", "guest-reset"; "killed" after a power cut. */
export interface MachineEnd {
  code: number | null;
  signal: string | null;
  reason: string;
  /** Starts of the machine: the first, and one more for each reset. */
  boots: number;
}

let started = 0;

/**
 * A virtual machine that runs. Make one with {@link startMachine}.
 *
 * A power cut is a SIGKILL of QEMU. It models a machine whose memory is lost at that instant and whose disk keeps every
 * write that it completed, flushed or not, in the order in which it completed them. It does not model a disk that loses or
 * reorders what was in its own cache: replay a prefix of `blklogwrites` for that.
 */
export class Machine {
  /** What the guest writes on ttyS0. */
  readonly console: Transcript;
  /** What the guest writes on ttyS1: facts for the test, free of the kernel's messages. */
  readonly results: Transcript;
  /** Where both are kept, with a time in seconds before each line. */
  readonly log: string;
  /** Fulfilled when QEMU ended, however it ended; never rejected. */
  readonly exited: Promise<MachineEnd>;
  /** Starts so far. */
  boots = 0;
  #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #qmp: Qmp;
  #began = performance.now();
  #options: MachineOptions;
  #name: string;
  #panicAt = -1;
  #resetAt = 0;
  #reason = "";
  #errors = "";
  #failure: Error | null = null;
  #limit: ReturnType<typeof setTimeout>;

  constructor(options: MachineOptions, accelerator: string[], place: Lock) {
    this.#options = options;
    started += 1;
    this.#name = options.name ?? basename(process.argv[1] ?? "machine").replace(/(\.test)?\.[jt]s$/, "");
    mkdirSync(logs, { recursive: true });
    this.log = `${logs}/${this.#name.replaceAll(/[^\w.-]+/g, "-")}-${process.pid}-${started}.log`;
    const now = () => performance.now() - this.#began;
    this.console = new Transcript("console", now, (line) => this.#keep("", line));
    this.results = new Transcript("results", now, (line) => this.#keep("results: ", line));

    const sockets = mkdtempSync(join(tmpdir(), "slipway-qemu-"));
    const results = this.#listen(`${sockets}/results`);
    this.#qmp = new Qmp(`${sockets}/qmp`, (event, data) => this.#event(event, data));
    const words = [...accelerator, ...machineWords(options, sockets)];
    appendFileSync(this.log, `qemu-system-x86_64 ${words.map((word) => (/[\s"']/.test(word) ? `'${word}'` : word)).join(" ")}\n`);
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", "--", "qemu-system-x86_64", ...words], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#countBoot();
    this.#limit = setTimeout(() => {
      this.#fail(`still running after its time limit of ${(options.timeoutMs ?? 120_000) / 1000} s`);
      this.#child.kill("SIGKILL");
    }, options.timeoutMs ?? 120_000);
    this.#child.stdin.on("error", () => {});
    this.#child.stdout.on("data", (bytes: Uint8Array) => this.#receive(bytes));
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errors += text;
      appendFileSync(this.log, text.replace(/^(?=.)/gm, "qemu: "));
    });
    this.exited = new Promise((resolve) => {
      this.#child.once("error", (error) => {
        this.#errors += error.message;
        resolve({ code: null, signal: null, reason: "not started", boots: 0 });
      });
      this.#child.once("close", (code, signal) => {
        const reason = this.#reason || (signal === "SIGKILL" ? "killed" : "ended");
        results.finished().then(() => resolve({ code, signal, reason, boots: this.boots }));
      });
    });
    this.exited.then((end) => this.#cleanUp(end, sockets, results.server, place));
  }

  #listen(path: string): { server: Server; finished: () => Promise<void> } {
    let finish = () => {};
    let connected = false;
    const drained = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const server = createServer((socket) => {
      connected = true;
      server.close();
      socket.on("data", (bytes: Uint8Array) => this.results.append(bytes));
      socket.on("error", () => {});
      socket.on("close", finish);
    });
    server.listen(path);
    server.unref();
    return { server, finished: () => (connected ? drained : Promise.resolve()) };
  }

  #keep(channel: string, line: Line): void {
    appendFileSync(this.log, `${(line.ms / 1000).toFixed(3).padStart(8)} ${channel}${line.text}\n`);
  }

  #countBoot(): void {
    this.boots += 1;
    const counter = process.env.SLIPWAY_BOOT_COUNTER;
    if (counter) appendFileSync(counter, ".");
  }

  #event(name: string, data: Record<string, unknown>): void {
    if (name === "RESET") {
      // SeaBIOS answers a reset with a second one, to get its memory back as it was
      if (this.ms - this.#resetAt > 500) this.#countBoot();
      this.#resetAt = this.ms;
    }
    if (name === "SHUTDOWN") this.#reason = typeof data.reason === "string" ? data.reason : "";
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
      this.#child.kill("SIGKILL");
    }, 300); // what the kernel says next belongs to it
  }

  #fail(what: string): void {
    const errors = this.#errors.trim() === "" ? "" : `\nQEMU said:\n${this.#errors.trim()}`;
    this.#failure ??= new Error(`${what}${errors}\nthe console's last lines:\n${this.console.tail(25)}\nthe log is ${this.log}`);
    this.console.fail(this.#failure);
    this.results.fail(this.#failure);
  }

  #cleanUp(end: MachineEnd, sockets: string, server: Server, place: Lock): void {
    clearTimeout(this.#limit);
    this.console.end();
    this.results.end();
    this.#qmp.close();
    server.close();
    rmSync(sockets, { recursive: true, force: true });
    place.release();
    this.#fail(`the machine ended (${end.reason}, QEMU's exit ${end.code ?? end.signal})`);
  }

  /** Milliseconds since QEMU's start. */
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
    this.#child.stdin.write(text);
  }

  /** Kills QEMU and waits until it is gone. Nothing happens where it is gone already. */
  async cutPower(): Promise<MachineEnd> {
    this.#child.kill("SIGKILL");
    return this.exited;
  }

  /** Presses the reset button. */
  reset(): Promise<void> {
    return this.#qmp.command("system_reset");
  }

  /** Presses the power button; the guest decides what happens. */
  powerDown(): Promise<void> {
    return this.#qmp.command("system_powerdown");
  }

  /** Stops the processors until `resume`. */
  pause(): Promise<void> {
    return this.#qmp.command("stop");
  }

  resume(): Promise<void> {
    return this.#qmp.command("cont");
  }
}

/**
 * Starts a machine: waits until one of the places for machines is free, then starts QEMU. The time limit counts from
 * QEMU's start. QEMU ends with this process, however that ends. A restart of the guest goes on in the same QEMU.
 * With SLIPWAY_BOOT_COUNTER set, each start of a machine adds a byte to that file.
 */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const words = await accelerator(options.kernel);
  const place = options.place ?? (await takePlaces(1))[0];
  if (!place) throw new Error("no place for a machine");
  return new Machine(options, words, place);
}
