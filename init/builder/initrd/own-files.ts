import { existsSync } from "node:fs";
import { posix } from "node:path";
import { BadInput } from "../../../boot/outcome.ts";

/** What scripts/build.ts makes. */
export type OwnFile = "slipway" | "preinit";

/**
 * Where the running slipway has its executable and its preinit: itself and a file embedded in it, or, when the sources
 * run, in dist/. Throws BadInput when it is not there.
 */
export function ownFile(name: OwnFile): string {
  if (Bun.isStandaloneExecutable && name === "slipway") return process.execPath;
  const embedded = Bun.isStandaloneExecutable ? [`${import.meta.dir}/preinit`, `${import.meta.dir}/dist/preinit`] : [];
  const beside = Bun.isStandaloneExecutable ? posix.dirname(process.execPath) : posix.resolve(import.meta.dir, "../../../dist");
  const found = [...embedded, `${beside}/${name}`].find((path) => existsSync(path));
  if (found === undefined) {
    const option = name === "slipway" ? "--executable" : "--preinit";
    throw new BadInput(`${beside}/${name} does not exist; run npm run build, or give ${option} FILE`);
  }
  return found;
}
