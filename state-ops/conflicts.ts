import type { Declared } from "./compile-operator.ts";
import { components, type ImageTree } from "./image-tree.ts";
import { nestingFault, parentOf } from "./operator-rules.ts";
import { problemAt } from "./problems.ts";
import type { Problem } from "./schema/document.ts";

/** What is wrong between operators, and between an operator and the image. `declared` is sorted, parents first. */
export function findConflicts(declared: readonly Declared[], image: ImageTree): Problem[] {
  const byPath = new Map<string, Declared>();
  const byId = new Map<string, Declared>();
  const problems: Problem[] = [];
  for (const entry of declared) {
    const { path, id } = entry.operator;
    const samePath = byPath.get(path);
    const sameId = byId.get(id);
    if (samePath !== undefined) {
      const text = `${path} is declared twice, here and ${place(samePath)}; keep one of them`;
      problems.push(problemAt(entry.document, [...entry.at, "path"], text));
      continue;
    }
    if (sameId !== undefined) {
      const text = `the id "${id}" of ${path} is also that of ${sameId.operator.path}, ${place(sameId)}; give one another "id:"`;
      problems.push(problemAt(entry.document, entry.at, text));
    }
    byPath.set(path, entry);
    byId.set(id, entry);
    const outer = parentOf(path, byPath);
    const nesting = outer === null ? null : nestingFault(outer.operator, entry.operator);
    if (outer !== null && nesting !== null) {
      problems.push(problemAt(entry.document, [...entry.at, "path"], `${nesting} (${place(outer)})`));
    }
    const missing = mountPointFault(entry, outer, image);
    if (missing !== null) {
      problems.push(problemAt(entry.document, [...entry.at, "path"], missing));
    }
  }
  return problems;
}

/** Where something was declared: both ends of a conflict are named by file and by origin. */
function place(declared: Declared): string {
  const { line, column } = declared.document.position([...declared.at, "path"]);
  return `at ${declared.document.file}:${line}:${column} (${declared.operator.origin})`;
}

/**
 * A mount point must be in the image, since nothing can be made on a read-only root. Below a tmpfs or a bind, and
 * below /run, it is made on the device.
 */
function mountPointFault(entry: Declared, outer: Declared | null, image: ImageTree): string | null {
  const { path, kind } = entry.operator;
  for (const part of components(path)) {
    const found = image.look(part);
    if (found?.kind === "symlink") {
      return `${part} is a symlink to ${found.target ?? "elsewhere"} in the image; name the path that it leads to`;
    }
    if (found !== null && part !== path && found.kind !== "directory") {
      return `${part} is no directory in the image`;
    }
    if (found === null) {
      return path.startsWith("/run/") || (outer !== null && outer.operator.via !== "overlay")
        ? null
        : `${part} is missing from the image, which is read-only; make it there (${kind === "file" ? "an empty file" : "an empty directory"} ${path})`;
    }
  }
  return null;
}
