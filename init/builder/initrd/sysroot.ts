import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { posix } from "node:path";
import { ARCHITECTURE } from "../../../boot/architecture.ts";
import { machineText } from "../../../boot/elf.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { ownArchitecture } from "../../version.ts";

/** As many links as the kernel follows in one path (path_resolution(7)). */
const MOST_LINKS = 40;

/** The tree that libraries come from: the builder's own root, or the unpacked root of another machine. */
export class Sysroot {
  readonly root: string;

  /** Throws BadInput where `root` is no directory. */
  constructor(root: string) {
    if (statSync(root, { throwIfNoEntry: false })?.isDirectory() !== true) {
      throw new BadInput(
        `--sysroot ${root} is no directory; give an unpacked root of the machine, for example the image's own tree`,
      );
    }
    this.root = realpathSync(root);
  }

  /** The file of the builder that `path` is in the tree, links not followed. */
  place(path: string): string {
    return posix.join(this.root, path);
  }

  /** What a file of the builder is called in the tree; null where it does not lie in it. */
  pathOf(file: string): string | null {
    if (this.root === "/") return file;
    return file.startsWith(`${this.root}/`) ? file.slice(this.root.length) : null;
  }

  /** The file of the builder that `path` stands for in the tree, whose links lead nowhere else; null where there is none. */
  find(path: string): string | null {
    const rest = path.split("/");
    let reached: string[] = [];
    let links = 0;
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      if (part === "" || part === ".") continue;
      if (part === "..") {
        reached.pop();
        continue;
      }
      const place = this.place([...reached, part].join("/"));
      const status = lstatSync(place, { throwIfNoEntry: false });
      if (status === undefined) return null;
      if (!status.isSymbolicLink()) {
        if (rest.length > 0 && !status.isDirectory()) return null;
        reached.push(part);
        continue;
      }
      links += 1;
      if (links > MOST_LINKS) return null;
      const target = readlinkSync(place);
      if (target.startsWith("/")) reached = [];
      rest.unshift(...target.split("/"));
    }
    return this.place(reached.join("/"));
  }

  /** For messages: " in TREE", nothing for the builder's own root. */
  get within(): string {
    return this.root === "/" ? "" : ` in ${this.root}`;
  }

  /** What to do about a library for `machine` (ELF) that is missing in the tree. */
  remedy(machine: number): string {
    const own = ARCHITECTURE[ownArchitecture].elfMachine;
    if (this.root !== "/") return "install its package there";
    if (machine === own) return "install its package";
    return `name an unpacked ${machineText(machine)} root with --sysroot DIRECTORY, for example the image's own tree`;
  }
}
