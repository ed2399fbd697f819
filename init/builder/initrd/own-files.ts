import { existsSync } from "node:fs";
import { posix } from "node:path";
import { type Architecture, architectureOfRuntime } from "../../../boot/architecture.ts";
import { BadInput } from "../../../state-ops/outcome.ts";

/**
 * Where the running slipway has an executable and a preinit (what scripts/build.ts makes). For its own architecture: itself and
 * a file embedded in it or, when init/main.ts runs as source, dist/. For another: below that, where the build puts it. Throws
 * BadInput when it is not there.
 */
export function ownFile(name: "slipway" | "preinit", architecture: Architecture): string {
  const entry = posix.dirname(Bun.main); // import.meta.dir would put the builder's directory into the executable
  const dist = Bun.isStandaloneExecutable ? posix.dirname(process.execPath) : posix.resolve(entry, "../dist");
  const foreign = architecture !== architectureOfRuntime(process.arch);
  const embedded = Bun.isStandaloneExecutable && !foreign;
  const path = embedded
    ? { slipway: process.execPath, preinit: `${entry}/preinit` }[name]
    : `${dist}${foreign ? `/${architecture}` : ""}/${name}`;
  if (!existsSync(path)) {
    const option = name === "slipway" ? "--executable" : "--preinit";
    const build = `npm run build${foreign ? ` -- --arch ${architecture}` : ""}`;
    throw new BadInput(`${path} does not exist; run ${build}, or give ${option} FILE`);
  }
  return path;
}
