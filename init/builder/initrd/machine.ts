/** Which machine an initrd is for: that of the slipway in it, and everything else has to be for the same. */
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { type Architecture, architectureOfMachine, architectures, runsOn } from "../../../boot/architecture.ts";
import { elfMachine, machineText } from "../../../boot/elf.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { ownArchitecture } from "../../version.ts";
import { regularFile } from "../input.ts";
import { ownFile } from "./own-files.ts";

/** What the options say of slipway's own files; null where they say nothing. */
export interface AskedFiles {
  architecture: Architecture | null;
  executable: string | null;
  preinit: string | null;
}

/** What an initrd is made of that the build made. */
export interface ChosenFiles {
  executable: string;
  preinit: string;
  interpreter: string;
}

/**
 * The slipway, the preinit and the interpreter to put in: what was asked for, else what belongs to this executable, or what the
 * build made for the other architecture. Throws BadInput where that is not there.
 */
export function chooseFiles({ architecture, executable, preinit }: AskedFiles): ChosenFiles {
  const wanted =
    architecture ?? (executable === null ? ownArchitecture : programArchitecture(`--executable ${executable}`, executable));
  const chosen = executable ?? ownFile("slipway", wanted);
  const beside = (name: "preinit" | "interpreter"): string => posix.join(posix.dirname(chosen), name); // as the build puts them
  const interpreter = wanted === ownArchitecture ? ownFile("interpreter", wanted) : beside("interpreter");
  if (preinit !== null || wanted === ownArchitecture) {
    return { executable: chosen, preinit: preinit ?? ownFile("preinit", wanted), interpreter };
  }
  if (existsSync(beside("preinit"))) return { executable: chosen, preinit: beside("preinit"), interpreter };
  throw new BadInput(
    `no --preinit is given, and ${beside("preinit")} does not exist; npm run build -- --arch ${wanted} makes one`,
  );
}

/** The architecture of slipway's own executable or preinit. Throws BadInput where it is no program for one. */
export function programArchitecture(what: string, path: string): Architecture {
  regularFile(what, path);
  const machine = elfMachine(headOf(path));
  if (machine === null) throw new BadInput(`${what} is no ELF program; npm run build makes it`);
  const found = architectureOfMachine(machine);
  if (found !== null) return found;
  throw new BadInput(`${what} is for ${machineText(machine)}; slipway is built for ${architectures.join(" and ")}`);
}

/** Throws BadInput where slipway's own executable or preinit is not for `architecture`, which `because` says is wanted. */
export function refuseOtherProgram(what: string, path: string, architecture: Architecture, because: string): void {
  const found = programArchitecture(what, path);
  if (found === architecture) return;
  throw new BadInput(`${what} is for ${found}, ${because}; npm run build -- --arch ${architecture} makes one`);
}

/** The first bytes of a file, with the ELF header. What is embedded in the executable can be read as a whole only. */
function headOf(path: string): Uint8Array {
  return readFileSync(path).subarray(0, 64);
}

/** Throws BadInput where `bytes` are an ELF file that does not run on `architecture`. */
export function refuseOtherMachine(what: string, bytes: Uint8Array, architecture: Architecture): void {
  const machine = elfMachine(bytes);
  if (machine === null || runsOn(architecture, machine)) return;
  throw new BadInput(`${what} is for ${machineText(machine)}, and the initrd for ${architecture}; give one for ${architecture}`);
}
