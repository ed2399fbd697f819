/** Bun's own executable for another machine than this one, which a compiled program begins with. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { ARCHITECTURE, type Architecture } from "../../boot/architecture.ts";
import { cache, project } from "../../qemu/places.ts";
import { runProgram } from "../../qemu/program.ts";

/** Bun's npm packages say "aarch64" for arm64. */
const packageOf: Record<Architecture, string> = {
  "x86-64": "@oven/bun-linux-x64",
  arm64: `@oven/bun-linux-${ARCHITECTURE.arm64.gnu}`,
};

/** One entry of package-lock.json: version, and "sha512-" with the base64 digest of the package's archive. */
interface Locked {
  version: string;
  integrity: string;
}

/** What package-lock.json pins a package to. Throws Error where it has it not, or not as npm writes it. */
export function lockedPackage(lock: string, name: string): Locked {
  const member = (value: unknown, key: string): unknown =>
    typeof value === "object" && value !== null ? Object.entries(value).find(([other]) => other === key)?.[1] : undefined;
  const entry = member(member(JSON.parse(lock), "packages"), `node_modules/${name}`);
  const [version, integrity] = [member(entry, "version"), member(entry, "integrity")];
  if (typeof version === "string" && typeof integrity === "string" && integrity.startsWith("sha512-")) {
    return { version, integrity };
  }
  throw new Error(`package-lock.json pins no ${name} with a sha512 digest; run npm install bun`);
}

/**
 * Path of Bun's executable for `architecture`, of the version that compiles. npm fetches it once, and it has to be what
 * package-lock.json says. Throws Error.
 */
export async function runtimeFor(architecture: Architecture): Promise<string> {
  const name = packageOf[architecture];
  const { version, integrity } = lockedPackage(readFileSync(`${project}/package-lock.json`, "utf8"), name);
  if (version !== Bun.version) throw new Error(`${name} is locked at ${version}, and Bun ${Bun.version} compiles; run npm ci`);
  const place = `${cache}/runtime/${name.replace(/^.*\//, "")}-${version}`;
  if (existsSync(`${place}/bun`)) return `${place}/bun`;
  mkdirSync(`${cache}/runtime`, { recursive: true });
  const scratch = mkdtempSync(`${cache}/runtime/.fetch-`);
  try {
    await runProgram("npm", ["pack", "--silent", `--pack-destination=${scratch}`, `${name}@${version}`], { directory: scratch });
    const archive = readdirSync(scratch).find((file) => file.endsWith(".tgz"));
    if (archive === undefined) throw new Error(`npm pack ${name}@${version} left no archive; try again`);
    checkArchive(`${name}@${version}`, readFileSync(`${scratch}/${archive}`), integrity);
    await runProgram("tar", ["--extract", "--file", archive, "--strip-components=2", "package/bin/bun"], { directory: scratch });
    mkdirSync(place, { recursive: true });
    renameSync(`${scratch}/bun`, `${place}/bun`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return `${place}/bun`;
}

/** Throws Error where an archive is not the one that package-lock.json pins. */
export function checkArchive(name: string, archive: Uint8Array, integrity: string): void {
  const found = `sha512-${new Bun.CryptoHasher("sha512").update(archive).digest("base64")}`;
  if (found !== integrity) throw new Error(`npm gave another ${name} than package-lock.json pins: ${found}, not ${integrity}`);
}
