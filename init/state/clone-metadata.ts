import type { Descriptor, FileStatus, Kernel, Path } from "../kernel/kernel.ts";
import { isCode, procPath } from "./beneath.ts";

/** A name in an open directory; "." is the directory itself. */
export interface Place {
  at: Descriptor;
  name: Path;
}

/** These tie an upper layer to inodes of the filesystem it was made on, which a copy does not have. */
const dropped = new Set(["trusted.overlay.origin", "trusted.overlay.uuid"]);
/** These are written only under mount options that slipway never uses, and the layer is unreadable without them. */
const refused = new Set(["trusted.overlay.redirect", "trusted.overlay.metacopy"]);
/** A filesystem of another type may not know these, and a copy is still good without them. */
const optional = /^(?:user|btrfs)\./;

/**
 * Gives `to` the owner and every extended attribute of `from` (ACLs, capabilities, labels, overlay marks), in the order in
 * which none undoes another: chown clears capabilities. The mode is the caller's, between the two, so `setMode` is called
 * there. Returns the attributes that `to`'s filesystem does not know, with `dropOptional`; else throws.
 */
export function copyMetadata(
  kernel: Kernel,
  from: Place,
  status: FileStatus,
  to: Place,
  setMode: () => void,
  dropOptional: boolean,
): string[] {
  kernel.changeOwner(to.name, status.owner, status.group, to.at);
  setMode();
  const lost: string[] = [];
  const source = procPath(from.at, from.name);
  const target = procPath(to.at, to.name);
  for (const name of attributesOf(kernel, source)) {
    const fault = foreignMark(name);
    if (fault !== null) throw new Error(fault);
    if (isDroppedMark(name)) continue;
    try {
      kernel.setAttribute(target, name, kernel.getAttribute(source, name));
    } catch (error) {
      if (!(dropOptional && optional.test(name) && isCode(error, "EOPNOTSUPP", "ENOTSUP"))) throw error;
      lost.push(name);
    }
  }
  return lost;
}

/** What is wrong with an attribute, and the remedy; null where nothing is. */
export function foreignMark(name: string): string | null {
  if (!refused.has(name)) return null;
  return `the attribute ${name} was made by an overlay with foreign mount options; remove the file that has it`;
}

export function isDroppedMark(name: string): boolean {
  return dropped.has(name);
}

/** Names of the extended attributes; none where the filesystem has none. */
export function attributesOf(kernel: Kernel, path: Path): string[] {
  try {
    return kernel.listAttributes(path);
  } catch (error) {
    if (isCode(error, "EOPNOTSUPP", "ENOTSUP")) return [];
    throw error;
  }
}
