import { lstatSync, readdirSync, readFileSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";
import { components, type ImageEntry, type ImageTree } from "../../../state-ops/image-tree.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { reasonOf } from "../input.ts";

/** An image tree that is unpacked in a directory. No link of the image is followed, so none leads to the builder's files. */
export function imageDirectory(root: string): ImageTree {
  const stats = (path: string): Stats | null => {
    const [own, ...above] = components(path).reverse();
    const reached = above.reverse().every((part) => lstatSync(join(root, part), { throwIfNoEntry: false })?.isDirectory());
    return reached && own !== undefined ? (lstatSync(join(root, own), { throwIfNoEntry: false }) ?? null) : null;
  };
  return {
    look(path) {
      return readable(root, path, () => {
        const found = stats(path);
        return found === null ? null : describe(join(root, path), found);
      });
    },
    text(path) {
      return readable(root, path, () => (stats(path)?.isFile() === true ? readFileSync(join(root, path), "utf8") : null));
    },
  };
}

function readable<Result>(root: string, path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw new BadInput(`--root ${root}: ${path} cannot be read: ${reasonOf(error)}; run this as who made the tree`);
  }
}

function describe(file: string, stats: Stats): ImageEntry {
  if (stats.isSymbolicLink()) {
    return { kind: "symlink", target: readlinkSync(file), empty: false };
  }
  if (stats.isDirectory()) {
    return { kind: "directory", target: null, empty: readdirSync(file).length === 0 };
  }
  return stats.isFile() ? { kind: "file", target: null, empty: stats.size === 0 } : { kind: "other", target: null, empty: false };
}
