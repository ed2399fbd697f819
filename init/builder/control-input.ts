import type { ControlFile } from "../../state-ops/control.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { readTextInput } from "./input.ts";

/** A control file that an option names, checked, and its text. @throws BadInput that names the file */
export function readControlInput(what: string, path: string): { control: ControlFile; text: string } {
  const text = readTextInput(what, path);
  try {
    return { control: readControl(text), text };
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`${path}: ${error.message}`) : error;
  }
}
