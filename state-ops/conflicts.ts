import type { Declared } from "./compile-operator.ts";
import type { Operator } from "./control.ts";
import { imageMounts, mountOver } from "./image-mounts.ts";
import { components, type ImageTree } from "./image-tree.ts";
import { isWritableInside } from "./operator-combinations.ts";
import { parentOf } from "./operator-rules.ts";
import { togetherFaults } from "./operators-together.ts";
import { placeOf, problemAt } from "./problems.ts";
import type { Problem } from "./schema/document.ts";
import { seedFaults } from "./seed-content.ts";

/** Keys whose faults do not come from an operator that is missing. */
const surelyWrong = ["path", "id", "renamed-from"];

/**
 * What is wrong between operators, and between an operator and the image. `declared` is sorted, parents first; where it is
 * not `whole`, since others have mistakes of their own, nothing is said that one of those might put right.
 */
export function findConflicts(declared: readonly Declared[], image: ImageTree, whole: boolean): Problem[] {
  const byOperator = new Map(declared.map((entry) => [entry.operator, entry]));
  const together = togetherFaults(declared.map(({ operator }) => operator));
  const misplaced = new Set(together.filter(({ key }) => key === "path").map(({ operator }) => operator));
  const problems = together.flatMap(({ operator, other, key, text }) => {
    const entry = byOperator.get(operator);
    const otherEntry = other === null ? undefined : byOperator.get(other);
    const place = otherEntry === undefined ? "" : placeOf({ ...otherEntry, origin: otherEntry.operator.origin });
    return entry === undefined || (!whole && !surelyWrong.includes(key))
      ? []
      : problemAt(entry.document, [...entry.at, key], text(place));
  });
  const mounts = imageMounts(image);
  const byPath = new Map(declared.map(({ operator }) => [operator.path, operator]));
  for (const { operator, document, at } of declared.filter((entry) => !misplaced.has(entry.operator))) {
    const report = (key: string, text: string): void => {
      problems.push(problemAt(document, [...at, key], text));
    };
    const outer = parentOf(operator.path, byPath);
    const wrong = mountPointFault(operator, image, !whole || (outer !== null && isWritableInside(outer)));
    if (wrong !== null) {
      report("path", wrong);
    }
    const over = mountOver(operator.path, mounts);
    if (over !== null) {
      const remedy = "take that out of the image, or this away";
      report(
        "path",
        `${operator.path} is hidden by the mount of ${over.path} that the image makes itself, ${over.by}; ${remedy}`,
      );
    }
    for (const text of wrong === null ? seedFaults(operator, image) : []) {
      report("seed", text);
    }
  }
  return problems;
}

/**
 * A mount point must be in the image, since nothing can be made on a read-only root. Inside an operator that can be
 * written, and below /run, it is made on the device.
 */
function mountPointFault(operator: Operator, image: ImageTree, isInWritable: boolean): string | null {
  const { path, kind, via, target } = operator;
  const canBeMade = path.startsWith("/run/") || isInWritable;
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
