import type { Kernel } from "../kernel/kernel.ts";
import type { Limits } from "./limits.ts";
import type { Told } from "./told.ts";

/** What callers may choose, and tests replace. */
export interface NetworkContext {
  told?: Told;
  kernel?: Kernel;
  limits?: Limits;
  /** Gives up: what is under way ends with a SourceError. */
  signal?: AbortSignal;
  /** PEM text of the authorities to believe where a source's options name none; null or left out: the system's. */
  authorities?: string | null;
  /** Set where PID 1 recovers the machine; see {@link InRecovery}. */
  recovery?: InRecovery;
}

/**
 * How a machine asks that boots no system: it may not know the time, so the dates of certificates never stop it, and it says
 * nothing about itself: no token and no client certificate is sent, whatever a source's options say.
 */
export interface InRecovery {
  /** "http://HOST:PORT", whatever a source's options say; null: none. See proxiesToTry in boot/network/proxy-url.ts. */
  proxy: string | null;
  /** PEM text of the only authorities that may vouch for https: servers (the control file's); null: the runtime's. */
  authorities?: string | null;
}
