/** The host's own apt sources, whole or with some of their suites only. */
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** A file of apt's sources: its name ends in ".list" or ".sources", which says its format. */
export interface AptFile {
  name: string;
  text: string;
}

/** What a suite is for: what a release was published with, or security updates to it. */
export type SuiteKind = "release" | "security";

/** The kind of a suite by its name; null for updates, backports, proposed updates and repositories without suites. */
export function suiteKind(suite: string): SuiteKind | null {
  if (/^[a-z0-9.]+(-security|\/updates)$/.test(suite)) return "security";
  return /^[a-z0-9.]+$/.test(suite) ? "release" : null;
}

/** Files that Debian's own sources are in: not what people add beside them. */
export function hostAptFiles(): AptFile[] {
  const parts = "/etc/apt/sources.list.d";
  const files = existsSync(parts) ? readdirSync(parts).filter((name) => /^debian.*\.(list|sources)$/.test(name)) : [];
  const paths = ["/etc/apt/sources.list", ...files.sort().map((name) => `${parts}/${name}`)].filter((path) => existsSync(path));
  const used = paths
    .map((path) => ({ name: path.replace(/^.*\//, ""), text: readFileSync(path, "utf8") }))
    .filter(({ text }) => /^(deb |deb\t|URIs:)/im.test(text));
  if (used.length === 0)
    throw new Error("apt has no sources: looked at /etc/apt/sources.list and /etc/apt/sources.list.d/debian*");
  return used;
}

/** The same files with suites of these kinds only; a file of which nothing is left is left out. Source packages are, too. */
export function keepSuites(files: readonly AptFile[], kinds: readonly SuiteKind[]): AptFile[] {
  const wanted = (suite: string) => {
    const kind = suiteKind(suite);
    return kind !== null && kinds.includes(kind);
  };
  return files.flatMap(({ name, text }) => {
    const kept = name.endsWith(".sources") ? keepStanzas(text, wanted) : keepLines(text, wanted);
    return kept === "" ? [] : [{ name, text: kept }];
  });
}

/** The same file without restrictions to some architectures, which the host's packages may have wanted. */
export function forEveryArchitecture({ name, text }: AptFile): AptFile {
  if (name.endsWith(".sources")) return { name, text: text.replace(/^architectures(-add|-remove)?:.*\n([ \t].*\n)*/gim, "") };
  const withoutOption = (options: string) => options.replace(/\barch[-+]?=[^\s\]]+ */g, "").replace(/\[ *\] */, "");
  return { name, text: text.replace(/^deb(-src)?[ \t]+\[[^\]]*\][ \t]*/gm, withoutOption) };
}

/** sources.list(5), one-line style: `deb [ option=value … ] URI suite component…`. */
function keepLines(text: string, wanted: (suite: string) => boolean): string {
  const kept = text.split("\n").filter((line) => {
    const suite = /^\s*deb\s+(?:\[[^\]]*\]\s*)?\S+\s+(\S+)/.exec(line)?.[1];
    return suite !== undefined && wanted(suite);
  });
  return kept.map((line) => `${line}\n`).join("");
}

/** sources.list(5), deb822 style: stanzas of fields, of which a value may go on in lines that begin with a space. */
function keepStanzas(text: string, wanted: (suite: string) => boolean): string {
  const withoutComments = text.split("\n").filter((line) => !line.startsWith("#"));
  const stanzas = withoutComments.join("\n").split(/\n[ \t]*(?:\n[ \t]*)*\n/);
  const kept = stanzas.flatMap((stanza) => {
    const fields = stanza.split(/\n(?![ \t])/).filter((field) => field.trim() !== "");
    const fieldValue = (name: string) =>
      fields.find((field) => field.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 1);
    const words = (value: string | undefined) => (value ?? "").split(/\s+/).filter((word) => word !== "");
    const suites = words(fieldValue("suites")).filter(wanted);
    if (suites.length === 0 || !words(fieldValue("types")).includes("deb") || /^\s*no\s*$/i.test(fieldValue("enabled") ?? ""))
      return [];
    const written = fields.map((field) => {
      if (/^suites:/i.test(field)) return `Suites: ${suites.join(" ")}`;
      return /^types:/i.test(field) ? "Types: deb" : field;
    });
    return [`${written.join("\n")}\n`];
  });
  return kept.join("\n");
}
