/** Name servers and search lists that routers of one link advertised, as long as they hold. */

import { readRouterOptions } from "../../../boot/network/router-options.ts";
import { type IpAddress, printAddress } from "../../../state-ops/ip-address.ts";

/** So many are kept: a link on which somebody advertises new ones all the time shall not fill the memory. */
const MOST = 16;

export class RouterNames {
  readonly #nameservers = new Map<string, { address: IpAddress; untilMs: number }>();
  readonly #search = new Map<string, number>();

  /** Takes options of an advertisement that came now. */
  take(options: Uint8Array, nowMs: number): void {
    const names = readRouterOptions(options);
    for (const { address, seconds } of names.nameservers) {
      const key = printAddress(address);
      this.#nameservers.delete(key);
      if (seconds > 0 && this.#nameservers.size < MOST) this.#nameservers.set(key, { address, untilMs: nowMs + seconds * 1000 });
    }
    for (const { domain, seconds } of names.search) {
      this.#search.delete(domain);
      if (seconds > 0 && this.#search.size < MOST) this.#search.set(domain, nowMs + seconds * 1000);
    }
  }

  nameservers(nowMs: number): IpAddress[] {
    return [...this.#nameservers.values()].flatMap(({ address, untilMs }) => (untilMs > nowMs ? [address] : []));
  }
  search(nowMs: number): string[] {
    return [...this.#search].flatMap(([domain, untilMs]) => (untilMs > nowMs ? [domain] : []));
  }

  /** The link is in another network perhaps. */
  clear(): void {
    this.#nameservers.clear();
    this.#search.clear();
  }
}
