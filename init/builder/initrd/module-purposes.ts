/** What each kernel module of an initrd is there for. */

import { type Architecture, architectures } from "../../../boot/architecture.ts";
import { type ModuleIndex, moduleName } from "../../../boot/modules.ts";
import {
  boardModules,
  diskModules,
  filesystemModules,
  mediaModules,
  networkModules,
  preinitModules,
  proofModules,
  watchdogModules,
} from "./module-sets.ts";

export const modulePurposes = [
  "preinit",
  "named",
  "disks",
  "boards",
  "filesystems",
  "proof",
  "watchdogs",
  "media",
  "network",
] as const;
export type ModulePurpose = (typeof modulePurposes)[number] | "other";

const all = (of: (architecture: Architecture) => readonly string[]): string[] => architectures.flatMap(of);

const sets: Record<Exclude<ModulePurpose, "named" | "other">, readonly string[]> = {
  preinit: preinitModules,
  disks: diskModules,
  boards: all((architecture) => boardModules[architecture]),
  filesystems: filesystemModules,
  proof: proofModules,
  watchdogs: all(watchdogModules),
  media: mediaModules,
  network: networkModules,
};

/**
 * The purpose of each file of the index: the first of {@link modulePurposes} whose modules need it, so that what would be left
 * without a purpose could be left out of the initrd with it.
 */
export function purposesOf(index: ModuleIndex): Map<string, ModulePurpose> {
  const files = Object.keys(index.depends);
  const purposes = new Map<string, ModulePurpose>();
  for (const purpose of modulePurposes) {
    const wanted = purpose === "named" ? index.load : files.filter((file) => sets[purpose].includes(moduleName(nameOf(file))));
    for (const file of wanted.flatMap((one) => [...(index.depends[one] ?? []), one])) {
      if (!purposes.has(file)) purposes.set(file, purpose);
    }
  }
  for (const file of files) if (!purposes.has(file)) purposes.set(file, index.recovery.includes(file) ? "network" : "other");
  return purposes;
}

function nameOf(file: string): string {
  return file.replace(/\.ko$/, "");
}
