/** An update as it comes with a point release: two sealed images of a Debian, one with the security updates of the other. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type DebianSuites, debianTar, debianTree } from "./debian.ts";
import { guestKernel } from "./kernel.ts";
import { madeOf, slipway } from "./product.ts";
import { sealWords, testKeyFiles } from "./seal.ts";
import { addModules } from "./tree.ts";

/** What both are images of. */
export const pairSystem = "slipway-debian";
const keyName = "update-pair";

export interface UpdatePair {
  /** Sealed images, erofs-lz4. slipway itself is in none: 77 MB that are the same in both would flatter every delta. */
  older: string;
  newer: string;
  /** The public key, PEM, that both are signed for. */
  key: string;
  /** "libssl3 3.0.20-1~deb12u2 to 3.0.22-1~deb12u2", of each package that differs. */
  changes: string[];
  /** There are no security updates at this time, or the host's apt has no sources of them: libraries were altered instead. */
  synthetic: boolean;
}

/** Beside those that every one of these Debians has: brings libraries that are often updated. */
const packages = ["openssh-server"];
const versions = ["older", "newer"] as const;
const suitesOf = { older: ["release"], newer: ["release", "security"] } satisfies Record<string, DebianSuites>;

/** Makes the pair with `slipway image build`, or finds the one made before. Takes a minute or two; needs root. */
export async function updatePair(): Promise<UpdatePair> {
  const { modules } = await guestKernel();
  const tars = await Promise.all(versions.map((version) => debianTar(packages, suitesOf[version])));
  const source = readFileSync(import.meta.filename, "utf8");
  const directory = await madeOf("update-pair", [source, modules, tars], async (aside) => {
    const trees = { older: `${aside}/older-tree`, newer: `${aside}/newer-tree` };
    for (const version of versions) {
      mkdirSync(trees[version]);
      await debianTree(trees[version], { version, packages, suites: suitesOf[version] });
      await addModules(trees[version], modules);
    }
    const changes = changesBetween(packagesIn(trees.older), packagesIn(trees.newer));
    if (changes.length === 0) alterLibraries(trees.newer);
    writeFileSync(`${aside}/changes.json`, JSON.stringify(changes));
    for (const version of versions) {
      const seal = await sealWords({ system: pairSystem, version, keys: [keyName] });
      await slipway(["image", "build", "--root", trees[version], ...seal, "-o", `${aside}/${version}.img`]);
      rmSync(trees[version], { recursive: true });
    }
  });
  const changes: string[] = JSON.parse(readFileSync(`${directory}/changes.json`, "utf8"));
  return {
    older: `${directory}/older.img`,
    newer: `${directory}/newer.img`,
    key: (await testKeyFiles(keyName)).publicKey,
    changes,
    synthetic: changes.length === 0,
  };
}

/** Versions by package, of what dpkg has installed in `tree`. */
function packagesIn(tree: string): Map<string, string> {
  const status = readFileSync(`${tree}/var/lib/dpkg/status`, "utf8");
  const field = (stanza: string, name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(stanza)?.[1] ?? "";
  return new Map(
    status
      .split("\n\n")
      .flatMap((stanza) => (stanza.trim() === "" ? [] : [[field(stanza, "Package"), field(stanza, "Version")]])),
  );
}

/** One line for each package that differs. */
export function changesBetween(older: ReadonlyMap<string, string>, newer: ReadonlyMap<string, string>): string[] {
  const names = [...new Set([...older.keys(), ...newer.keys()])].sort();
  return names
    .filter((name) => older.get(name) !== newer.get(name))
    .map((name) => `${name} ${older.get(name) ?? "(none)"} to ${newer.get(name) ?? "(none)"}`);
}

/** Turns every eighth of the large files below usr/lib around, end to start. */
function alterLibraries(tree: string): void {
  const least = 128 * 1024;
  const libraries = readdirSync(`${tree}/usr/lib`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(`${tree}/usr/lib/modules`))
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .filter((path) => statSync(path).size >= least)
    .sort();
  if (libraries.length < 8)
    throw new Error(`${tree}/usr/lib has ${libraries.length} files of ${least} bytes or more, which are too few`);
  for (const path of libraries.filter((_, index) => index % 8 === 0)) writeFileSync(path, readFileSync(path).reverse());
}
