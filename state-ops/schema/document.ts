import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, type Pair, parseDocument, type YAMLError } from "yaml";

/** Keys and indexes from the top of a document down to a value. */
export type NodePath = readonly PropertyKey[];

export interface Position {
  line: number;
  column: number;
}

/** A YAML file that was read, with the places of its values. */
export interface SourceDocument {
  /** As messages name it. */
  file: string;
  /** As the control file names it; never a path of the building machine. */
  origin: string;
  value: unknown;
  /** Where the value at `path` begins, or its key; the nearest thing above it where there is none. */
  position(path: NodePath, part?: "key" | "value"): Position;
}

/** What is wrong in a file, and where; lines and columns count from 1. */
export interface Problem extends Position {
  file: string;
  text: string;
}

/** Longest YAML file in characters: a thousand operators, and no file that keeps the parser busy for long. */
export const LONGEST_YAML = 262_144;

/** As many problems of one file as are told. */
const mostProblems = 20;

/**
 * Parses one YAML 1.2 document. Everything that could mean two things is a problem: keys given twice, anchors and
 * aliases, tags that are not known, a second document, characters that do not show what they do.
 */
export function parseYaml(file: string, origin: string, text: string): { document: SourceDocument | null; problems: Problem[] } {
  const refused = (problem: Omit<Problem, "file">) => ({ document: null, problems: [{ file, ...problem }] });
  if (text.length > LONGEST_YAML) {
    return refused({ line: 1, column: 1, text: `the file has ${text.length} characters, more than ${LONGEST_YAML}; split it` });
  }
  const hidden = /[\p{Cs}\p{Bidi_Control}]|(?![\t\n\r])\p{Cc}/u.exec(text);
  if (hidden !== null) {
    const lines = text.slice(0, hidden.index).split("\n");
    const code = (hidden[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const what = `the character U+${code} does not show; leave it out, or write it as "\\u${code}"`;
    return refused({ line: lines.length, column: (lines.at(-1) ?? "").length + 1, text: what });
  }
  const counter = new LineCounter();
  // The parser compares each key with each other; firstFault finds those that are given twice.
  const options = { lineCounter: counter, uniqueKeys: false, merge: false, prettyErrors: false, strict: true };
  const parsed = parseDocument(text, options);
  const place = (offset: number): Position => {
    const { line, col } = counter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const faults = [...parsed.errors, ...parsed.warnings].map((fault) => ({ ...place(fault.pos[0]), text: describeFault(fault) }));
  const version = parsed.directives?.yaml;
  if (version?.explicit && version.version !== "1.2") {
    faults.push({
      ...place(0),
      text: `YAML ${version.version} reads words differently; leave the %YAML line out, 1.2 is read`,
    });
  }
  if (faults.length > 0) {
    // One mistake makes the parser complain of much that follows.
    const firstOfLine = new Map(faults.reverse().map((fault) => [fault.line, fault]));
    const told = [...firstOfLine.values()].sort((left, right) => left.line - right.line).slice(0, mostProblems);
    return { document: null, problems: told.map((fault) => ({ file, ...fault })) };
  }
  const top = parsed.contents;
  const fault = firstFault(top);
  if (fault !== null) {
    return refused({ ...place(start(fault.node) ?? 0), text: fault.text });
  }
  const position = (path: NodePath, part: "key" | "value" = "value"): Position => place(offsetOf(top, path, part));
  return { document: { file, origin, value: parsed.toJS({ maxAliasCount: 0 }), position }, problems: [] };
}

/** The parser's words, or our own where they speak to a programmer. */
function describeFault({ code, message }: YAMLError): string {
  switch (code) {
    case "MULTIPLE_DOCS":
      return 'a second document begins here; one is read, leave "---" and what follows out';
    case "RESOURCE_EXHAUSTION":
      return "nested too deeply";
    case "TAB_AS_INDENT":
      return "a tab; indent with spaces";
    default:
      return message;
  }
}

/** The first thing that YAML allows and a fragment does not. */
function firstFault(node: unknown): { node: unknown; text: string } | null {
  if (isAlias(node) || (isNode(node) && "anchor" in node && node.anchor !== undefined)) {
    return { node, text: "anchors and aliases are not read; write the value out" };
  }
  if (isMap(node)) {
    return keyFault(node.items) ?? firstOf(node.items.flatMap((pair) => [pair.key, pair.value]));
  }
  return isSeq(node) ? firstOf(node.items) : null;
}

function keyFault(pairs: Pair[]): { node: unknown; text: string } | null {
  const keys = new Set<string>();
  for (const { key } of pairs) {
    if (!isScalar(key) || typeof key.value !== "string") {
      return { node: key, text: "a key must be a text" };
    }
    if (key.value === "__proto__") {
      return { node: key, text: '"__proto__" cannot be a key' };
    }
    if (keys.has(key.value)) {
      return { node: key, text: `the key ${key.value} is given twice in one map; keep one` };
    }
    keys.add(key.value);
  }
  return null;
}

function firstOf(nodes: unknown[]): { node: unknown; text: string } | null {
  for (const node of nodes) {
    const found = firstFault(node);
    if (found !== null) {
      return found;
    }
  }
  return null;
}

function offsetOf(top: unknown, path: NodePath, part: "key" | "value"): number {
  let node = top;
  let offset = start(top) ?? 0;
  for (const [depth, name] of path.entries()) {
    const pair = isMap(node) ? findPair(node.items, name) : null;
    const next = pair !== null ? pair.value : isSeq(node) ? node.items[Number(name)] : null;
    const wantsKey = pair !== null && depth === path.length - 1 && part === "key";
    offset = (wantsKey ? start(pair.key) : start(next)) ?? (pair === null ? null : start(pair.key)) ?? offset;
    node = next;
  }
  return offset;
}

function findPair(pairs: Pair[], name: PropertyKey): Pair | null {
  return pairs.find((pair) => isScalar(pair.key) && pair.key.value === String(name)) ?? null;
}

function start(node: unknown): number | null {
  return isNode(node) ? (node.range?.[0] ?? null) : null;
}
