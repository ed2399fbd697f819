import { type ChildProcessByStdio, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { Qmp } from "./qmp.ts";

/** What a QEMU that runs has to tell. */
export interface QemuListener {
  console(bytes: Uint8Array): void;
  results(bytes: Uint8Array): void;
  /** QEMU's own complaints. */
  errors(text: string): void;
  /** The machine was reset, and goes on in the same QEMU. */
  reset(): void;
}

/** How a QEMU ended; `reason` is QEMU's own word, or "killed", "ended", "not started". */
export interface QemuEnd {
  code: number | null;
  signal: string | null;
  reason: string;
}

/** One run of QEMU with its channels. It ends with this process, however that ends. */
export class QemuProcess {
  readonly qmp: Qmp;
  /** Fulfilled when it ended and all that it sent was heard; never rejected. */
  readonly ended: Promise<QemuEnd>;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  #reason = "";

  /**
   * @param program QEMU for the machine's architecture
   * @param wordsFor QEMU's words, given the directory with the sockets `results` and `qmp` that it connects to
   */
  constructor(program: string, wordsFor: (sockets: string) => string[], listener: QemuListener) {
    const sockets = mkdtempSync(join(tmpdir(), "slipway-qemu-"));
    const results = listen(`${sockets}/results`, listener.results);
    this.qmp = new Qmp(`${sockets}/qmp`, (name, data) => {
      if (name === "RESET") listener.reset();
      if (name === "SHUTDOWN") this.#reason = typeof data.reason === "string" ? data.reason : "";
    });
    this.#child = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...wordsFor(sockets)], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#child.stdin.on("error", () => {});
    this.#child.stdout.on("data", listener.console);
    this.#child.stderr.setEncoding("utf8").on("data", listener.errors);
    const ended = new Promise<QemuEnd>((resolve) => {
      this.#child.once("error", (error) => {
        listener.errors(error.message);
        resolve({ code: null, signal: null, reason: "not started" });
      });
      this.#child.once("close", (code, signal) => {
        Promise.all([results.finished(), this.qmp.finished()]).then(() => {
          resolve({ code, signal, reason: this.#reason || (signal === "SIGKILL" ? "killed" : "ended") });
        });
      });
    });
    this.ended = ended.finally(() => {
      this.qmp.close();
      results.close();
      rmSync(sockets, { recursive: true, force: true });
    });
  }

  send(text: string | Uint8Array): void {
    this.#child.stdin.write(text);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** Takes one connection on the unix socket `path`. */
function listen(path: string, receive: (bytes: Uint8Array) => void): { finished(): Promise<void>; close(): void } {
  let finish = () => {};
  let connected = false;
  const drained = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const server = createServer((socket) => {
    connected = true;
    server.close();
    socket.on("data", receive);
    socket.on("error", () => {});
    socket.on("close", finish);
  });
  server.listen(path);
  server.unref();
  return { finished: () => (connected ? drained : Promise.resolve()), close: () => server.close() };
}
