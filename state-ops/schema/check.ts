import type { z } from "zod";
import type { NodePath, Problem, SourceDocument } from "./document.ts";

/** Checks a document against a schema: its typed value, or every problem with its place. */
export function checkSchema<Schema extends z.ZodType>(
  document: SourceDocument,
  schema: Schema,
): { value: z.infer<Schema> | null; problems: Problem[] } {
  const result = schema.safeParse(document.value);
  if (result.success) {
    return { value: result.data, problems: [] };
  }
  const issues = firstOfEach(result.error.issues.flatMap((issue) => meant(document, issue)));
  return { value: null, problems: issues.flatMap((issue) => describe(document, schema, issue)) };
}

/**
 * Where a value may be a map or something else, and is a map of which a key is known: what is wrong in it, rather than that it is
 * none of them.
 */
function meant(document: SourceDocument, issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== "invalid_union") return [issue];
  const value = valueAt(document.value, issue.path);
  const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
  const inside = issue.errors.find((issues) => {
    const unknown = issues.flatMap((inner) => (inner.code === "unrecognized_keys" && inner.path.length === 0 ? inner.keys : []));
    const inMap = issues.every(({ path, code }) => path.length > 0 || code === "unrecognized_keys");
    return inMap && unknown.length < keys.length;
  });
  return inside?.flatMap((inner) => meant(document, { ...inner, path: [...issue.path, ...inner.path] })) ?? [issue];
}

/** As many problems of one file as are told. */
const mostProblems = 50;

/** One issue a value: what is no whole number is also too large. */
function firstOfEach(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue[] {
  const first = new Map<string, z.core.$ZodIssue>();
  for (const issue of issues) {
    const key = JSON.stringify([issue.path.map(String), issue.code === "unrecognized_keys"]);
    if (!first.has(key)) first.set(key, issue);
  }
  return [...first.values()].slice(0, mostProblems);
}

function describe(document: SourceDocument, schema: z.ZodType, issue: z.core.$ZodIssue): Problem[] {
  const problem = (path: NodePath, part: "key" | "value", text: string): Problem => ({
    file: document.file,
    ...document.position(path, part),
    text,
  });
  const { path } = issue;
  if (issue.code === "unrecognized_keys") {
    return issue.keys.slice(0, mostProblems).map((key) => {
      const text = `"${key}" is no key that is known here; known are: ${knownKeys(schema, path).join(", ")}`;
      return problem([...path, key], "key", text);
    });
  }
  const name = String(path.findLast((part) => typeof part === "string") ?? "the file");
  if (issue.code === "invalid_key") {
    return [
      problem(path, "key", `"${String(path.at(-1))}" cannot name a slot; use up to 32 letters, digits, - and _, a letter first`),
    ];
  }
  const value = valueAt(document.value, path);
  if (path.length === 0 && value === null) {
    return [problem(path, "value", `nothing is in the file; it ${issue.message}`)];
  }
  if (value === undefined) {
    return [problem(path.slice(0, -1), "value", `"${name}" is missing; it ${issue.message}`)];
  }
  return [problem(path, "value", `"${name}" ${issue.message}, is ${shown(value)}`)];
}

function valueAt(top: unknown, path: NodePath): unknown {
  let value = top;
  for (const name of path) {
    value = typeof value === "object" && value !== null ? new Map(Object.entries(value)).get(String(name)) : undefined;
  }
  return value;
}

/** The keys of the map that the schema has at `path`. */
function knownKeys(schema: z.ZodType, path: NodePath): string[] {
  let node: unknown = schema;
  for (const name of [...path, null]) {
    node = unwrapped(node);
    if (name !== null) {
      node = child(node, name);
    }
  }
  const shape = property(property(property(node, "_zod"), "def"), "shape");
  return typeof shape === "object" && shape !== null ? Object.keys(shape) : [];
}

function unwrapped(node: unknown): unknown {
  const def = property(property(node, "_zod"), "def");
  const options = property(def, "options");
  // Of several kinds of value, one is a map, or a list.
  const hasKeys = (option: unknown) => property(option, "shape") !== undefined || property(option, "element") !== undefined;
  if (Array.isArray(options)) return options.find(hasKeys) ?? node;
  return property(def, "type") === "optional" ? unwrapped(property(def, "innerType")) : node;
}

function child(node: unknown, name: PropertyKey): unknown {
  const def = property(property(node, "_zod"), "def");
  return property(property(def, "shape"), String(name)) ?? property(def, "element") ?? property(def, "valueType");
}

function property(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}

/** A value as a message quotes it. */
export function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "a list" : "a map";
  }
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
