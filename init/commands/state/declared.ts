/** What the running image declares of its state, and the path that somebody means on this machine. */
import type { ControlFile, Operator } from "../../../state-ops/control.ts";
import { pathFault } from "../../../state-ops/operator-rules.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { readControl } from "../../../state-ops/read-control.ts";
import { O } from "../../kernel/constants.ts";
import { readText, withOpen } from "../../kernel/files.ts";
import { type Kernel, KernelError } from "../../kernel/kernel.ts";
import { procPath } from "../../state/beneath.ts";
import type { Places } from "../machine.ts";

/** The running image's control file, all of it checked as PID 1 checks it. Throws Refusal where it is not there or unsound. */
export function readImageControl(kernel: Kernel, places: Places): ControlFile {
  let text: string;
  try {
    text = readText(kernel, places.imageControl);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new Refusal(
      `the running image declares no state: ${places.imageControl} cannot be read (${error.code}); compile one into the image with slipway state compile`,
    );
  }
  try {
    return readControl(text);
  } catch (error) {
    if (!(error instanceof BadInput)) throw error;
    throw new Refusal(
      `${places.imageControl}: ${error.message}; build the image anew, or run the slipway that it was built with`,
    );
  }
}

/** The running image's operators; none where its control file cannot be had. */
export function operatorsIfDeclared(kernel: Kernel, places: Places): readonly Operator[] {
  try {
    return readImageControl(kernel, places).operators;
  } catch (error) {
    if (error instanceof Refusal) return [];
    throw error;
  }
}

/**
 * The path that `given` means: without slashes that say nothing, and with the links resolved that lead to its directory
 * (operators lie on real paths). The last name stays, a link too. Throws BadInput for a path that is not absolute.
 */
export function meantPath(kernel: Kernel, given: string): string {
  const plain = given === "/" ? given : given.replace(/\/{2,}/g, "/").replace(/(?<=.)\/$/, "");
  const fault = pathFault(plain);
  if (fault !== null) throw new BadInput(fault);
  const slash = plain.lastIndexOf("/");
  const parent = realPath(kernel, plain.slice(0, slash));
  return plain === "/" ? plain : `${parent === "/" ? "" : parent}${plain.slice(slash)}`;
}

/** `directory` without links, as far as it is there. */
function realPath(kernel: Kernel, directory: string): string {
  if (directory === "") return "";
  try {
    return withOpen(kernel, directory, O.PATH | O.DIRECTORY, (fd) => new TextDecoder().decode(kernel.readLink(procPath(fd))));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const slash = directory.lastIndexOf("/");
    return `${realPath(kernel, directory.slice(0, slash))}${directory.slice(slash)}`;
  }
}
