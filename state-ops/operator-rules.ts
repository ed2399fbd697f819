/**
 * What must hold for one operator or one word of the control file whatever the image: the compiler refuses a fragment
 * by these rules, and PID 1 checks them again. Each function returns null, or what is wrong with the remedy.
 */
import type { Operator } from "./control.ts";
import { beginsWithLetter, hasOnly, isPlain } from "./plain-text.ts";
import { visible } from "./problems.ts";

/** The greatest number of a user or group; the one above means "no change" to the kernel. */
export const GREATEST_ID = 0xff_ff_ff_fe;

/** Nothing may be mounted on these or below them. */
const closedTrees = ["/usr", "/proc", "/sys", "/dev"];

/** Rule for a path as bytes: absolute and canonical. */
export function pathFault(path: string): string | null {
  if (!path.startsWith("/")) {
    return `the path "${path}" is not absolute; begin it with a slash`;
  }
  const plain = isPlain(path);
  if (!plain && (!path.isWellFormed() || /[\p{Cc}\p{Bidi_Control}]/u.test(path))) {
    return `the path ${visible(JSON.stringify(path))} has a character that does not show or is no valid UTF-8; rename it in the image`;
  }
  const names = path.slice(1).split("/");
  if (path !== "/" && names.some((name) => name === "" || name === "." || name === "..")) {
    return `the path "${path}" is not canonical; write it without "//", ".", ".." and a slash at the end`;
  }
  const bytes = (text: string): number => (plain ? text.length : Buffer.byteLength(text));
  if (names.some((name) => bytes(name) > 255) || bytes(path) > 4095) {
    return `the path "${path}" is longer than the kernel takes (255 bytes a name, 4095 in all)`;
  }
  return null;
}

/** Rule for where an operator may be laid. */
export function targetFault(path: string, state: Operator["state"]): string | null {
  if (path === "/run/slipway" || path.startsWith("/run/slipway/")) {
    return `${path} cannot be an operator's path: /run/slipway is slipway's own, with the data filesystem in it`;
  }
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
  if (id === "" || id.startsWith(".") || !hasOnly(id, ":_.\\-") || id.length > 200) {
    return `the id "${id}" cannot name a store; use up to 200 letters, digits, "-", "_", ":" and ".", not beginning with "."`;
  }
  return null;
}

/** Rule for the name of a slot, which is a directory name, a word of the command line and of the boot record. */
export function slotNameFault(name: string): string | null {
  if (!beginsWithLetter(name) || !hasOnly(name, "_-") || name.length > 32) {
    return `"${name}" cannot name a slot; use up to 32 letters, digits, "-" and "_", beginning with a letter`;
  }
  return null;
}

/** Rule for a SELinux label: `user:role:type`, with a level or without. */
export function contextFault(context: string): string | null {
  return /^[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+(:[A-Za-z0-9_.,:-]+)?$/.test(context) && context.length <= 1024
    ? null
    : `the context ${JSON.stringify(context)} is no SELinux label; write user:role:type or user:role:type:level, "system_u:object_r:var_lib_t:s0"`;
}

/** Rule for the limit of a tmpfs in bytes. */
export function sizeFault(size: number): string | null {
  return size >= 4096 && Number.isSafeInteger(size)
    ? null
    : `a size of ${size} bytes is no limit for a tmpfs; from 4096 bytes (4K) on`;
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

/** Rule for an operator inside another: `inner` lies below `outer`, and no operator between them. */
export function nestingFault(outer: Nesting, inner: Nesting): string | null {
  const within = `${inner.path} is inside ${outer.path}, which is`;
  if (outer.via === "mask") {
    return `${within} masked, so that nothing in it can be reached; take one away`;
  }
  if (outer.via === "symlink") {
    return `${within} a symlink; name the path that it leads to`;
  }
  if (outer.kind === "file") {
    return `${within} a file; take one away`;
  }
  if (inner.state === "persistent" && (outer.state === "shared" || outer.state === "identity")) {
    return `${inner.path} is persistent below ${outer.path}, which is ${outer.state}: a rollback would revert one and not the other; make them one, or move it`;
  }
  return null;
}

type Nesting = Pick<Operator, "path" | "kind" | "state" | "via">;

/** Rule for `via: readonly`, `outer` being the nearest operator above it. */
export function readonlyFault(operator: Nesting, outer: Nesting | null): string | null {
  if (
    operator.via !== "readonly" ||
    (outer !== null && (outer.via === "overlay" || outer.via === "bind" || outer.via === "tmpfs"))
  ) {
    return null;
  }
  return `${operator.path} is read-only without "via: readonly", which makes a hole in an operator that can be written; leave it away`;
}

/** Rule for what a `via: symlink` points to: some place that is kept as long as it says. `holder`: the operator at or above the target. */
export function symlinkTargetFault(
  operator: Pick<Operator, "path" | "state" | "via" | "target">,
  holder: Nesting | null,
): string | null {
  const { path, state, via, target } = operator;
  if (via !== "symlink" || state === "ephemeral" || target === null) {
    return null;
  }
  if (holder === null || holder.state !== state || holder.via === "symlink") {
    const seen = holder === null ? "no operator" : `${holder.path}, which is ${holder.state ?? `via ${holder.via}`}`;
    return `${path} is a symlink to ${target}, where ${seen} says how long a write is kept; declare ${target} with "state: ${state}"`;
  }
  return null;
}
