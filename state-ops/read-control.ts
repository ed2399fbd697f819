import type { ControlFile } from "./control.ts";
import { bootRecordReader } from "./read-boot-record.ts";
import { readControlWith } from "./read-plain-control.ts";

/**
 * Reads the text of a control file and checks all of it: version, every key and value, the canonical form, the digest, that
 * the operators fit together (no path or id twice, parents before children), and boot record, store and slots. Throws BadInput
 * that names the first thing that is wrong; unknown keys are refused, never ignored.
 */
export function readControl(text: string): ControlFile {
  return readControlWith(text, bootRecordReader);
}
