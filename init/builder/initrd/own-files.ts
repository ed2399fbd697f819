import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { type Architecture, architectures } from "../../../boot/architecture.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { ownArchitecture } from "../../version.ts";
import { type HotPageList, parseHotPages } from "./hot-pages.ts";

/**
 * Where the running slipway has an executable, a preinit and an interpreter (what scripts/build.ts makes). For its own architecture: itself and
 * files embedded in it or, when init/main.ts runs as source, dist/. For another: below that, where the build puts it. Throws
 * BadInput when it is not there.
 */
export function ownFile(name: "slipway" | "preinit" | "interpreter", architecture: Architecture): string {
  const entry = posix.dirname(Bun.main); // import.meta.dir would put the builder's directory into the executable
  const dist = Bun.isStandaloneExecutable ? posix.dirname(process.execPath) : posix.resolve(entry, "../dist");
  const foreign = architecture !== ownArchitecture;
  const embedded = Bun.isStandaloneExecutable && !foreign;
  const path = embedded
    ? { slipway: process.execPath, preinit: `${entry}/preinit`, interpreter: `${entry}/interpreter` }[name]
    : `${dist}${foreign ? `/${architecture}` : ""}/${name}`;
  if (!existsSync(path)) {
    const remedy = { slipway: "give --executable FILE", preinit: "give --preinit FILE", interpreter: "say --hot-pages none" };
    const build = `npm run build${foreign ? ` -- --arch ${architecture}` : ""}`;
    throw new BadInput(`${path} does not exist; run ${build}, or ${remedy[name]}`);
  }
  return path;
}

/** The name of an architecture's list of hot pages. */
export function hotPagesName(architecture: Architecture): string {
  return `hot-pages-${architecture}.txt`;
}

/** The lists that belong to this slipway, of the architectures that have one. */
export function ownHotPages(): HotPageList[] {
  const entry = posix.dirname(Bun.main);
  return hotPagesIn(Bun.isStandaloneExecutable ? entry : `${entry}/builder/initrd`);
}

/** The lists in a directory. Throws BadInput where one is damaged. */
export function hotPagesIn(directory: string): HotPageList[] {
  const paths = architectures.map((architecture) => `${directory}/${hotPagesName(architecture)}`);
  return paths.filter((path) => existsSync(path)).map((path) => parseHotPages(path, readFileSync(path, "utf8")));
}
