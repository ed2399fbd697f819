import type { EndedChild, Kernel } from "../kernel/kernel.ts";

/**
 * PID 1's children: those it started, and every orphan of the system. All are started by {@link Kernel.spawn}, never by
 * Bun, so that one wait for any child takes nobody's status away.
 */
export class Children {
  readonly #kernel: Kernel;
  readonly #awaited = new Map<number, EndedChild | null>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  /** Takes the status of every child that has ended, orphans included. */
  reap(): void {
    for (let child = this.#kernel.reap(); child !== null; child = this.#kernel.reap()) {
      if (this.#awaited.has(child.pid)) this.#awaited.set(child.pid, child);
    }
  }

  /** Starts a program with `stdio` for its standard streams and waits for its end, calling `pause` meanwhile. */
  async run(
    program: string,
    args: string[],
    environment: Record<string, string>,
    stdio: number,
    pause: (pid: number) => Promise<void>,
  ): Promise<EndedChild> {
    const pid = this.#kernel.spawn(program, args, environment, stdio);
    this.#awaited.set(pid, null);
    for (;;) {
      this.reap();
      const ended = this.#awaited.get(pid);
      if (ended) {
        this.#awaited.delete(pid);
        return ended;
      }
      await pause(pid);
    }
  }
}
