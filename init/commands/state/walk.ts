/** Trees on the data filesystem and in an image, looked at without following a link, entering a mount, or going on for ever. */
import { pathText } from "../../../state-ops/merge/path-text.ts";
import { O } from "../../kernel/constants.ts";
import { inodeKey } from "../../kernel/files.ts";
import { type Descriptor, type FileStatus, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { isCode, openBeneath, withDescriptor } from "../../state/beneath.ts";

/** More files than any store should have; a walk that meets them ends there, and says so. */
export const MOST_FILES = 1_000_000;

export interface Visited {
  /** Bytes, relative to the walk's root: "a/b". */
  path: Uint8Array;
  /** The directory that holds it, open while it is visited, and its name there. */
  at: Descriptor;
  name: Uint8Array;
  status: FileStatus;
}

export interface WalkEnd {
  /** The walk ended before everything was seen. */
  truncated: boolean;
  /** What could not be read, as path text, and why: "a/b (EIO)". */
  unread: string[];
}

/**
 * Visits everything below `root`, a directory before what is in it, names in the order of their bytes. Goes into a directory
 * where `visit` returns true. Each directory is opened anew by its path, so that depth costs no descriptors: what lies deeper
 * than a path can say is unread.
 */
export function walkTree(
  kernel: Kernel,
  root: Descriptor,
  visit: (visited: Visited) => boolean,
  most: number = MOST_FILES,
): WalkEnd {
  const end: WalkEnd = { truncated: false, unread: [] };
  const left: Uint8Array[] = [Buffer.from("")];
  let seen = 0;
  const look = (path: Uint8Array, at: Descriptor): void => {
    const below: Uint8Array[] = [];
    for (const { name } of kernel.readDirectory(at)) {
      if (seen++ >= most) {
        end.truncated = true;
        break;
      }
      const status = statusIfThere(kernel, at, name);
      if (status === null) continue;
      const inside = path.length === 0 ? name : Buffer.concat([path, Buffer.from("/"), name]);
      const visited = { path: inside, at, name, status };
      if (visit(visited) && visited.status.kind === "directory") below.push(inside);
    }
    // No spread: a directory may hold more names than a call takes arguments.
    for (const inside of below.reverse()) left.push(inside);
  };
  for (let path = left.pop(); path !== undefined && !end.truncated; path = left.pop()) {
    const directory = path;
    try {
      const open = () => openBeneath(kernel, root, directory.length === 0 ? "." : directory, O.RDONLY | O.DIRECTORY);
      withDescriptor(kernel, open, (at) => look(directory, at));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      end.unread.push(`${pathText(directory)} (${error.code})`);
    }
  }
  return end;
}

/** Null where it was removed since its directory was read: stores are in use. */
function statusIfThere(kernel: Kernel, at: Descriptor, name: Uint8Array): FileStatus | null {
  try {
    return kernel.statusAt(name, at);
  } catch (error) {
    if (isCode(error, "ENOENT")) return null;
    throw error;
  }
}

export interface Measure extends WalkEnd {
  /** On the disk, holes left out, a file with several names once. What is shared by reflink counts in each store. */
  bytes: number;
  /** Everything that is no directory, by name. */
  files: number;
}

/** What a tree takes: everything below the directory `name` in `at`, or the file of that name. */
export function measure(kernel: Kernel, at: Descriptor, path: string, most: number = MOST_FILES): Measure {
  const found: Measure = { bytes: 0, files: 0, truncated: false, unread: [] };
  const counted = new Set<string>();
  const count = (status: FileStatus): void => {
    const { kind, links, allocated } = status;
    if (kind !== "directory") found.files++;
    if (kind !== "directory" && links > 1) {
      const id = inodeKey(status);
      if (counted.has(id)) return;
      counted.add(id);
    }
    found.bytes += Number(allocated);
  };
  withDescriptor(
    kernel,
    () => openBeneath(kernel, at, path, O.PATH),
    (top) => {
      const status = kernel.status(top);
      count(status);
      if (status.kind !== "directory") return;
      const end = walkTree(
        kernel,
        top,
        (visited) => {
          count(visited.status);
          return true;
        },
        most,
      );
      found.truncated = end.truncated;
      found.unread = end.unread;
    },
  );
  return found;
}

/** As {@link measure}; null where it is not there, or cannot be read. */
export function measureIfThere(kernel: Kernel, at: Descriptor, path: string): Measure | null {
  try {
    return measure(kernel, at, path);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}
