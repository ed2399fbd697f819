/**
 * What must hold for one operator or one word of the control file whatever the image: the compiler refuses a fragment
 * by these rules, and PID 1 checks them again. Each function returns null, or what is wrong with the remedy.
 */
import type { Operator } from "./control.ts";

/** Nothing may be mounted on these or below them. */
const closedTrees = ["/usr", "/proc", "/sys", "/dev"];

/** Rule for a path as bytes: absolute and canonical. */
export function pathFault(path: string): string | null {
  if (!path.startsWith("/")) {
    return `the path "${path}" is not absolute; begin it with a slash`;
  }
  if (!path.isWellFormed() || /\p{Cc}/u.test(path)) {
    return `the path ${JSON.stringify(path)} has a control character or is no valid UTF-8; rename it in the image`;
  }
  const names = path.slice(1).split("/");
  if (path !== "/" && names.some((name) => name === "" || name === "." || name === "..")) {
    return `the path "${path}" is not canonical; write it without "//", ".", ".." and a slash at the end`;
  }
  if (names.some((name) => Buffer.byteLength(name) > 255) || Buffer.byteLength(path) > 4095) {
    return `the path "${path}" is longer than the kernel takes (255 bytes a name, 4095 in all)`;
  }
  return null;
}

/** Rule for where an operator may be laid. */
export function targetFault(path: string, state: Operator["state"]): string | null {
  if (path === "/" || path === "/run") {
    return `${path} itself cannot be an operator's path; name the directories below it`;
  }
  const tree = closedTrees.find((root) => path === root || path.startsWith(`${root}/`));
  if (tree !== undefined) {
    return `${path} cannot be an operator's path: ${tree} and everything below it is never writable state`;
  }
  if (path.startsWith("/run/") && state !== "ephemeral") {
    return `${path} is below /run, which is made anew at every boot: say "state: ephemeral", or use another path`;
  }
  return null;
}

/** Rule for the name of a store, which is one directory name on the data filesystem. */
export function idFault(id: string): string | null {
  if (!/^[A-Za-z0-9:_\\-][A-Za-z0-9:_.\\-]*$/.test(id) || id.length > 200) {
    return `the id "${id}" cannot name a store; use up to 200 letters, digits, "-", "_", ":" and ".", not beginning with "."`;
  }
  return null;
}

/** Rule for the name of a slot, which is a directory name, a word of the command line and of the boot record. */
export function slotNameFault(name: string): string | null {
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,31}$/.test(name)) {
    return `"${name}" cannot name a slot; use up to 32 letters, digits, "-" and "_", beginning with a letter`;
  }
  return null;
}

/** Rules for the words of one operator that belong together. */
export function combinationFault(operator: Omit<Operator, "id" | "origin">): string | null {
  const { path, kind, state, via, seed } = operator;
  if ((state === "ephemeral") !== (via === "tmpfs")) {
    return state === "ephemeral"
      ? `${path}: "via: ${via}" is not built for ephemeral state in this version; leave via away (tmpfs)`
      : `${path}: "via: tmpfs" would lose ${state} state at every reboot; say "state: ephemeral", or "via: bind"`;
  }
  if (via === "overlay" && state !== "persistent") {
    return `${path}: "via: overlay" is built for persistent state only in this version; use "via: bind" for ${state} state`;
  }
  if (kind === "file" && via !== "bind") {
    return `${path} is a file, and "via: ${via}" needs a directory; name its directory, or say "via: bind" for a write-once file`;
  }
  if (operator.generate !== null && (kind !== "file" || seed !== "none")) {
    return `${path}: "generate: ${operator.generate}" makes a file, with "seed: none"; seen: ${kind}, "seed: ${seed}"`;
  }
  if (via === "overlay" && seed !== "image") {
    return `${path}: an overlay always shows the image; leave seed away, or use "via: bind" with "seed: ${seed}"`;
  }
  if (operator.size !== null && via !== "tmpfs") {
    return `${path}: "size" limits a tmpfs, and this is "via: ${via}"; leave size away`;
  }
  if (state === "shared" && (operator.reason === null || operator.reason.trim() === "")) {
    return `${path}: shared state does not come back at a rollback; say why in "reason:"`;
  }
  return null;
}

/** The nearest operator above `path` among `byPath`, or null. */
export function parentOf<T>(path: string, byPath: ReadonlyMap<string, T>): T | null {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    const parent = byPath.get(path.slice(0, end));
    if (parent !== undefined) {
      return parent;
    }
  }
  return null;
}

/** Rule for an operator inside another: `inner` lies below `outer`. */
export function nestingFault(outer: Pick<Operator, "path" | "state">, inner: Pick<Operator, "path" | "state">): string | null {
  if (inner.state === "persistent" && (outer.state === "shared" || outer.state === "identity")) {
    return `${inner.path} is persistent below ${outer.path}, which is ${outer.state}: a rollback would revert one and not the other; make them one, or move it`;
  }
  return null;
}
