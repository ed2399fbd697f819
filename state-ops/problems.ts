import { BadInput } from "./outcome.ts";
import type { NodePath, Problem, SourceDocument } from "./schema/document.ts";

/** Sources that do not compile. The message has one line a problem: `FILE:LINE:COLUMN: what, and the remedy`. */
export class CompileError extends BadInput {
  readonly lines: string[];

  constructor(problems: readonly Problem[]) {
    const sorted = [...problems].sort(
      (left, right) => compareText(left.file, right.file) || left.line - right.line || left.column - right.column,
    );
    const lines = sorted.map(formatProblem);
    super(lines.join("\n"));
    this.lines = lines;
  }
}

/** `FILE:LINE:COLUMN: text` on one line, and nothing in it that a terminal obeys. */
export function formatProblem(problem: Problem): string {
  return visible(`${problem.file}:${problem.line}:${problem.column}: ${problem.text}`);
}

/** `text` with characters that do not show written as escapes of JSON. */
export function visible(text: string): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return text.replace(/[\p{Cc}\p{Bidi_Control}]/gu, escaped);
}

/** A problem at a value of a document, or at its key. */
export function problemAt(document: SourceDocument, path: NodePath, text: string, part: "key" | "value" = "value"): Problem {
  return { file: document.file, ...document.position(path, part), text };
}

/** "at FILE:LINE:COLUMN (package/file:line)": where the other end of a conflict was declared. */
export function placeOf(declared: { document: SourceDocument; at: NodePath; origin: string }, key = "path"): string {
  const { line, column } = declared.document.position([...declared.at, key]);
  return `at ${declared.document.file}:${line}:${column} (${declared.origin})`;
}

/** Order by UTF-16 code units, the same on every machine. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
