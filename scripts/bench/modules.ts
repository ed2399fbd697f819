import { readFileSync } from "node:fs";
import type { CpioEntry } from "../../init/builder/initrd/cpio.ts";
import { readModuleDirectory } from "../../init/builder/initrd/depmod.ts";
import { selectModules } from "../../init/builder/initrd/select-modules.ts";
import { hostArchitecture } from "../../qemu/architecture.ts";
import type { Ground } from "./ground.ts";

/** A module to load by its file. */
export interface ModuleFile {
  /** Name of the file: "virtio_blk.ko". */
  name: string;
  /** On the host, uncompressed. */
  file: string;
}

/** The modules to load with all they need, in order. */
export function moduleFiles({ kernel, modules }: Pick<Ground, "kernel" | "modules">): ModuleFile[] {
  const known = readModuleDirectory(kernel.modules);
  const { files, index } = selectModules(known, kernel.version, hostArchitecture, [...modules]);
  const order = new Set(index.load.flatMap((name) => [...(index.depends[name] ?? []), name]));
  return [...order].map((name) => {
    const path = files.find((file) => file.name === name)?.path ?? name;
    if (!path.endsWith(".ko")) throw new Error(`${kernel.modules}/${path} is compressed; busybox's insmod takes it as it is`);
    return { name: `${name}.ko`, file: `${kernel.modules}/${path}` };
  });
}

/** What an archive has of them, in /modules. */
export function moduleEntries(modules: readonly ModuleFile[]): CpioEntry[] {
  return modules.map(({ name, file }) => ({ path: `modules/${name}`, kind: "file", mode: 0o644, content: readFileSync(file) }));
}
