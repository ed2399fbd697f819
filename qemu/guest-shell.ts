import type { Machine } from "./machine.ts";

export interface CommandResult {
  /** What it wrote to both outputs, without the last line break. */
  output: string;
  exitCode: number;
}

let count = 0;

/** For characters that a shell takes as they are between single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * A root shell on a machine's console, as the demo's autologin leaves one. What a command writes comes back on the results
 * channel, so that neither the terminal's echo nor the kernel's messages get into it.
 */
export class GuestShell {
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** Waits until the shell answers, after a boot. Throws when it does not within `timeoutMs`. */
  async ready(prompt: string | RegExp = /root@[\w-]+:.*# /, timeoutMs = 240_000): Promise<void> {
    await this.#machine.expect(prompt, timeoutMs);
    this.#machine.send("stty -echo cols 200; stty -F /dev/ttyS1 raw -echo; PS1='$ '\n");
  }

  /** Runs a command line in a shell of its own, and waits for its end. */
  async run(command: string, timeoutMs = 120_000): Promise<CommandResult> {
    count += 1;
    const [begin, end] = [`<<begin ${count}>>`, `<<end ${count} `];
    // Quoted in halves, so that an echo of the line is not taken for the answer. Through a pipe, so that no pager starts.
    const words = `{ echo '<<be''gin ${count}>>'; sh -c ${quoted(command)} </dev/null 2>&1 | cat; code=\${PIPESTATUS[0]}`;
    this.#machine.send(`${words}; echo; echo "<<e""nd ${count} $code>>"; } >/dev/ttyS1 2>&1\n`);
    await this.#machine.expectResult(begin, timeoutMs);
    const pattern = new RegExp(`([\\s\\S]*?)\\r?\\n?${end}(\\d+)>>`);
    const [, output = "", code = ""] = await this.#machine.expectResult(pattern, timeoutMs);
    return { output: output.replaceAll("\r\n", "\n").trim(), exitCode: Number(code) };
  }

  /** As {@link run}, for a command that must succeed. Returns what it wrote. */
  async must(command: string, timeoutMs?: number): Promise<string> {
    const { output, exitCode } = await this.run(command, timeoutMs);
    if (exitCode !== 0) throw new Error(`in the guest, exit code ${exitCode}: ${command}\n${output}`);
    return output;
  }

  /** Types a command and does not wait for its end: a reboot. */
  type(command: string): void {
    this.#machine.send(`${command}\n`);
  }
}
