/** Programs and libraries of the guests' architecture: the host's own, or unpacked packages of a foreign one. */
import { createHash } from "node:crypto";
import { chmodSync, rmSync } from "node:fs";
import { ARCHITECTURE } from "../boot/architecture.ts";
import { aptFor } from "./apt.ts";
import { guestArchitecture, hostArchitecture } from "./architecture.ts";
import { makeOnce } from "./lock.ts";
import { cache } from "./places.ts";
import { unpackPackages } from "./unpack-packages.ts";

/** A static busybox, and what slipway and mkfs.ext4 are linked with. */
const packages = ["busybox-static", "libc6", "e2fsprogs", "libext2fs2", "libcom-err2", "libblkid1", "libuuid1", "libss2"];

/**
 * A directory in which the paths of the guests' architecture begin: "" where that is the host's, so that its own files are
 * taken. Takes seconds the first time.
 */
export async function sysroot(): Promise<string> {
  if (guestArchitecture === hostArchitecture) return "";
  const apt = await aptFor(guestArchitecture);
  const unpack = async (aside: string) => {
    const files = await apt.download(packages, aside);
    await unpackPackages(files, aside);
    for (const file of files) rmSync(file);
    chmodSync(aside, 0o755);
  };
  return apt.withLists(() => {
    const hash = createHash("sha256")
      .update(JSON.stringify(["merged", packages, apt.state]))
      .digest("hex")
      .slice(0, 16);
    return makeOnce(`${cache}/sysroot/${guestArchitecture}-${hash}`, unpack);
  });
}

/** The compiler for C programs that run in the guests. */
export function guestCompiler(): string {
  return guestArchitecture === hostArchitecture ? "gcc" : `${ARCHITECTURE[guestArchitecture].gnu}-linux-gnu-gcc`;
}
