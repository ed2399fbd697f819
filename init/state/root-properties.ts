import { O } from "../kernel/constants.ts";
import type { FileStatus, Kernel } from "../kernel/kernel.ts";
import { isCode, openBeneath, procPath, withDescriptor } from "./beneath.ts";
import type { Place } from "./clone-metadata.ts";

/** What an operator says of the visible root: null keeps what is there. */
export interface RootProperties {
  kind: "directory" | "file";
  mode: number | null;
  owner: number | null;
  group: number | null;
  /** SELinux label. */
  context: string | null;
}

const LABEL = "security.selinux";

/**
 * Gives the root of a store or a tmpfs at `place`, whose status is `status`, what its operator says where it differs.
 * Returns warnings: a filesystem that knows no labels is none that a label could protect, and no reason to fail.
 */
export function applyRoot(kernel: Kernel, place: Place, status: FileStatus, root: RootProperties): string[] {
  const owner = root.owner ?? status.owner;
  const group = root.group ?? status.group;
  const mode = root.mode ?? status.mode;
  const owned = owner === status.owner && group === status.group;
  if (!owned) kernel.changeOwner(place.name, owner, group, place.at);
  // A change of owner takes setuid and setgid away.
  if (!owned || mode !== status.mode) {
    const flags = root.kind === "directory" ? O.RDONLY | O.DIRECTORY : O.RDONLY | O.NONBLOCK;
    const open = () => openBeneath(kernel, place.at, place.name, flags);
    withDescriptor(kernel, open, (fd) => kernel.changeMode(fd, mode));
  }
  return root.context === null ? [] : setLabel(kernel, place, root.context);
}

function setLabel(kernel: Kernel, place: Place, context: string): string[] {
  const path = procPath(place.at, place.name);
  const label = new TextEncoder().encode(`${context}\0`);
  try {
    if (!sameBytes(currentLabel(kernel, path), label)) kernel.setAttribute(path, LABEL, label);
    return [];
  } catch (error) {
    if (!isCode(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
    return [`has no label ${context}: its filesystem does not know ${LABEL}`];
  }
}

function currentLabel(kernel: Kernel, path: ReturnType<typeof procPath>): Uint8Array {
  try {
    return kernel.getAttribute(path, LABEL);
  } catch (error) {
    if (isCode(error, "ENODATA")) return new Uint8Array(0);
    throw error;
  }
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
