/** Merges one name's line three-way, field by field, and lays the outcome of all names out as a file's text. */
import { type AccountRecord, type AccountTable, type Line, listNames, SHAPES, sameRecord, withField } from "./account-lines.ts";
import type { KeyedFile } from "./keyed-files.ts";

/** The three versions of a file. */
export interface Tables {
  base: AccountTable;
  state: AccountTable;
  image: AccountTable;
}

export interface MergedRecord {
  record: AccountRecord;
  /** Names of what was changed on both sides to different values, where the state's was kept. */
  contested: string[];
}

/**
 * `state` with what only the image changed. Lists are merged as sets, the image's order first. The number (uid, gid) is
 * always the state's: files on the device are owned by it.
 */
export function mergeRecord(
  file: KeyedFile,
  base: AccountRecord | undefined,
  state: AccountRecord,
  image: AccountRecord,
): MergedRecord {
  const shape = SHAPES[file];
  const contested: string[] = [];
  let record = state;
  for (const { name, fields } of shape.units) {
    const [was, here, there] = [base, state, image].map((version) => version && fields.map((at) => version.fields[at]).join(":"));
    if (here === there || there === was) continue;
    if (here === was) for (const at of fields) record = withField(record, at, image.fields[at] ?? "");
    else contested.push(name);
  }
  for (const at of shape.lists) {
    const names = mergeNames(base?.fields[at], state.fields[at], image.fields[at]);
    if (!sameNames(names, listNames(state.fields[at]))) record = withField(record, at, names.join(","));
  }
  const [was, here, there] = [base, state, image].map((version) => version?.fields[shape.number ?? -1]);
  if (here !== there && there !== was) contested.push("number");
  return { record, contested };
}

/** Three-way union of two lists of names: what one side added is there, what one side removed is not. */
export function mergeNames(base: string | undefined, state: string | undefined, image: string | undefined): string[] {
  const [was, here, there] = [base, state, image].map((field) => new Set(listNames(field)));
  if (was === undefined || here === undefined || there === undefined) return [];
  const names = [...new Set([...there, ...here])];
  return names.filter((name) => (here.has(name) && there.has(name)) || (!was.has(name) && (here.has(name) || there.has(name))));
}

function sameNames(left: readonly string[], right: readonly string[]): boolean {
  return [...left].sort().join() === [...right].sort().join();
}

/**
 * The names that stay, by the table of the whole merge, without any rule of their own: what a file does whose lines have no
 * numbers. `null` is a name that goes.
 */
export function mergePlainly(file: KeyedFile, tables: Tables, name: string): MergedRecord | null {
  const [base, state, image] = [tables.base, tables.state, tables.image].map((table) => table.records.get(name));
  if (state !== undefined && image !== undefined) return mergeRecord(file, base, state, image);
  if (state !== undefined) return base !== undefined && sameRecord(state, base) ? null : { record: state, contested: [] };
  return image !== undefined && base === undefined ? { record: image, contested: [] } : null;
}

/** All names of the state and the image, the image's first. */
export function allNames({ state, image }: Tables): string[] {
  return [...new Set([...image.records.keys(), ...state.records.keys()])];
}

/**
 * A file's text: the image's lines in their order, then the device's own in theirs, then NIS lines, which name services
 * read as "and from here on ask the network". A name's second line is left out where only the image has it. Where nothing differs from one side but the order, that side's text as it is.
 */
export function layOut(
  tables: Tables,
  texts: { state: string | null; image: string | null },
  outcome: ReadonlyMap<string, readonly string[]>,
): string {
  const { base, state, image } = tables;
  const [was, here, there] = [base, state, image].map((table) => new Set(otherLines(table.lines).keys()));
  const stays = (key: string) => (here?.has(key) && there?.has(key)) || (!was?.has(key) && (here?.has(key) || there?.has(key)));
  const seen = new Set<string>();
  const body: string[] = [];
  const nis: string[] = [];
  for (const table of [image, state]) {
    const others = new Map(Array.from(otherLines(table.lines), ([key, line]) => [line, key]));
    for (const line of table.lines) {
      const key = line.record === null ? others.get(line) : `record ${line.record.name}`;
      if (key === undefined || seen.has(key)) continue;
      seen.add(key);
      if (line.record !== null) body.push(...(outcome.get(line.record.name) ?? []));
      else if (stays(key) && (here?.has(key) || line.again === null)) (line.nis ? nis : body).push(line.raw);
    }
  }
  const lines = [...body, ...nis];
  for (const text of [texts.state, texts.image]) if (text !== null && sameLines(text, lines)) return text;
  return lines.map((line) => `${line}\n`).join("");
}

/** Lines without a record, by what they say and how often that was said before. */
function otherLines(lines: readonly Line[]): Map<string, Line> {
  const counts = new Map<string, number>();
  const found = new Map<string, Line>();
  for (const line of lines) {
    if (line.record !== null) continue;
    const count = (counts.get(line.raw) ?? 0) + 1;
    counts.set(line.raw, count);
    found.set(`line ${count} ${line.raw}`, line);
  }
  return found;
}

function sameLines(text: string, lines: readonly string[]): boolean {
  const own = (text.endsWith("\n") || text === "" ? text.slice(0, -1) : text).split("\n");
  return own.length === lines.length && own.sort().join("\n") === [...lines].sort().join("\n");
}
