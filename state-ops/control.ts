/**
 * The control file: everything a machine's builder declared, compiled into one checked JSON file (canonical JSON of
 * RFC 8785 with a digest). The one in the initrd rules slots, boot record, watchdog and command line; the one in an
 * image rules that image's operators. The other half of each is ignored.
 */

import type { ControlInstall, ControlRecovery } from "./recovery.ts";

/** How long a write is kept: until reboot; with the slot's generation; with the machine; for ever. */
export type StateClass = "ephemeral" | "persistent" | "shared" | "identity";

/**
 * How the rule is done. `overlay`: an upper layer over the image's directory. `bind`: a store. `tmpfs`: memory.
 * `symlink`: a link to `target`. `mask`: nothing can be read or written. `readonly`: the image's own content, inside an
 * operator that may be written.
 */
export type Via = "overlay" | "bind" | "tmpfs" | "symlink" | "mask" | "readonly";

/** A flag of the mount (mount(8)). */
export type MountFlag = "nodev" | "nosuid" | "noexec" | "nosymfollow";

/** Who wins where image and device both changed one path. `keyed` is `local` for everything but the files that are merged by line. */
export type MergeRule = "local" | "image" | "keyed" | "fail";

/** One declared path. */
export interface Operator {
  /** Names the store; systemd's escaping of `path` unless said: "var-lib-app". */
  id: string;
  /** Absolute and canonical, bytes of UTF-8. */
  path: string;
  kind: "directory" | "file";
  /** Null: what `via: mask` and `via: readonly` make immutable. */
  state: StateClass | null;
  via: Via;
  /** What a new store starts with; `literal`: a file with the text `literal`. */
  seed: "image" | "none" | "literal";
  literal: string | null;
  /** Permission bits of the store's root; null keeps the image's. */
  mode: number | null;
  owner: number | null;
  group: number | null;
  /** SELinux label (security.selinux) of the store's root: "system_u:object_r:var_t:s0"; null sets none. */
  context: string | null;
  /** All flags of the mount, sorted; `nodev` and `nosuid` unless declared away. */
  flags: MountFlag[];
  /** Limit of a tmpfs in bytes; null for the kernel's default of half the memory. */
  size: number | null;
  /** Limit of a tmpfs in files; null for the kernel's default. */
  inodes: number | null;
  /** What a `symlink` points to: an absolute path; null for anything else. */
  target: string | null;
  merge: MergeRule;
  /** `required`: the slot fails. `degraded`: a tmpfs instead, and a trial cannot be committed. */
  onFailure: "required" | "degraded";
  /** Kept with the generation, but not cloned: a new generation begins with what `seed` says. */
  cache: boolean;
  /** Globs (globs.ts) of paths in the store that are not cloned. */
  exclude: string[];
  /**
   * Made once, on the device, where the store has no such file. `uuid`: a random one and a newline. `random`: 32 random
   * bytes as 64 hex digits and a newline.
   */
  generate: "machine-id" | "uuid" | "random" | null;
  /** Id that the store had in earlier images. */
  renamedFrom: string | null;
  /** Why the path does not roll back; always there for `shared`. */
  reason: string | null;
  /** `package/file:line` of the fragment. */
  origin: string;
}

/** The boot record has room for no more. */
export const MOST_SLOTS = 16;

/** A place that holds one system image: a partition, or a file on the data filesystem. `"file" in slot` tells them apart. */
export type SlotDefinition = PartitionSlot | FileSlot;

interface NamedSlot {
  name: string;
  /** RAUC's word for the name that the bootloader knows the slot by: "A" in BOOT_A_LEFT. The slot's own name if absent. */
  bootname?: string;
}

export interface PartitionSlot extends NamedSlot {
  /** Device reference: PARTLABEL=, PARTUUID=, LABEL=, UUID= or /dev/…. */
  device: string;
  /** Of a slot of the Discoverable Partitions Specification: the partition with its hash tree. Left out for an image of ours. */
  verity?: string;
  /** The one with the signature of its root hash. Left out where nobody signed it. */
  signature?: string;
}

export interface FileSlot extends NamedSlot {
  /** Relative to the data filesystem's root: "images/c.img" (slot-file.ts). */
  file: string;
  /** Bytes that the file is allocated with when it is made. */
  size: number;
}

/** Where U-Boot keeps a copy of its environment: on a device as it is, or in a file of a filesystem. Bytes. */
export type EnvironmentCopy =
  | {
      device: string;
      /** Below 0: from the device's end. */
      offset: number;
      size: number;
      /** What is erased at once on MTD, 0: what the flash says; `sectors` of them may hold the copy, where some are bad, 0: as it needs. */
      sectorSize: number;
      sectors: number;
    }
  | {
      device: string;
      /** Relative to the filesystem's root: "uboot.env" */
      file: string;
      size: number;
    };

/**
 * What the bootloader reads and writes of the slots, beside slipway's own boot record (boot/stores/view.ts). A `device` is that
 * of the filesystem which holds the file or directory; both are relative to its root.
 */
export type LoaderStore =
  | { store: "grubenv"; grubenv: { device: string; file: string; dialect: "rauc" | "slipway" } }
  /** One copy: U-Boot's single environment. Two: the redundant one. */
  | { store: "uboot-env"; environment: { copies: EnvironmentCopy[]; dialect: "rauc" | "rauc-decimal" } }
  | { store: "gpt"; dialect: "chromeos" | "gptprio" }
  | { store: "bls"; bls: { device: string; directory: string } }
  | { store: "tryboot"; tryboot: { device: string } };

/** `device` is the partition of slipway's own record; null: it is a file on the data filesystem. */
export type ControlBootRecord = { device: string | null } & ({ store: "record" } | LoaderStore);

export type DataFilesystem = "ext4" | "xfs" | "btrfs";

/** As many keys may be trusted as an envelope holds signatures (boot/image/envelope.ts). */
export const MOST_KEYS = 16;

/** A certificate (X.509) whose key may sign root hashes; its dates are not looked at. */
export interface TrustedCertificate {
  /** SHA-256 in hex of its DER. */
  fingerprint: string;
  /** Base64 of its key's SubjectPublicKeyInfo. */
  key: string;
}

/**
 * Which images and channels are believed. `unsigned`: any, for development. `signed`: those that `threshold` of `keys` signed.
 */
export type ControlTrust =
  | { mode: "unsigned" }
  | {
      mode: "signed";
      /** Ed25519 public keys, 64 hex digits each, no two equal. None only where there are certificates. */
      keys: string[];
      /** Of partitions with a signature of their own (boot/dps/). Left out where none is trusted. */
      certificates?: TrustedCertificate[];
      threshold: number;
      /** No image with a lower rollback index boots or is installed, whatever the boot record says. */
      rollbackFloor: number;
      /** Whether the kernel has to check a signature of the root hash as well (dm-verity's root_hash_sig_key_desc). */
      kernelSignature: "ignored" | "required";
    };

/** A directory on an EFI system partition that one bootloader lies in. */
export interface BootDirectory {
  device: string;
  /** From the filesystem's root: "EFI/slipway-a". */
  directory: string;
}

/** Two boot directories, of which one boots while the other is written. */
export interface ControlBootloader {
  directories: BootDirectory[];
  /** The program in each edition's directory that the firmware starts: "grubx64.efi". */
  program: string;
}

export interface ControlFile {
  schema: 1;
  /** Product name; an image for another system is refused. */
  system: string;
  /** In the order of system.yaml: the order they are tried in without a record. */
  slots: SlotDefinition[];
  /** Device reference of the whole disk; null: the disk that holds a valid boot record. */
  disk: string | null;
  /**
   * `whenReplaced`: what to do with a data filesystem that is not the one that the boot record knows. `refuse`: no state is
   * laid on it. `adopt`: it is used, and said. `grow`: it is made as large as its disk allows at each boot. `create`: it is made
   * where its partition is not there, or has nothing on it, and the record knows of none.
   */
  data: {
    device: string;
    filesystem: DataFilesystem;
    whenReplaced: "refuse" | "adopt";
    grow: boolean;
    create: boolean;
  } | null;
  bootRecord: ControlBootRecord;
  /** Who picks the slot and counts. `loader`: PID 1 follows the slot that the bootloader names on the command line. */
  chooser: "slipway" | "loader";
  tries: { trial: number; committed: number };
  /** Seconds from the handover after which a trial that was not committed is rebooted. */
  trialDeadline: number;
  /** Seconds to wait for a device. */
  deviceTimeout: number;
  /** Null: no watchdog is used. `timeout` in seconds. */
  watchdog: { timeout: number; after: "systemd" | "keep" | "stop" } | null;
  /** `slot`: a slot runs on its own kernel, by kexec where another one runs. Left out: on the one that the loader started. */
  kernel?: "slot";
  /** A slot's own initrd may have other keys and another policy than this one. Left out: it must say the same. */
  delegate?: true;
  /** `locked`: `init=` and debugging words on the kernel command line are refused. */
  commandLine: "open" | "locked";
  trust: ControlTrust;
  recovery: ControlRecovery;
  /** What a disk with nothing on it is made into; null: such a disk is not touched. */
  install: ControlInstall | null;
  /** Left out where the bootloader is nothing of slipway's. */
  bootloader?: ControlBootloader;
  /** The image's users and groups and their numbers, so that the next image's compiler sees a number that changed. */
  accounts: { users: Record<string, number>; groups: Record<string, number> };
  /** Mounts come parent first. */
  operators: Operator[];
  /** "sha256:" and hex, over the canonical JSON without this key. */
  digest: string;
}
