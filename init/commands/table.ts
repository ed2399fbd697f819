import type { Verb } from "./verb.ts";

/** A line of `slipway --help`, and where the verb's module is. */
export interface Entry {
  /** Words after `slipway`: "initrd build". */
  name: string;
  /** Other words for the same. */
  aliases?: string[];
  summary: string;
  group: "running system" | "builder" | "boot";
  load(): Promise<{ verb: Verb }>;
}

export const table: Entry[] = [
  {
    name: "initrd build",
    summary: "write an initrd for a machine's control file and kernel",
    group: "builder",
    load: () => import("../builder/initrd/build.ts"),
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
];
