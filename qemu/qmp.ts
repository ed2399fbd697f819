import { createServer, type Socket } from "node:net";

/** Arguments of a command. */
export interface CommandWords {
  [name: string]: string | number | boolean | null | CommandWords;
}

/** QEMU's monitor protocol, as far as it is needed: commands without answers of interest, and events. */
export class Qmp {
  #socket: Socket | null = null;
  #ready: Promise<void>;
  #drained = Promise.resolve();
  #buffer = "";
  #waiting: ((answer: { error?: { desc?: string } }) => void)[] = [];

  /**
   * Listens on the unix socket `path`; QEMU connects to it (`-qmp unix:path`) as it starts.
   * @param onEvent called with an event's name and data: "RESET", "SHUTDOWN"
   */
  constructor(
    path: string,
    private readonly onEvent: (name: string, data: Record<string, unknown>) => void,
  ) {
    this.#ready = new Promise((resolve) => {
      const server = createServer((socket) => {
        server.close();
        this.#socket = socket;
        this.#drained = new Promise((drained) => socket.once("close", () => drained()));
        socket.on("error", () => {});
        socket.setEncoding("utf8").on("data", (chunk: string) => this.#receive(chunk));
        this.#send("qmp_capabilities").then(
          () => resolve(),
          () => {},
        );
      });
      server.listen(path);
      server.unref();
    });
  }

  #receive(chunk: string): void {
    this.#buffer += chunk;
    const lines = this.#buffer.split("\n");
    this.#buffer = lines.pop() ?? "";
    for (const line of lines) {
      if (line.trim() === "") continue;
      const message = JSON.parse(line);
      if ("event" in message) this.onEvent(message.event, message.data ?? {});
      else if ("return" in message || "error" in message) this.#waiting.shift()?.(message);
    }
  }

  #send(command: string, words?: CommandWords): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((answer) => {
        if (answer.error) reject(new Error(`QEMU refused ${command}: ${answer.error.desc ?? "no reason given"}`));
        else resolve();
      });
      this.#socket?.write(`${JSON.stringify({ execute: command, ...(words === undefined ? {} : { arguments: words }) })}\n`);
    });
  }

  /** Carries out one command, "system_reset", with its arguments. Throws what QEMU says against it. */
  async command(name: string, words?: CommandWords): Promise<void> {
    await this.#ready;
    await this.#send(name, words);
  }

  /** Fulfilled when QEMU has closed the connection and all that it sent was heard; at once where it never connected. */
  finished(): Promise<void> {
    return this.#drained;
  }

  close(): void {
    this.#socket?.destroy();
  }
}
