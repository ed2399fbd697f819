import type { Operator } from "../../../state-ops/control.ts";
import { nestedPaths } from "../../../state-ops/merge/baseline.ts";
import { pathBytes, pathText } from "../../../state-ops/merge/path-text.ts";
import { hasStore } from "../../../state-ops/operator-combinations.ts";
import { byPath, isAtOrBelow, OperatorPaths, rulingOperator, storePaths } from "../../../state-ops/operator-tree.ts";
import { sizeText } from "../../../state-ops/size-text.ts";
import { O } from "../../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { linuxKernel } from "../../kernel/linux.ts";
import { openBeneath, splitPath, withDescriptor, withDirectory } from "../../state/beneath.ts";
import { withDataFilesystem, withImage } from "../data-access.ts";
import { type Machine, PLACES, type Places, readMachine } from "../machine.ts";
import { flag, type Verb } from "../verb.ts";
import { type Change, compareFiles, compareTrees } from "./compare-tree.ts";
import { meantPath, readImageControl } from "./declared.ts";
import { ownGeneration } from "./explain.ts";
import { type Measure, measureIfThere } from "./walk.ts";

export interface Difference {
  /** Absolute, as path text: "\xNN" for a byte that cannot be printed. */
  path: string;
  change: Change;
  kind: string;
}

/** What is to be told of one operator. */
export interface OperatorDifference extends Pick<Operator, "path" | "state" | "via"> {
  /** Whether it was compared with the image's content; else only what is there was counted. */
  compared: boolean;
  differences: Difference[];
  /** Null where it was compared, or nothing is kept. */
  size: Measure | null;
  /** Not everything was looked at. */
  truncated: boolean;
  unread: string[];
  /** Why there is nothing to compare; null where there is. */
  note: string | null;
}

export interface StateDifference {
  /** Null: of everything. */
  path: string | null;
  operators: OperatorDifference[];
  /** What to know when there is nothing. */
  note: string | null;
}

/** What differs from the image, at `given` and below. Throws BadInput for a path that is none, Refusal without a data filesystem. */
export function diffState(kernel: Kernel, places: Places, given: string | null): StateDifference {
  const machine = readMachine(kernel, places);
  const { operators } = readImageControl(kernel, places);
  const path = given === null ? null : meantPath(kernel, given);
  const paths = new OperatorPaths(operators);
  const asked = byPath(askedOf(operators, path));
  if (asked.length === 0) {
    const where = path === null ? "the running image declares no state" : `no operator rules ${path}`;
    return { path, operators: [], note: `${where}: it is as the image has it` };
  }
  const kept = asked.filter(hasStore);
  if (kept.length === 0) return { path, operators: asked.map((operator) => uncompared(operator, noteOf(operator))), note: null };
  return withDataFilesystem(kernel, machine, (data) =>
    withImage(kernel, machine, (image) => ({
      path,
      operators: asked.map((operator) =>
        hasStore(operator)
          ? within(diffOperator(kernel, { data, image }, machine, paths, operator), path)
          : uncompared(operator, noteOf(operator)),
      ),
      note: null,
    })),
  );
}

/** Those that keep something; of a path, the one that rules it and those below. */
function askedOf(operators: readonly Operator[], path: string | null): Operator[] {
  if (path === null) return operators.filter(hasStore);
  const ruling = rulingOperator(operators, path);
  return operators.filter((operator) => isAtOrBelow(operator.path, path) || operator === ruling);
}

function noteOf({ state, via, target }: Operator): string {
  if (state === null) return "nothing can be written there";
  return via === "symlink" ? `a link to ${target}` : "in memory: gone at the reboot, so nothing is kept";
}

function uncompared({ path, state, via }: Operator, note: string | null): OperatorDifference {
  return { path, state, via, compared: false, differences: [], size: null, truncated: false, unread: [], note };
}

function within(difference: OperatorDifference, path: string | null): OperatorDifference {
  if (path === null || !difference.compared) return difference;
  const text = pathText(Buffer.from(path));
  return { ...difference, differences: difference.differences.filter((entry) => isAtOrBelow(entry.path, text)) };
}

function diffOperator(
  kernel: Kernel,
  roots: { data: Descriptor; image: Descriptor },
  machine: Machine,
  paths: OperatorPaths,
  operator: Operator,
): OperatorDifference {
  const stores = storePaths(operator, ownGeneration(machine));
  const degraded = machine.report.degraded.find((entry) => entry.path === operator.path);
  const note =
    degraded === undefined ? null : `degraded now (${degraded.reason}): this is what its store holds, which is not in use`;
  const compared = operator.state === "persistent" && (operator.via === "overlay" || operator.seed === "image");
  if (!compared) {
    const size = stores.map((store) => measureIfThere(kernel, roots.data, store)).find((found) => found !== null) ?? null;
    return { ...uncompared(operator, size === null ? "nothing is kept there yet" : note), size };
  }
  const [store = ""] = stores;
  try {
    return { ...uncompared(operator, note), ...compare(kernel, roots, paths, operator, store), compared: true };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return uncompared(
      operator,
      error.code === "ENOENT" ? "nothing is kept there yet" : `its store cannot be read: ${error.message}`,
    );
  }
}

function compare(
  kernel: Kernel,
  { data, image }: { data: Descriptor; image: Descriptor },
  paths: OperatorPaths,
  operator: Operator,
  store: string,
): Pick<OperatorDifference, "differences" | "truncated" | "unread"> {
  const named = (found: { path: string; change: Change; kind: string }): Difference => {
    const path = pathText(Buffer.from(found.path, "latin1"));
    const top = pathText(Buffer.from(operator.path));
    return { ...found, path: path === "" ? top : `${top}/${path}` };
  };
  const inImage = operator.path.slice(1);
  if (operator.kind === "file") {
    const [parent, name] = splitPath(store);
    const [imageParent, imageName] = splitPath(inImage);
    const found = withDirectory(kernel, data, parent, (at) =>
      withDirectoryIfThere(kernel, image, imageParent, (directory) =>
        compareFiles(kernel, { at, name: Buffer.from(name) }, directory, imageName),
      ),
    );
    return { differences: found === null ? [] : [named(found)], truncated: false, unread: [] };
  }
  const below = nestedPaths(operator, paths).flatMap((path) => pathBytes(path) ?? []);
  const nested = new Set(below.map((path) => Buffer.from(path).toString("latin1")));
  const compared = withDirectory(kernel, data, store, (root) =>
    withDirectoryIfThere(kernel, image, inImage, (lower) =>
      compareTrees(kernel, { store: root, image: lower, overlay: operator.via === "overlay", nested }),
    ),
  );
  return { ...compared, differences: compared.differences.map(named) };
}

/** `use` gets null where the image has no directory there. */
function withDirectoryIfThere<Result>(
  kernel: Kernel,
  at: Descriptor,
  path: string,
  use: (directory: Descriptor | null) => Result,
): Result {
  let directory: Descriptor;
  try {
    directory = openBeneath(kernel, at, path === "" ? "." : path, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (error instanceof KernelError) return use(null);
    throw error;
  }
  return withDescriptor(kernel, () => directory, use);
}

const LETTERS: Record<Change, string> = { added: "A", changed: "C", deleted: "D", metadata: "M" };

/** The answer as people read it: a line for each difference, "A /etc/new". */
export function diffText({ operators, note }: StateDifference): string {
  if (note !== null) return `${note}.`;
  const lines = operators.flatMap((operator) => {
    const { path, state, via, compared, differences, size, unread, truncated } = operator;
    const head = `${path} (${state ?? "immutable"}, ${via})`;
    const count =
      size === null ? [] : [`${size.files}${size.truncated ? "+" : ""} files, ${sizeText(size.bytes)}; not the image's`];
    const same = compared && differences.length === 0 && unread.length === 0 ? ["as the image has it"] : [];
    const what = [...count, ...same, ...(operator.note === null ? [] : [operator.note])];
    return [
      `${head}${what.length === 0 ? "" : `: ${what.join("; ")}`}`,
      ...differences.map((entry) => `  ${LETTERS[entry.change]} ${entry.path}${entry.kind === "directory" ? "/" : ""}`),
      ...unread.map((entry) => `  ? ${entry}: could not be read`),
      ...(truncated ? ["  and more, which was not looked at"] : []),
    ];
  });
  const compared = operators.some((operator) => operator.differences.length > 0);
  return [...lines, ...(compared ? ["", "A added, C changed, D deleted, M only mode, owner or attributes"] : [])].join("\n");
}

export const verb: Verb = {
  help: `
Usage: slipway state diff [PATH] [--json]

Tells what differs from the running image, at PATH and below or of everything that is kept: added, changed, deleted, or with
another mode, owner or extended attributes only. Contents are compared, times are not. What the image has nothing to say about
(shared, identity, stores that begin empty) is counted only. Names that cannot be printed are escaped: "\\xNN" is a byte.

Options:
  --json    print one JSON object: path, operators (path, state, via, compared, differences (path, change (added, changed,
            deleted or metadata), kind), size, truncated, unread, note), note`,
  options: { json: { type: "boolean" } },
  positionals: ["PATH?"],
  async run(values, [path]) {
    const difference = diffState(linuxKernel(), PLACES, path ?? null);
    console.log(flag(values, "json") ? JSON.stringify({ schema: 1, ...difference }) : diffText(difference));
    return 0;
  },
};
