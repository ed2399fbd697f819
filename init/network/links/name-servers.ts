/** /etc/resolv.conf of the initrd. */
import { resolvConf } from "../../../boot/network/resolv-conf.ts";
import { readTextIfThere, writeVolatile } from "../../kernel/files.ts";
import { type Kernel, KernelError } from "../../kernel/kernel.ts";

const PATH = "/etc/resolv.conf";
/** Renamed over it, so that nobody ever reads half of it. */
const ASIDE = "/etc/.resolv.conf.slipway";

export class NameServers {
  readonly #kernel: Kernel;
  readonly #told: (line: string) => void;
  /** What was there before; undefined: nothing was written yet. */
  #before: string | null | undefined;
  #written: string | null = null;

  constructor(kernel: Kernel, told: (line: string) => void) {
    this.#kernel = kernel;
    this.#told = told;
  }

  /** Makes these the name servers, where they are not. */
  become(nameservers: readonly string[], search: readonly string[]): void {
    const text = resolvConf(nameservers, search);
    if (text === this.#written) return;
    if (this.#before === undefined) this.#before = readTextIfThere(this.#kernel, PATH);
    this.#write(text);
    this.#written = text;
  }

  #write(text: string): void {
    try {
      writeVolatile(this.#kernel, ASIDE, text);
      this.#kernel.rename(ASIDE, PATH);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#told(`network: no name servers: ${error.message}`);
    }
  }

  /** Puts back what was there. */
  close(): void {
    if (this.#before === undefined) return;
    const before = this.#before;
    this.#before = undefined;
    this.#written = null;
    if (before !== null) {
      this.#write(before);
      return;
    }
    try {
      this.#kernel.remove(PATH);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
