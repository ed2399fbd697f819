import type { ControlFile } from "../../../state-ops/control.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { readControl } from "../../../state-ops/read-control.ts";
import { CONTROL_IN_IMAGE, type LookedInto } from "./look-into.ts";

/** What a boot of an image without a control file misses. */
export const noControl = `no ${CONTROL_IN_IMAGE}: nothing would be writable in it, and PID 1 lays no state; compile one with slipway state compile`;

/** The control file `text` of what `where` names, which has to be one for `system`. @throws BadInput */
export function checkImageControl(where: string, text: string, system: string): ControlFile {
  let control: ControlFile;
  try {
    control = readControl(text);
  } catch (error) {
    throw error instanceof BadInput ? new BadInput(`${where}: ${error.message}`) : error;
  }
  if (control.system === system) return control;
  throw new BadInput(
    `${where} is for the system "${control.system}", --system says "${system}"; machines would refuse the image`,
  );
}

/**
 * The control file of an image that was looked into; or in words that it has none, or that none can be read here.
 *
 * @throws BadInput where something is wrong with the one that it has
 */
export function controlOf(inside: LookedInto | string, system: string): ControlFile | string {
  if (typeof inside === "string") return `${CONTROL_IN_IMAGE} of the image is not checked: ${inside}`;
  if (inside.control === null) return noControl;
  return checkImageControl(`${CONTROL_IN_IMAGE} of the image`, inside.control, system);
}
