/** The way to the network that the machine had when its system was last known to be good: a recovery tries it too. */

/** One link as it was set up. */
export interface ProfileLink {
  /** The hardware's address, "52:54:00:12:34:56": names of links may differ from one kernel to the next. */
  hardware: string;
  /** The kernel's name then: "eth0". */
  name: string;
  /** With the length of the prefix: "192.0.2.10/24", "2001:db8::10/64". */
  addresses: string[];
  /** Routers of default routes, best first. */
  gateways: string[];
}

export interface NetworkProfile {
  links: ProfileLink[];
  nameservers: string[];
  /** "http://HOST:PORT"; null: none. */
  proxy: string | null;
}
