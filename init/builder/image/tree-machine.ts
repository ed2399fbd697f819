/** Which machine the programs of a system are for, by the headers of those that a boot starts. */
import { type Architecture, architectureOfMachine, runsOn } from "../../../boot/architecture.ts";
import { elfMachine, machineText } from "../../../boot/elf.ts";
import { BadInput } from "../../../state-ops/outcome.ts";
import { O, RESOLVE } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { scriptInterpreter, USUAL_PLACES } from "../../sequence/next-init.ts";

/** Programs that tell a system's machine, in a tree; what links of these lead to is among them. */
export const TELLING_PROGRAMS = [
  "/usr/bin/slipway",
  ...USUAL_PLACES,
  ...["/usr/sbin/init", "/usr/bin/init", "/usr/lib/systemd/systemd", "/lib/systemd/systemd"],
];

/** A program of a tree, and its ELF machine. */
export interface TreeProgram {
  path: string;
  machine: number;
}

/** Those of {@link TELLING_PROGRAMS} that the tree at `root` has; a script stands for its interpreter. */
export function treePrograms(kernel: Kernel, root: string): TreeProgram[] {
  return withOpen(kernel, root, O.RDONLY | O.DIRECTORY, (tree) =>
    TELLING_PROGRAMS.flatMap((path) => {
      const head = headIn(kernel, tree, path);
      const script = head === null ? null : scriptInterpreter(head);
      const program = script === null ? { path, head } : { path: script, head: headIn(kernel, tree, script) };
      const machine = program.head === null ? null : elfMachine(program.head);
      return machine === null ? [] : [{ path: program.path, machine }];
    }),
  );
}

/** The first bytes of a file in the tree, links followed inside it only; null where there is none. */
function headIn(kernel: Kernel, tree: Descriptor, path: string): Uint8Array | null {
  try {
    return withOpen(
      kernel,
      path,
      O.RDONLY | O.NONBLOCK,
      (fd) => (kernel.status(fd).kind === "file" ? kernel.read(fd, 256, 0n) : null),
      { at: tree, resolve: RESOLVE.IN_ROOT },
    );
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

/**
 * The architecture that goes into the seal: the one that was asked for, else that of the programs; null where nothing says it,
 * or it is none that slipway is built for.
 *
 * @throws BadInput that names both where two programs are for different machines, or one is not for what was asked for
 */
export function settleArchitecture(asked: Architecture | null, programs: readonly TreeProgram[]): Architecture | null {
  const telling = programs.map(({ path, machine }) => ({ path, machine, architecture: architectureOfMachine(machine) }));
  const first = telling.find(({ architecture }) => architecture !== null);
  const settled = asked ?? first?.architecture ?? null;
  const wanted = asked === null ? `${first?.path} for ${settled}` : `--arch says ${asked}`;
  const other = settled === null ? undefined : telling.find(({ machine }) => !runsOn(settled, machine));
  if (other === undefined) return settled;
  throw new BadInput(`${other.path} of the image is for ${machineText(other.machine)}, and ${wanted}; is it the right tree?`);
}

/** What is said where nothing tells the machine of an image. */
export const noArchitecture =
  "nothing says which machine the image is for: another one sees it only when it boots; give --arch, where you know it";
