import type { CommandLine } from "../../boot/kernel-command-line.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import type { BootFacts } from "./facts.ts";
import type { PlannedRecord } from "./planned-record.ts";
import type { Search } from "./search.ts";

/** What all parts of one planned boot share. */
export interface Planning {
  facts: BootFacts;
  control: ControlFile;
  words: CommandLine;
  search: Search;
  record: PlannedRecord;
  warnings: string[];
  /** As the sequence's Launch.stateNotes. */
  stateNotes: string[];
  unknown: string[];
}
