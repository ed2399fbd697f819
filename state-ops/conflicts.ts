import type { Declared } from "./compile-operator.ts";
import type { Operator } from "./control.ts";
import { components, type ImageTree } from "./image-tree.ts";
import { isWritableInside } from "./operator-combinations.ts";
import { parentOf } from "./operator-rules.ts";
import { togetherFaults } from "./operators-together.ts";
import { placeOf, problemAt } from "./problems.ts";
import type { Problem } from "./schema/document.ts";

/** What is wrong between operators, and between an operator and the image. `declared` is sorted, parents first. */
export function findConflicts(declared: readonly Declared[], image: ImageTree): Problem[] {
  const byOperator = new Map(declared.map((entry) => [entry.operator, entry]));
  const problems = togetherFaults(declared.map(({ operator }) => operator)).flatMap(({ operator, other, key, text }) => {
    const entry = byOperator.get(operator);
    const otherEntry = other === null ? undefined : byOperator.get(other);
    const place = otherEntry === undefined ? "" : placeOf({ ...otherEntry, origin: otherEntry.operator.origin });
    return entry === undefined ? [] : problemAt(entry.document, [...entry.at, key], text(place));
  });
  const byPath = new Map(declared.map(({ operator }) => [operator.path, operator]));
  for (const { operator, document, at } of declared) {
    const wrong = mountPointFault(operator, parentOf(operator.path, byPath), image);
    if (wrong !== null) {
      problems.push(problemAt(document, [...at, "path"], wrong));
    }
  }
  return problems;
}

/**
 * A mount point must be in the image, since nothing can be made on a read-only root. Inside an operator that can be
 * written, and below /run, it is made on the device.
 */
function mountPointFault(operator: Operator, outer: Operator | null, image: ImageTree): string | null {
  const { path, kind, via, target } = operator;
  const canBeMade = path.startsWith("/run/") || (outer !== null && isWritableInside(outer));
  for (const part of components(path)) {
    const found = image.look(part);
    const isOwn = part === path;
    if (found?.kind === "symlink" && !(isOwn && via === "symlink")) {
      return `${part} is a symlink to ${found.target ?? "elsewhere"} in the image; name the path that it leads to`;
    }
    if (found !== null && !isOwn && found.kind !== "directory") {
      return `${part} is no directory in the image`;
    }
    if (isOwn && via === "symlink" && found?.target !== target && !canBeMade) {
      const seen =
        found === null ? "there is nothing" : found.kind === "symlink" ? `it points to ${found.target}` : `it is a ${found.kind}`;
      return `${path} must be a symlink to ${target} in the image, which is read-only; ${seen}: make it there`;
    }
    if (found === null) {
      return canBeMade
        ? null
        : `${part} is missing from the image, which is read-only; make it there (${kind === "file" ? "an empty file" : "an empty directory"} ${path})`;
    }
  }
  return null;
}
