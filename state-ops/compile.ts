import { canonicalJsonWithDigest } from "./canonical-json.ts";
import { compileOperator, type Declared, type Names } from "./compile-operator.ts";
import { compileSystem } from "./compile-system.ts";
import { findConflicts } from "./conflicts.ts";
import type { ControlFile, Operator } from "./control.ts";
import { type ImageTree, readNames } from "./image-tree.ts";
import { compareWithPrevious } from "./previous.ts";
import { CompileError, compareText, formatProblem, problemAt } from "./problems.ts";
import { readControl } from "./read-control.ts";
import { checkSchema } from "./schema/check.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import { fragmentSchema } from "./schema/fragment.ts";
import { systemSchema } from "./schema/system.ts";

export interface CompileInput {
  system: SourceDocument;
  /** In any order: it changes nothing. */
  fragments: readonly SourceDocument[];
  image: ImageTree;
  /** The control file of the image that devices run now. */
  previous: ControlFile | null;
}

export interface Compiled {
  control: ControlFile;
  /** The control file's bytes: canonical JSON with a digest. */
  text: string;
  /** `FILE:LINE:COLUMN: text` each. */
  warnings: string[];
}

/** Compiles the system definition and all fragments into one control file. Throws CompileError with every problem found. */
export function compile(input: CompileInput): Compiled {
  const checked = checkSchema(input.system, systemSchema);
  const system = checked.value === null ? null : compileSystem(checked.value, input.system);
  const fragments = compileFragments(input);
  const problems = [...checked.problems, ...(system?.problems ?? []), ...fragments.problems];
  const warnings = [...(system?.warnings ?? [])];
  const declared = withoutTwins(fragments.declared);
  if (problems.length === 0) {
    problems.push(...findConflicts(declared, input.image));
  }
  if (system?.system.data === null) {
    problems.push(...withoutData(declared, input.system.file));
  }
  for (const drift of input.previous === null ? [] : compareWithPrevious(operatorsOf(declared), input.previous)) {
    const at = declared.find(({ operator }) => operator === drift.operator);
    if (at !== undefined) {
      (drift.severity === "error" ? problems : warnings).push(problemAt(at.document, [...at.at, "path"], drift.text));
    }
  }
  if (system === null || problems.length > 0) {
    throw new CompileError(problems);
  }
  const names = namesOf(input.image);
  const accounts = { users: Object.fromEntries(names.users), groups: Object.fromEntries(names.groups) };
  const text = canonicalJsonWithDigest({ ...system.system, accounts, operators: operatorsOf(declared) });
  return { control: readControl(text), text, warnings: warnings.map(formatProblem) };
}

function compileFragments({ fragments, image }: CompileInput): { declared: Declared[]; problems: Problem[] } {
  const names = namesOf(image);
  const declared: Declared[] = [];
  const problems: Problem[] = [];
  for (const document of fragments) {
    const checked = checkSchema(document, fragmentSchema);
    problems.push(...checked.problems);
    for (const [index, entry] of (checked.value?.operators ?? []).entries()) {
      const at = ["operators", index];
      const origin = `${checked.value?.package}/${document.origin}:${document.position(at).line}`;
      const compiled = compileOperator(entry, document, at, origin, image, names);
      declared.push(compiled.declared);
      problems.push(...compiled.problems);
    }
  }
  return { declared: declared.sort(byPathThenOrigin), problems };
}

function namesOf(image: ImageTree): Names {
  return { users: readNames(image.text("/etc/passwd") ?? ""), groups: readNames(image.text("/etc/group") ?? "") };
}

/** A path's parents sort before it; what is the same on one path sorts by origin, whatever the order of files. */
function byPathThenOrigin(left: Declared, right: Declared): number {
  return (
    compareText(left.operator.path, right.operator.path) ||
    compareText(left.operator.origin, right.operator.origin) ||
    compareText(left.document.file, right.document.file)
  );
}

/** Two declarations that say the same of one path are one. */
function withoutTwins(declared: readonly Declared[]): Declared[] {
  const twins = new Map<string, Declared>();
  for (const entry of declared) {
    const key = JSON.stringify({ ...entry.operator, origin: "" });
    twins.set(key, twins.get(key) ?? entry);
  }
  return [...twins.values()];
}

function withoutData(declared: readonly Declared[], file: string): Problem[] {
  return declared
    .filter(({ operator }) => operator.state !== "ephemeral")
    .map(({ operator, document, at }) => {
      const text = `${operator.path} is ${operator.state}, and ${file} declares no "data:" to keep it on; add it there`;
      return problemAt(document, [...at, "state"], text);
    });
}

function operatorsOf(declared: readonly Declared[]): Operator[] {
  return declared.map(({ operator }) => operator);
}
