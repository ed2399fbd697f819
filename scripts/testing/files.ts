import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { project } from "../../qemu/places.ts";

/** The kinds of tests, in the order in which they run: what fails soonest comes first. */
export const kinds = ["unit", "model", "namespace", "vm"] as const;
export type Kind = (typeof kinds)[number];

export interface TestFile {
  kind: Kind;
  /** "selection" for test/model/selection.test.ts. */
  name: string;
  path: string;
}

/** Every test file of `kind`, by name; those that end in .long.test.ts only where `long` asks for them. */
export function testFiles(kind: Kind, long: boolean): TestFile[] {
  const directory = `${project}/test/${kind}`;
  if (!statSync(directory, { throwIfNoEntry: false })) return [];
  return readdirSync(directory)
    .filter((entry) => entry.endsWith(".test.ts") && (long || !entry.endsWith(".long.test.ts")))
    .sort()
    .map((entry) => ({ kind, name: entry.replace(/\.test\.ts$/, ""), path: `${directory}/${entry}` }));
}

function filesBelow(path: string): string[] {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) return [];
  if (!status.isDirectory()) return [path];
  return readdirSync(path)
    .sort()
    .flatMap((entry) => filesBelow(`${path}/${entry}`));
}

/** SHA-256 over everything that a test's outcome can depend on in this checkout. */
export function inputsHash(): string {
  const hash = createHash("sha256");
  const roots = ["init", "boot", "state-ops", "qemu", "scripts", "test", "package.json", "package-lock.json", "tsconfig.json"];
  for (const path of roots.flatMap((root) => filesBelow(`${project}/${root}`))) {
    const content = readFileSync(path);
    hash.update(`${path.slice(project.length)}\n${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}
