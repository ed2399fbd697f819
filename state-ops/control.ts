/**
 * The control file: everything a machine's builder declared, compiled into one checked JSON file (canonical JSON of
 * RFC 8785 with a digest). The one in the initrd rules slots, boot record, watchdog and command line; the one in an
 * image rules that image's operators. The other half of each is ignored.
 */

/** How long a write is kept: until reboot; with the slot's generation; with the machine; for ever. */
export type StateClass = "ephemeral" | "persistent" | "shared" | "identity";

/** How the rule is done. */
export type Via = "overlay" | "bind" | "tmpfs";

/** One declared path. */
export interface Operator {
  /** Names the store; systemd's escaping of `path` unless said: "var-lib-app". */
  id: string;
  /** Absolute and canonical, bytes of UTF-8. */
  path: string;
  kind: "directory" | "file";
  state: StateClass;
  via: Via;
  /** What a new store starts with. */
  seed: "image" | "none";
  /** Permission bits of the store's root; null keeps the image's. */
  mode: number | null;
  owner: number | null;
  group: number | null;
  /** Limit of a tmpfs in bytes; null for the kernel's default of half the memory. */
  size: number | null;
  /** `required`: the slot fails. `degraded`: a tmpfs instead, and a trial cannot be committed. */
  onFailure: "required" | "degraded";
  /** Made once, on the device, where the store has no such file. */
  generate: "machine-id" | null;
  /** Why the path does not roll back; always there for `shared`. */
  reason: string | null;
  /** `package/file:line` of the fragment. */
  origin: string;
}

/** The boot record has room for no more. */
export const MOST_SLOTS = 16;

export interface SlotDefinition {
  name: string;
  /** Device reference: PARTLABEL=, PARTUUID=, LABEL=, UUID= or /dev/…. */
  device: string;
}

export type DataFilesystem = "ext4" | "xfs" | "btrfs";

export interface ControlFile {
  schema: 1;
  /** Product name; an image for another system is refused. */
  system: string;
  /** In the order of system.yaml: the order they are tried in without a record. */
  slots: SlotDefinition[];
  /** Device reference of the whole disk; null: the disk that holds a valid boot record. */
  disk: string | null;
  data: { device: string; filesystem: DataFilesystem } | null;
  bootRecord: { store: "record"; device: string };
  chooser: "slipway";
  tries: { trial: number; committed: number };
  /** Seconds from the handover after which a trial that was not committed is rebooted. */
  trialDeadline: number;
  /** Seconds to wait for a device. */
  deviceTimeout: number;
  /** Null: no watchdog is used. `timeout` in seconds. */
  watchdog: { timeout: number; after: "systemd" | "keep" | "stop" } | null;
  /** `locked`: `init=` and debugging words on the kernel command line are refused. */
  commandLine: "open" | "locked";
  trust: { mode: "unsigned" };
  /** Mounts come parent first. */
  operators: Operator[];
  /** "sha256:" and hex, over the canonical JSON without this key. */
  digest: string;
}
