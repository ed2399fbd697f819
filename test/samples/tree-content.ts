/** A tree as text, read without slipway's own walker. */
import { createHash } from "node:crypto";
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Kernel } from "../../init/kernel/kernel.ts";

/** These an overlay sets by itself; a clone has none of them. */
const volatile = new Set(["trusted.overlay.origin", "trusted.overlay.uuid", "trusted.overlay.impure"]);

/**
 * Everything that a clone must keep of `top` and what is below it, by path ("." is `top`; bytes that are no UTF-8 are
 * shown as hex): kind, mode, owner, device, time of change in nanoseconds, extended attributes, content, and which names are one file.
 * @param accessed tell the time of the last access too, for trees that are mounted with noatime
 */
export function treeContent(
  kernel: Pick<Kernel, "listAttributes" | "getAttribute">,
  top: string,
  accessed = false,
): Record<string, string> {
  const seen: Record<string, string> = {};
  const inodes = new Map<bigint, string>();
  const visit = (place: Buffer, path: string): void => {
    const status = lstatSync(place, { bigint: true });
    const first = inodes.get(status.ino);
    if (first === undefined) inodes.set(status.ino, path);
    seen[path] = [
      `${status.mode.toString(8)} ${status.uid}:${status.gid} ${status.mtimeNs}`,
      ...(accessed ? [`accessed ${status.atimeNs}`] : []),
      ...(status.isDirectory() ? [] : [`links ${status.nlink}${first === undefined ? "" : `, is ${first}`}`]),
      ...attributes(kernel, place),
      contentOf(place, status),
    ].join("; ");
    if (!status.isDirectory()) return;
    for (const name of readdirSync(place, { encoding: "buffer" }).sort(Buffer.compare)) {
      visit(Buffer.concat([place, Buffer.from("/"), name]), path === "." ? shown(name) : `${path}/${shown(name)}`);
    }
  };
  visit(Buffer.from(top), ".");
  return seen;
}

function shown(name: Buffer): string {
  const text = name.toString("utf8");
  return Buffer.from(text).equals(name) ? text : `hex ${name.toString("hex")}`;
}

function attributes(kernel: Pick<Kernel, "listAttributes" | "getAttribute">, place: Buffer): string[] {
  const names = kernel.listAttributes(place).filter((name) => !volatile.has(name));
  return names.sort().map((name) => `${name}=${Buffer.from(kernel.getAttribute(place, name)).toString("hex")}`);
}

function contentOf(place: Buffer, status: BigIntStats): string {
  if (status.isSymbolicLink()) return `to ${readlinkSync(place, { encoding: "buffer" }).toString("hex")}`;
  if (status.isFile())
    return `${status.size} bytes ${createHash("sha256").update(readFileSync(place)).digest("hex").slice(0, 24)}`;
  return status.isDirectory() ? "directory" : `device ${status.rdev}`;
}

/** The first path at which two trees differ, and how; null where none does. */
export function differenceOf(seen: Record<string, string>, wanted: Record<string, string>): string | null {
  for (const path of new Set([...Object.keys(wanted), ...Object.keys(seen)])) {
    if (seen[path] === wanted[path]) continue;
    return `${path} is "${seen[path] ?? "missing"}" instead of "${wanted[path] ?? "missing"}"`;
  }
  return null;
}
