import { accountDrift } from "./account-drift.ts";
import { adviceOn } from "./advice.ts";
import { canonicalJsonWithDigest } from "./canonical-json.ts";
import { compileOperator, type Declared, type Entry, type Names } from "./compile-operator.ts";
import { compileSystem, type ReadBeside } from "./compile-system.ts";
import { findConflicts } from "./conflicts.ts";
import type { ControlFile, Operator } from "./control.ts";
import { type ImageTree, readNames } from "./image-tree.ts";
import { hasStore } from "./operator-combinations.ts";
import { applyOverrides } from "./overrides.ts";
import { abandonedStores, compareWithPrevious } from "./previous.ts";
import { CompileError, compareText, formatProblem, problemAt } from "./problems.ts";
import { readControl } from "./read-control.ts";
import { checkSchema } from "./schema/check.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import { type FragmentInPart, fragmentInPartSchema, fragmentSchema } from "./schema/fragment.ts";
import { systemSchema } from "./schema/system.ts";
import { shippedSecrets } from "./shipped-secrets.ts";

export interface CompileInput {
  system: SourceDocument;
  /** In any order: it changes nothing. */
  fragments: readonly SourceDocument[];
  image: ImageTree;
  beside: ReadBeside;
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
  const system = checked.value === null ? null : compileSystem(checked.value, input.system, input.beside);
  const fragments = compileFragments(input);
  const problems = [...checked.problems, ...(system?.problems ?? []), ...fragments.problems];
  const declared = withoutTwins(fragments.declared);
  const warnings = [...(system?.warnings ?? []), ...shippedSecrets(operatorsOf(declared), input.image)];
  problems.push(...findConflicts(declared, input.image, problems.length === 0));
  if (system?.system.data === null) {
    problems.push(...withoutData(declared, input.system.file));
  }
  const seen = [...adviceOn(operatorsOf(declared), input.image).map((advice) => ({ severity: "warning", ...advice }))];
  if (input.previous !== null) {
    const accounts = accountDrift(input.image, input.previous);
    problems.push(...accounts.problems);
    warnings.push(...accounts.warnings, ...abandoned(declared, input.previous, input.system));
    seen.push(...compareWithPrevious(operatorsOf(declared), input.previous).map((drift) => ({ ...drift, key: "path" })));
  }
  const byOperator = new Map(declared.map((entry) => [entry.operator, entry]));
  for (const { operator, severity, key, text } of seen) {
    const entry = byOperator.get(operator);
    if (entry !== undefined) {
      (severity === "error" ? problems : warnings).push(problemAt(entry.document, [...entry.at, key], text));
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
  const entries: Entry[] = [];
  const problems: Problem[] = [];
  for (const document of fragments) {
    const checked = checkSchema(document, fragmentSchema);
    problems.push(...checked.problems);
    entries.push(...(checked.value === null ? soundEntries(document) : entriesOf(checked.value, document)));
  }
  const kept = applyOverrides(entries.sort(byPathThenOrigin));
  problems.push(...kept.problems);
  const declared = kept.entries.flatMap((entry) => {
    const compiled = compileOperator(entry, image, names);
    problems.push(...compiled.problems);
    return compiled.declared ?? [];
  });
  return { declared, problems };
}

function entriesOf({ package: name, operators }: FragmentInPart, document: SourceDocument): Entry[] {
  return operators.flatMap((said, index) => {
    const at = ["operators", index];
    const origin = `${name}/${document.origin}:${document.position(at).line}`;
    return said === null ? [] : { said, package: name, document, at, origin };
  });
}

/** What can be read of a fragment that has a mistake elsewhere, so that all mistakes are told at once. */
function soundEntries(document: SourceDocument): Entry[] {
  const sound = fragmentInPartSchema.safeParse(document.value);
  return sound.success ? entriesOf(sound.data, document) : [];
}

function namesOf(image: ImageTree): Names {
  return { users: readNames(image.text("/etc/passwd") ?? ""), groups: readNames(image.text("/etc/group") ?? "") };
}

/** A path's parents sort before it; what is the same on one path sorts by origin, whatever the order of files. */
function byPathThenOrigin(left: Entry, right: Entry): number {
  return (
    compareText(left.said.path, right.said.path) ||
    compareText(left.origin, right.origin) ||
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
    .filter(({ operator }) => hasStore(operator))
    .map(({ operator, document, at }) => {
      const text = `${operator.path} is ${operator.state}, and ${file} declares no "data:" to keep it on; add it there`;
      return problemAt(document, [...at, "state"], text);
    });
}

function abandoned(declared: readonly Declared[], previous: ControlFile, system: SourceDocument): Problem[] {
  return abandonedStores(operatorsOf(declared), previous).map((old) => {
    const text = `${old.path} was ${old.state} in the previous control file (${old.origin}), and no operator has its store "${old.id}" now; if it moved, say "renamed-from: ${old.id}"`;
    return problemAt(system, [], text);
  });
}

function operatorsOf(declared: readonly Declared[]): Operator[] {
  return declared.map(({ operator }) => operator);
}
