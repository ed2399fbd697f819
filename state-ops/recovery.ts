/** What the control file says of recovery: what a machine does when none of its slots boots. */

/**
 * What is tried, gentlest first; the order here is the default. `previous-generation`: the same slot with the state that it had
 * before. `safe-mode`: the same slot with memory in the place of its persistent state; it cannot be committed. `repair`: the
 * damaged blocks of the image that the slot holds. `reinstall`: another image, or this one, whole; the state is kept.
 * `reinstall-fresh`: the same, and the persistent state is set aside; shared and identity state stay.
 */
export const RUNGS = ["previous-generation", "safe-mode", "repair", "reinstall", "reinstall-fresh"] as const;
export type Rung = (typeof RUNGS)[number];

/**
 * How the state is laid in a boot. `ordinary`: as declared. `previous`: persistent state is a clone of the generation before the
 * slot's own. `memory`: persistent state is laid in memory. `fresh`: persistent state begins anew from the image, and what was
 * there is kept aside. Shared and identity state are the machine's own in all of them.
 */
export type StateWish = "ordinary" | "previous" | "memory" | "fresh";

/** Those that give the slot another generation than its own. */
export type RecoveryWish = Extract<StateWish, "previous" | "fresh">;

/** How the state is laid in the system that a rung boots. */
export const WISH_OF: Record<Rung, StateWish> = {
  "previous-generation": "previous",
  "safe-mode": "memory",
  repair: "ordinary",
  reinstall: "ordinary",
  "reinstall-fresh": "fresh",
};

/** A link that is set up as declared, with no server to ask. */
export interface StaticLink {
  /** The kernel's name ("eth0") or the hardware's address ("52:54:00:12:34:56"); null: every link. */
  link: string | null;
  /** With the length of the prefix: "192.0.2.10/24", "2001:db8::10/64". */
  addresses: string[];
  /** Routers: one a family at most. */
  gateways: string[];
  nameservers: string[];
}

/** `dhcp`: DHCPv4 and IPv6 router advertisements on every link. */
export type RecoveryNetwork = { mode: "off" } | { mode: "dhcp" } | { mode: "static"; links: StaticLink[] };

export interface ControlRecovery {
  /** What is allowed, in the order in which it is tried. Empty: the machine tells why it does not boot, waits, and tries again. */
  ladder: Rung[];
  /** https: and http: URLs of channels and images, best first. */
  sources: string[];
  /** Device reference of a partition with an image on it, or a filesystem with a channel or an image; null without one. */
  factory: string | null;
  /** Whether removable media are looked at. */
  media: boolean;
  network: RecoveryNetwork;
  /** PEM of the only authorities that may vouch for https: servers; null: those built into the runtime. */
  authorities: string | null;
  /** "http://HOST:PORT" of the proxy that every source is asked through; null: none. */
  proxy: string | null;
  /** http: or https: URL that each recovery is reported to; null: to nobody. */
  report: string | null;
  /** The file that asks for a recovery by being there; PID 1 removes it. `path` is relative to the filesystem on `device`. */
  request: { device: string; path: string } | null;
  /** Seconds without progress after which what is tried is given up for what comes next. */
  patience: number;
  /** Longest pause between two attempts, seconds. */
  longestPause: number;
}

/** A partition that a blank disk gets. */
export interface LayoutPartition {
  /** PARTLABEL. */
  label: string;
  /** Bytes, a multiple of 1 MiB; null: all that is left, for the last one only. */
  size: number | null;
  /** GUID of its type, lower case. */
  type: string;
}

/** What may be done to a disk that has nothing on it. */
export interface ControlInstall {
  partitions: LayoutPartition[];
}

/** What holds where `recovery:` says nothing: everything that the machine can do by itself. */
export const DEFAULT_RECOVERY: ControlRecovery = {
  ladder: [...RUNGS],
  sources: [],
  factory: null,
  media: false,
  network: { mode: "off" },
  authorities: null,
  proxy: null,
  report: null,
  request: null,
  patience: 600,
  longestPause: 600,
};
