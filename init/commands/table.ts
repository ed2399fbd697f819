import type { Verb } from "./verb.ts";

/** A line of `slipway --help`, and where the verb's module is. */
export interface Entry {
  /** Words after `slipway`: "initrd build". */
  name: string;
  /** Other words for the same. */
  aliases?: string[];
  summary: string;
  group: "running system" | "boot" | "builder";
  load(): Promise<{ verb: Verb }>;
}

export const table: Entry[] = [
  {
    name: "status",
    summary: "which slot runs and boots next, how the last boots ended, what to do next",
    group: "running system",
    load: () => import("./status.ts"),
  },
  {
    name: "journal",
    summary: "the boot journal: how each boot went; with ATTEMPT, the system's log of that boot",
    group: "running system",
    load: () => import("./journal.ts"),
  },
  {
    name: "timeline",
    summary: "where the time of this boot went: the kernel's, each part of slipway's, systemd's; --svg: a picture",
    group: "running system",
    load: () => import("./timeline.ts"),
  },
  {
    name: "check",
    summary: "compare this machine with a channel: what it offers, and what not",
    group: "running system",
    load: () => import("./check.ts"),
  },
  {
    name: "install",
    summary: "put an image into a slot that does not run, and have the next boot try it",
    group: "running system",
    load: () => import("./install.ts"),
  },
  {
    name: "repair",
    summary: "make the image in a slot whole again, block by block",
    group: "running system",
    load: () => import("./repair.ts"),
  },
  {
    name: "activate",
    summary: "make the next boot choose a slot",
    group: "running system",
    load: () => import("./activate.ts"),
  },
  {
    name: "commit",
    aliases: ["mark-good"],
    summary: "say that the running image is good: end its trial, or give it its tries back (alias: mark-good)",
    group: "running system",
    load: () => import("./commit.ts"),
  },
  {
    name: "rollback",
    summary: "make the next boot leave the running slot for another one",
    group: "running system",
    load: () => import("./rollback.ts"),
  },
  {
    name: "mark-bad",
    summary: "give a slot up, so that it boots no more",
    group: "running system",
    load: () => import("./mark-bad.ts"),
  },
  {
    name: "recover",
    summary: "ask the next boot for a recovery: safe mode, a repair, a reinstall",
    group: "running system",
    load: () => import("./recover.ts"),
  },
  {
    name: "state explain",
    summary: "who may write a path, and what becomes of what is written there",
    group: "running system",
    load: () => import("./state/explain.ts"),
  },
  {
    name: "state list",
    summary: "the declared state as a tree, with sizes, and the generations",
    group: "running system",
    load: () => import("./state/list.ts"),
  },
  {
    name: "state diff",
    summary: "what differs from the running image",
    group: "running system",
    load: () => import("./state/diff.ts"),
  },
  {
    name: "state merge",
    summary: "with --dry-run: what another image's first boot would make of the state",
    group: "running system",
    load: () => import("./state/merge.ts"),
  },
  {
    name: "state reset",
    summary: "begin state anew at the next boot: a path's, or all (--factory)",
    group: "running system",
    load: () => import("./state/reset.ts"),
  },
  {
    name: "state restore",
    summary: "go on with another generation's state at the next boot: one that was set aside, or left",
    group: "running system",
    load: () => import("./state/restore.ts"),
  },
  {
    name: "state gc",
    summary: "delete the generations that nobody needs",
    group: "running system",
    load: () => import("./state/gc.ts"),
  },
  {
    name: "store show",
    summary: "where the boot record is, what the bootloader's store says, and what others changed there",
    group: "running system",
    load: () => import("./store/show.ts"),
  },
  {
    name: "store migrate",
    summary: "move to another control file's store, or place of the boot record; the present one stays as it is",
    group: "running system",
    load: () => import("./store/migrate.ts"),
  },
  {
    name: "bootloader status",
    summary: "which bootloader runs, is committed and is fallen back to, and what of the firmware's entries is wrong",
    group: "running system",
    load: () => import("./bootloader/status.ts"),
  },
  {
    name: "bootloader install",
    summary: "put a bootloader into the boot directory that does not run, and have the firmware try it once",
    group: "running system",
    load: () => import("./bootloader/install.ts"),
  },
  {
    name: "bootloader commit",
    summary: "say that the bootloader on trial is good, so that it boots first",
    group: "running system",
    load: () => import("./bootloader/commit.ts"),
  },
  {
    name: "bootloader rollback",
    summary: "give up the bootloader on trial, or go back to the other boot directory's",
    group: "running system",
    load: () => import("./bootloader/rollback.ts"),
  },
  {
    name: "bootloader check",
    summary: "put right the boot entries that the firmware forgot, doubled or reordered",
    group: "running system",
    load: () => import("./bootloader/check.ts"),
  },
  {
    name: "boot",
    summary: "with --explain: print what PID 1 would do on this machine, and why",
    group: "boot",
    load: () => import("./boot.ts"),
  },
  {
    name: "shutdown-credit",
    summary: "for a unit: note that this boot ends cleanly",
    group: "boot",
    load: () => import("./shutdown-credit.ts"),
  },
  {
    name: "trial-deadline",
    summary: "for a unit: reboot when the image on trial was not committed in time",
    group: "boot",
    load: () => import("./trial-deadline.ts"),
  },
  {
    name: "trial-failed",
    summary: "for a unit: reboot when the image on trial cannot be committed",
    group: "boot",
    load: () => import("./trial-failed.ts"),
  },
  {
    name: "report-recovery",
    summary: "for a unit: post the report of a recovery that PID 1 could not post",
    group: "boot",
    load: () => import("./report-recovery.ts"),
  },
  {
    name: "rauc-backend",
    summary: "for RAUC: its custom bootloader backend, and what its service and its handlers ask",
    group: "boot",
    load: () => import("./rauc-backend.ts"),
  },
  {
    name: "keys new",
    summary: "make a key pair that images and channels are signed with",
    group: "builder",
    load: () => import("../builder/keys/new.ts"),
  },
  {
    name: "image build",
    summary: "make a system image of a tree: read-only filesystem, hash tree, signed seal",
    group: "builder",
    load: () => import("../builder/image/build.ts"),
  },
  {
    name: "image seal",
    summary: "make a filesystem image a system image: hash tree, signed seal, footer",
    group: "builder",
    load: () => import("../builder/image/seal.ts"),
  },
  {
    name: "image inspect",
    summary: "what the seal of a system image says",
    group: "builder",
    load: () => import("../builder/image/inspect.ts"),
  },
  {
    name: "image verify",
    summary: "prove every byte of a system image",
    group: "builder",
    load: () => import("../builder/image/verify.ts"),
  },
  {
    name: "image payload",
    summary: "print what a key signs, for one that lives elsewhere",
    group: "builder",
    load: () => import("../builder/image/payload.ts"),
  },
  {
    name: "image attach-signature",
    summary: "add a signature that was made elsewhere",
    group: "builder",
    load: () => import("../builder/image/attach-signature.ts"),
  },
  {
    name: "image index",
    summary: "write the .idx of a system image",
    group: "builder",
    load: () => import("../builder/image/index.ts"),
  },
  {
    name: "publish",
    summary: "make a directory a channel: signed list, images, their indexes",
    group: "builder",
    load: () => import("../builder/channel/publish.ts"),
  },
  {
    name: "serve",
    summary: "serve a directory over http:, for trying images and channels at a desk",
    group: "builder",
    load: () => import("../builder/serve.ts"),
  },
  {
    name: "state compile",
    summary: "compile system definition and fragments into a control file",
    group: "builder",
    load: () => import("../builder/state/compile.ts"),
  },
  {
    name: "state check",
    summary: "check system definition and fragments, write nothing",
    group: "builder",
    load: () => import("../builder/state/check.ts"),
  },
  {
    name: "initrd build",
    summary: "write an initrd for a machine's control file and kernel",
    group: "builder",
    load: () => import("../builder/initrd/build.ts"),
  },
  {
    name: "initrd uki",
    summary: "put a slot's kernel, initrd and command line into one EFI executable, and sign it",
    group: "builder",
    load: () => import("../builder/initrd/uki.ts"),
  },
  {
    name: "initrd list",
    summary: "show what is in an initrd and what it weighs",
    group: "builder",
    load: () => import("../builder/initrd/list.ts"),
  },
  {
    name: "disk build",
    summary: "make a flashable disk from the system definition and images",
    group: "builder",
    load: () => import("../builder/disk/build.ts"),
  },
];
