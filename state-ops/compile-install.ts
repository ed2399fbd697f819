import type { ControlFile } from "./control.ts";
import { missingPartition, neededPartitions, partitionFaults } from "./partition-rules.ts";
import { PARTITION_TYPES, partitionType, SLIPWAY_PARTITION_TYPE } from "./partition-types.ts";
import { problemAt } from "./problems.ts";
import type { LayoutPartition } from "./recovery.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";
import { parseSize } from "./schema/words.ts";

type Declared = NonNullable<SystemDefinition["layout"]>[number];

/** What `install:` and `layout:` say; `system` is the rest of the control file. */
export function compileInstall(
  definition: SystemDefinition,
  system: Pick<ControlFile, "slots" | "data" | "bootRecord" | "recovery">,
  document: SourceDocument,
): { install: ControlFile["install"]; problems: Problem[]; warnings: Problem[] } {
  const { install, layout } = definition;
  const refused = (problem: Problem) => ({ install: null, problems: [problem], warnings: [] });
  if (install === undefined) {
    if (layout === undefined) return { install: null, problems: [], warnings: [] };
    const text =
      '"layout" says what a blank disk is made into, and no disk is touched without "install: blank"; write that, or leave "layout" out';
    return refused(problemAt(document, ["layout"], text, "key"));
  }
  if (layout === undefined) {
    const text =
      '"install: blank" makes the partitions that "layout" lists, and there is none; write "layout: [{ label: …, size: … }, …]"';
    return refused(problemAt(document, ["install"], text));
  }
  const problems: Problem[] = [];
  const partitions = layout.map((declared, index): LayoutPartition => {
    const type = typeOf(declared);
    if (type === null) {
      const known = Object.keys(PARTITION_TYPES).join(", ");
      problems.push(
        problemAt(
          document,
          ["layout", index, "type"],
          `"${declared.type}" is no partition type; known are ${known}, and any GUID`,
        ),
      );
    }
    const size = declared.size === "rest" ? null : parseSize(declared.size);
    return { label: declared.label, size, type: type ?? SLIPWAY_PARTITION_TYPE };
  });
  for (const { index, key, text } of partitionFaults(partitions))
    problems.push(problemAt(document, ["layout", index, key], text));
  for (const needed of neededPartitions(system)) {
    const text = missingPartition(needed, partitions);
    const place = needed.slot === null ? [needed.key, "device"] : ["slots", needed.slot, "device"];
    if (text !== null) problems.push(problemAt(document, place, text));
  }
  if (system.data?.create === false) {
    const text = 'a blank disk has no data filesystem, and "create: false" lets nobody make one; leave "create" out';
    problems.push(problemAt(document, ["data", "create"], text));
  }
  const { ladder, sources, factory, media } = system.recovery;
  if (!ladder.includes("reinstall") && !ladder.includes("reinstall-fresh")) {
    const text = '"install: blank" installs by the rung reinstall, which recovery may not take; add it to "ladder"';
    problems.push(problemAt(document, ["install"], text));
  }
  const from = sources.length > 0 || factory !== null || media;
  const warnings = from ? [] : [problemAt(document, ["install"], '"recovery" names nothing to install from; give it "sources"')];
  return { install: { partitions }, problems, warnings };
}

function typeOf({ type }: Declared): string | null {
  return type === undefined ? SLIPWAY_PARTITION_TYPE : partitionType(type);
}
