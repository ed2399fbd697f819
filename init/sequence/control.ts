import type { ControlFile } from "../../state-ops/control.ts";
import { isPlainRecord, readControlWith } from "../../state-ops/read-plain-control.ts";

/** Reads a control file as PID 1 does: what only some machines have is loaded where it is there. Throws BadInput. */
export async function readControl(text: string): Promise<ControlFile> {
  if (isPlainRecord(text)) return readControlWith(text, null);
  const { bootRecordReader } = await import("../../state-ops/read-boot-record.ts");
  return readControlWith(text, bootRecordReader);
}
