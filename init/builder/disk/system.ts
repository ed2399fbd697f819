import { parseReference } from "../../../boot/devices/reference.ts";
import { compileSystem } from "../../../state-ops/compile-system.ts";
import type { DataFilesystem, FileSlot } from "../../../state-ops/control.ts";
import { CompileError, problemAt } from "../../../state-ops/problems.ts";
import { checkSchema } from "../../../state-ops/schema/check.ts";
import { type NodePath, type Problem, parseYaml } from "../../../state-ops/schema/document.ts";
import { systemSchema } from "../../../state-ops/schema/system.ts";
import { isDpsSlot } from "../../dps/read-partitions.ts";
import { readTextInput } from "../input.ts";
import { filesBeside } from "../state/public-keys.ts";

/** What a system definition says of its disk; devices are partition labels. */
export interface DiskDefinition {
  system: string;
  /** Slots that are partitions. */
  slots: { name: string; label: string }[];
  /** Slots that are files on the data filesystem. */
  files: FileSlot[];
  /** Null: a file on the data filesystem. */
  bootRecord: string | null;
  data: { label: string; filesystem: DataFilesystem } | null;
}

/** Reads system.yaml. @throws CompileError for what is wrong in it, and for devices that are not partition labels */
export function readDiskDefinition(file: string): DiskDefinition {
  const { document, problems } = parseYaml(file, "system.yaml", readTextInput(`--system ${file}`, file));
  if (document === null) throw new CompileError(problems);
  const checked = checkSchema(document, systemSchema);
  if (checked.value === null) throw new CompileError(checked.problems);
  const found: Problem[] = [];
  const { system, problems: wrong } = compileSystem(checked.value, document, filesBeside(file));
  if (wrong.length > 0) throw new CompileError(wrong);
  const label = (path: NodePath, device: string): string => {
    const reference = parseReference(device);
    if (reference.by === "partlabel") return reference.value;
    found.push(problemAt(document, path, `"${device}": disk build gives partitions labels; write PARTLABEL=…`));
    return "";
  };
  for (const slot of system.slots) {
    if (!isDpsSlot(slot)) continue;
    const text = `slot ${slot.name} has a hash tree of its own: its partitions are systemd-repart's to make, and not disk build's`;
    found.push(problemAt(document, ["slots", slot.name, "verity"], text));
  }
  const definition: DiskDefinition = {
    system: system.system,
    slots: system.slots.flatMap((slot) =>
      "device" in slot ? [{ name: slot.name, label: label(["slots", slot.name, "device"], slot.device) }] : [],
    ),
    files: system.slots.flatMap((slot) => ("file" in slot ? [slot] : [])),
    bootRecord: system.bootRecord.device && label(["boot-record", "device"], system.bootRecord.device),
    data: system.data && { label: label(["data", "device"], system.data.device), filesystem: system.data.filesystem },
  };
  if (found.length > 0) throw new CompileError(found);
  return definition;
}
