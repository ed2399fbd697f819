import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { moduleName, normalizeAlias } from "../../../boot/modules.ts";
import { BadInput } from "../../../state-ops/outcome.ts";

/** What depmod(8) knows of a kernel's modules. Names have "_" for "-". */
export interface ModuleDirectory {
  /** By name: path below the directory, and the names of all it needs. */
  modules: Map<string, { path: string; needs: string[] }>;
  /** Modules that are part of the kernel. */
  builtin: Set<string>;
  /** Pattern and name, in {@link normalizeAlias}'s form. */
  aliases: [pattern: string, name: string][];
  /** By name: names or aliases that modprobe would load before it, where they exist. */
  softBefore: Map<string, string[]>;
}

/** Reads modules.dep, .builtin, .alias and .softdep of a lib/modules/VERSION directory. Throws BadInput without modules.dep. */
export function readModuleDirectory(directory: string): ModuleDirectory {
  if (!existsSync(`${directory}/modules.dep`)) {
    throw new BadInput(
      `${directory}/modules.dep does not exist; --modules wants a lib/modules/VERSION directory in which depmod ran (depmod -b ROOT VERSION)${versionsIn(directory)}`,
    );
  }
  return parseModuleDirectory({
    dep: readFileSync(`${directory}/modules.dep`, "utf8"),
    builtin: optional(`${directory}/modules.builtin`),
    alias: optional(`${directory}/modules.alias`),
    softdep: optional(`${directory}/modules.softdep`),
  });
}

/** A hint for whoever named lib/modules itself. */
function versionsIn(directory: string): string {
  const names = statSync(directory, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(directory).sort() : [];
  const versions = names.filter((name) => existsSync(`${directory}/${name}/modules.dep`));
  return versions.length > 0 ? `; ${directory} has ${versions.join(", ")}` : "";
}

function optional(file: string): string {
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

/** The contents of depmod's files, each as one text; see modules.dep(5). */
export function parseModuleDirectory(text: { dep: string; builtin: string; alias: string; softdep: string }): ModuleDirectory {
  const modules: ModuleDirectory["modules"] = new Map();
  for (const line of lines(text.dep)) {
    const [path = "", needs = ""] = line.split(":");
    modules.set(moduleName(path), { path, needs: words(needs).map(moduleName) });
  }
  const softBefore: ModuleDirectory["softBefore"] = new Map();
  for (const [keyword, name = "", ...rest] of lines(text.softdep).map(words)) {
    if (keyword !== "softdep") continue;
    const post = rest.indexOf("post:");
    const before = rest.slice(0, post < 0 ? undefined : post).filter((word) => word !== "pre:");
    const own = moduleName(name);
    softBefore.set(own, [...(softBefore.get(own) ?? []), ...before.map(normalizeAlias)]);
  }
  return {
    modules,
    builtin: new Set(lines(text.builtin).map(moduleName)),
    aliases: lines(text.alias).flatMap((line): [string, string][] => {
      const [keyword, pattern, name] = words(line);
      return keyword === "alias" && pattern && name ? [[normalizeAlias(pattern), moduleName(name)]] : [];
    }),
    softBefore,
  };
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("#"));
}

function words(line: string): string[] {
  return line.split(/\s+/).filter((word) => word !== "");
}
