import type { Entry } from "./compile-operator.ts";
import { placeOf, problemAt } from "./problems.ts";
import type { Problem } from "./schema/document.ts";

/** Takes away what another entry replaces by `override:`. What is overridden need not even fit the image. */
export function applyOverrides(entries: readonly Entry[]): { entries: Entry[]; problems: Problem[] } {
  const problems: Problem[] = [];
  const replaced = new Set<Entry>();
  const overriding = new Map<string, Entry>();
  const overridable = Map.groupBy(
    entries.filter(({ said }) => said.override === undefined),
    ({ said }) => said.path,
  );
  for (const entry of entries) {
    const { path, override } = entry.said;
    if (override === undefined) continue;
    const report = (text: string): void => {
      problems.push(problemAt(entry.document, [...entry.at, "override"], text));
    };
    const other = overriding.get(path);
    if (other !== undefined && JSON.stringify(other.said) !== JSON.stringify(entry.said)) {
      report(`${path} is overridden twice, here and ${placeOf(other, "override")}; keep one of them`);
    }
    overriding.set(path, other ?? entry);
    const onPath = overridable.get(path) ?? [];
    const targets = onPath.filter((candidate) => candidate.package === override);
    if (targets.length === 0) {
      const seen = onPath.map((candidate) => `that of ${candidate.package} ${placeOf(candidate)}`).join(", ");
      report(`${path} has no operator of package "${override}" to replace; there is ${seen || "none at all"}`);
    }
    for (const target of targets) replaced.add(target);
  }
  return { entries: entries.filter((entry) => !replaced.has(entry)), problems };
}
