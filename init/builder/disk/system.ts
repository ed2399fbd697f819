import { readFileSync } from "node:fs";
import { parseReference } from "../../../boot/devices/reference.ts";
import type { DataFilesystem } from "../../../state-ops/control.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { CompileError } from "../../../state-ops/problems.ts";
import { checkSchema } from "../../../state-ops/schema/check.ts";
import { parseYaml } from "../../../state-ops/schema/document.ts";
import { systemSchema } from "../../../state-ops/schema/system.ts";

/** What a system definition says of its disk; devices are partition labels. */
export interface DiskDefinition {
  system: string;
  slots: { name: string; label: string }[];
  bootRecord: string;
  data: { label: string; filesystem: DataFilesystem } | null;
}

/** Reads system.yaml. @throws BadInput for what is wrong in it, and for devices that are not partition labels */
export function readDiskDefinition(file: string): DiskDefinition {
  let source: string;
  try {
    source = readFileSync(file, "utf8");
  } catch (error) {
    throw new BadInput(`cannot read --system ${file}: ${error instanceof Error ? error.message : error}`);
  }
  const { document, problems } = parseYaml(file, "system.yaml", source);
  if (document === null) throw new CompileError(problems);
  const checked = checkSchema(document, systemSchema);
  if (checked.value === null) throw new CompileError(checked.problems);
  const { system, slots, data, "boot-record": bootRecord } = checked.value;
  return {
    system,
    slots: Object.entries(slots).map(([name, slot]) => ({ name, label: partitionLabel(`slot ${name}`, slot.device) })),
    bootRecord: partitionLabel("boot-record", bootRecord.device),
    data: data ? { label: partitionLabel("data", data.device), filesystem: data.filesystem } : null,
  };
}

function partitionLabel(what: string, device: string): string {
  const reference = parseReference(device);
  if (reference.by === "partlabel") return reference.value;
  throw new BadInput(`${what} is at ${device}: disk build gives partitions labels; write PARTLABEL=… in the system definition`);
}
