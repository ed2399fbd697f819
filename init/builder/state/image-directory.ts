import {
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { join } from "node:path";
import { components, type ImageEntry, type ImageFile, type ImageTree } from "../../../state-ops/image-tree.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { reasonOf } from "../input.ts";

/**
 * An image tree that is unpacked in a directory. No link of the image is followed, so none leads to the builder's files.
 *
 * @param shown how messages name the root: "rootfs.tar:", where it is unpacked for a moment only
 */
export function imageDirectory(root: string, shown = root): ImageTree {
  const stats = (path: string): Stats | null => {
    const [own, ...above] = components(path).reverse();
    const reached = above.reverse().every((part) => lstatSync(join(root, part), { throwIfNoEntry: false })?.isDirectory());
    return reached && own !== undefined ? (lstatSync(join(root, own), { throwIfNoEntry: false }) ?? null) : null;
  };
  return {
    look(path) {
      return readable(shown, path, () => {
        const found = stats(path);
        return found === null ? null : describe(shown, path, join(root, path), found);
      });
    },
    text(path) {
      return readable(shown, path, () => (stats(path)?.isFile() === true ? readFileSync(join(root, path), "utf8") : null));
    },
    place: (path) => join(shown, path),
    *files(path) {
      const found = readable(shown, path, () => stats(path));
      if (found?.isDirectory() === true) {
        yield* below(shown, path, Buffer.from(join(root, path)));
      } else if (found !== null) {
        yield describeFile(shown, path, Buffer.from(join(root, path)), found);
      }
    },
  };
}

function readable<Result>(root: string, path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw new BadInput(`${join(root, path)} cannot be read: ${reasonOf(error)}; run this as who made the tree`);
  }
}

/** Names are bytes: one that is no UTF-8 is found as well. */
function* below(root: string, path: string, directory: Buffer): Iterable<ImageFile> {
  const names = readable(root, path, () => readdirSync(directory, { encoding: "buffer" }).sort(Buffer.compare));
  for (const name of names) {
    const file = Buffer.concat([directory, Buffer.from("/"), name]);
    const shown = `${path}/${name.toString("utf8")}`;
    const stats = readable(root, shown, () => lstatSync(file));
    yield describeFile(root, shown, file, stats);
    if (stats.isDirectory()) {
      yield* below(root, shown, file);
    }
  }
}

function describeFile(root: string, path: string, file: Buffer, stats: Stats): ImageFile {
  return {
    path,
    kind: kindOf(stats),
    isDevice: stats.isBlockDevice() || stats.isCharacterDevice(),
    isPrivileged: (stats.mode & 0o6000) !== 0,
    size: stats.isFile() ? stats.size : 0,
    head: () => (stats.isFile() ? readable(root, path, () => readHead(file)) : ""),
  };
}

function readHead(file: Buffer): string {
  const opened = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(4096);
    return bytes.toString("latin1", 0, readSync(opened, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(opened);
  }
}

function kindOf(stats: Stats): ImageEntry["kind"] {
  if (stats.isSymbolicLink()) return "symlink";
  return stats.isDirectory() ? "directory" : stats.isFile() ? "file" : "other";
}

function describe(root: string, path: string, file: string, stats: Stats): ImageEntry {
  const kind = kindOf(stats);
  return {
    kind,
    target: kind === "symlink" ? readlinkSync(file) : null,
    // Of the directories above an operator nobody asks, and a thousand operators may lie in one.
    get empty() {
      return kind === "directory"
        ? readable(root, path, () => readdirSync(file).length === 0)
        : kind === "file" && stats.size === 0;
    },
  };
}
