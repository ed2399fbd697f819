import { existsSync } from "node:fs";
import { posix } from "node:path";
import { BadInput } from "../../../state-ops/outcome.ts";

/**
 * Where the running slipway has its executable and its preinit (what scripts/build.ts makes): itself and a file embedded
 * in it or, when init/main.ts runs as source, dist/. Throws BadInput when it is not there.
 */
export function ownFile(name: "slipway" | "preinit"): string {
  const entry = posix.dirname(Bun.main); // import.meta.dir would put the builder's directory into the executable
  const path = Bun.isStandaloneExecutable
    ? { slipway: process.execPath, preinit: `${entry}/preinit` }[name]
    : posix.resolve(entry, `../dist/${name}`);
  if (!existsSync(path)) {
    const option = name === "slipway" ? "--executable" : "--preinit";
    throw new BadInput(`${path} does not exist; run npm run build, or give ${option} FILE`);
  }
  return path;
}
