import type { ExecutablePart } from "./executable-parts.ts";
import type { ModulePurpose } from "./module-purposes.ts";

/** What a byte of an initrd is for; the key of its text, and its name in JSON. */
export type Purpose =
  | `executable-${ExecutablePart}`
  | `module-${ModulePurpose | "index"}`
  | "libraries"
  | "busybox"
  | "extra"
  | "hot"
  | "preinit"
  | "control"
  | "small"
  | "tables"
  | "headers";

const some = "initrd build --module NAME for each that the machine has";

/** In words, and how an initrd is made without it; null where it cannot be. */
export const purposes: Record<Purpose, { what: string; leftOutBy: string | null }> = {
  "executable-code": { what: "slipway: the runtime's code", leftOutBy: null },
  "executable-constants": { what: "slipway: the runtime's constants", leftOutBy: null },
  "executable-languages": { what: "slipway: ICU, characters and English", leftOutBy: null },
  "executable-runtime-javascript": { what: "slipway: the runtime's own JavaScript", leftOutBy: null },
  "executable-our-javascript": { what: "slipway: its JavaScript, with bytecode", leftOutBy: null },
  "executable-rest": { what: "slipway: writable data, symbols, headers", leftOutBy: null },
  hot: { what: "slipway: what a start touches, packed for speed", leftOutBy: null },
  libraries: { what: "libraries", leftOutBy: null },
  "module-preinit": { what: "kernel modules: for the runtime image", leftOutBy: "a kernel with loop and squashfs built in" },
  "module-named": { what: "kernel modules: named, and what they need", leftOutBy: "fewer --module NAME" },
  "module-disks": { what: "kernel modules: disks", leftOutBy: some },
  "module-boards": { what: "kernel modules: boards of a device tree", leftOutBy: some },
  "module-filesystems": { what: "kernel modules: filesystems", leftOutBy: some },
  "module-watchdogs": { what: "kernel modules: watchdogs", leftOutBy: some },
  "module-proof": { what: "kernel modules: dm-verity", leftOutBy: "a kernel with dm-verity built in" },
  "module-media": { what: "kernel modules: media, for a recovery", leftOutBy: "recovery: { media: false }" },
  "module-network": { what: "kernel modules: network, for a recovery", leftOutBy: "recovery: { network: off }" },
  "module-other": { what: "kernel modules: others", leftOutBy: null },
  "module-index": { what: "kernel modules: the index", leftOutBy: null },
  busybox: { what: "busybox", leftOutBy: "initrd build without --debug" },
  extra: { what: "files put in", leftOutBy: "initrd build without --extra" },
  preinit: { what: "preinit", leftOutBy: null },
  control: { what: "control file", leftOutBy: null },
  small: { what: "small files of the archive", leftOutBy: null },
  tables: { what: "tables of the runtime image, and its padding", leftOutBy: null },
  headers: { what: "headers of the archive, and its padding", leftOutBy: null },
};
