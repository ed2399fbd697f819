import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Architecture } from "../boot/architecture.ts";
import { guestArchitecture, hostArchitecture } from "./architecture.ts";

/** Root of the checkout, without a slash at its end. */
export const project = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

/** Everything that is made once and used again lies here; removing it costs time and nothing else. */
export const cache = `${project}/.cache`;

/** What the build writes for this machine: slipway, preinit, interpreter, rootfs.tar. */
export const dist = `${project}/dist`;

/** The same for any architecture. */
export function distOf(architecture: Architecture): string {
  return architecture === hostArchitecture ? dist : `${dist}/${architecture}`;
}

/** The same for the guests. Throws where the build has not written it. */
export function guestDist(): string {
  const directory = distOf(guestArchitecture);
  if (existsSync(`${directory}/rootfs.tar`)) return directory;
  const build = guestArchitecture === hostArchitecture ? "npm run build" : `npm run build -- --arch ${guestArchitecture}`;
  throw new Error(`${directory}/rootfs.tar does not exist; run ${build}`);
}

/** Consoles of the machines. The test runner gives each test file a directory of its own. */
export const logs = process.env.SLIPWAY_LOGS ?? `${cache}/logs`;
