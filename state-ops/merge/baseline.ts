/**
 * A generation's baseline.json: what the image had at each store's place when the store was made or last merged. It is the
 * common ancestor of the next merge. COMPLETE vouches for it; it may hold the image's shadow, so it is root's alone (0600).
 */
import { canonicalJson } from "../canonical-json.ts";
import type { Operator } from "../control.ts";
import { Fields } from "../fields.ts";
import type { OperatorPaths } from "../operator-tree.ts";
import { BadInput } from "../outcome.ts";
import { atOrBelow, byPath, isTreePath, parentPath, pathText } from "./path-text.ts";
import { ENTRY_TYPES, type Entry, type Tree } from "./tree.ts";

export interface StoreBaseline {
  /** The operator's. */
  id: string;
  via: "overlay" | "bind";
  /** Id of the image (its root hash) whose content this is. */
  over: string;
  /**
   * Overlay: the whole lower directory, since any path of it may be written later. Bind: what it was seeded with, so
   * nothing unless the image seeds it. Without what lies at or below another operator's path: {@link outsideNested}.
   */
  entries: Tree;
  /** Contents of the files that are merged by line, by path; one character a byte (latin1). */
  texts: ReadonlyMap<string, string>;
}

export interface Baseline {
  schema: 1;
  /** Sorted by id. */
  stores: readonly StoreBaseline[];
}

const entryKeys = ["path", "type", "mode", "owner", "group", "size", "content", "attributes"];
const digestForm = /^sha256:[0-9a-f]{64}$/;

/** The baseline of a store over the image's `entries` and `texts` at its place, `paths` being all of the image's operators; nothing for a bind that the image does not seed. */
export function storeBaseline(
  operator: Pick<Operator, "id" | "path" | "via" | "seed">,
  paths: OperatorPaths,
  over: string,
  image: { entries: Tree; texts: ReadonlyMap<string, string> },
): StoreBaseline {
  const { id } = operator;
  const via = operator.via === "overlay" ? "overlay" : "bind";
  if (via === "bind" && operator.seed !== "image") return { id, via, over, entries: new Map(), texts: new Map() };
  const entries = outsideNested(image.entries, nestedPaths(operator, paths));
  const texts = new Map([...image.texts].filter(([path]) => entries.has(path)));
  return { id, via, over, entries, texts };
}

/** Where others of the operators `paths` lie below `operator`'s path, relative to it, as path text. */
export function nestedPaths({ path }: Pick<Operator, "path">, paths: OperatorPaths): string[] {
  return paths.below(path).map((inner) => pathText(Buffer.from(inner.slice(path.length + 1))));
}

/** `tree` without what lies at or below `nested`: those places are other operators' matter. */
export function outsideNested<Value>(tree: ReadonlyMap<string, Value>, nested: readonly string[]): Map<string, Value> {
  if (nested.length === 0) return new Map(tree);
  const isInside = atOrBelow(nested);
  return new Map([...tree].filter(([path]) => !isInside(path)));
}

/** The text of baseline.json: canonical JSON. Equal baselines give equal bytes, whatever the order of their maps. */
export function formatBaseline(baseline: Baseline): string {
  const stores = [...baseline.stores]
    .sort((left, right) => (left.id < right.id ? -1 : 1))
    .map(({ id, via, over, entries, texts }) => ({
      id,
      via,
      over,
      entries: Array.from(entries, ([path, entry]) => ({ path, ...entry })).sort(byPath),
      texts: Array.from(texts, ([path, text]) => ({ path, text })).sort(byPath),
    }));
  return canonicalJson({ schema: 1, stores });
}

/** {@link formatBaseline} of these stores is no shorter, in bytes; for who does not want a text that nobody would read. */
export function leastLength(stores: Iterable<Pick<StoreBaseline, "entries">>): number {
  let length = 0;
  for (const { entries } of stores) {
    for (const [path, { content, attributes }] of entries)
      length += leastOfEntry + path.length + (content ?? "").length + (attributes ?? "").length;
  }
  return length;
}

/** What an entry's keys, their punctuation and the shortest values take. */
const leastOfEntry = '{"attributes":,"content":,"group":0,"mode":0,"owner":0,"path":"","size":0,"type":"fifo"}'.length;

/**
 * Reads baseline.json. Throws BadInput naming the place of what is anything but what {@link formatBaseline} writes: unknown
 * keys, paths that leave the store, lie below what is no directory or are out of order, digests of another form.
 */
export function parseBaseline(text: string): Baseline {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new BadInput(`baseline.json is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const fields = new Fields(value, "", ["schema", "stores"]);
  fields.oneOf("schema", [1]);
  const stores = fields.list("stores").map((store, index) => readStore(store, `stores[${index}]`));
  const baseline: Baseline = { schema: 1, stores };
  if (new Set(stores.map(({ id }) => id)).size !== stores.length) throw new BadInput("stores: two of them have one id");
  if (!isCanonical(baseline, text)) throw new BadInput("baseline.json is not in canonical form; it was changed by hand");
  return baseline;
}

/** Texts with half a character have no canonical form. */
function isCanonical(baseline: Baseline, text: string): boolean {
  try {
    return formatBaseline(baseline) === text;
  } catch {
    return false;
  }
}

function readStore(value: unknown, where: string): StoreBaseline {
  const fields = new Fields(value, where, ["id", "via", "over", "entries", "texts"]);
  const entries = new Map<string, Entry>();
  for (const [index, entry] of fields.list("entries").entries()) {
    const at = `${where}.entries[${index}]`;
    const [path, facts] = readEntry(entry, at);
    const parent = parentPath(path);
    if (entries.has(path)) throw new BadInput(`${at}: ${path} is there twice`);
    if (parent !== null && parent !== "." && entries.get(parent)?.type !== "directory") {
      throw new BadInput(`${at}: ${path} lies in ${parent}, which is no directory here`);
    }
    entries.set(path, facts);
  }
  const root = entries.get(".");
  if (root !== undefined && root.type !== "directory" && entries.size > 1) {
    throw new BadInput(`${where}.entries: the root is a ${root.type} and has entries below it`);
  }
  const texts = new Map(fields.list("texts").map((entry, index) => readText(entry, `${where}.texts[${index}]`)));
  return { id: fields.text("id"), via: fields.oneOf("via", ["overlay", "bind"]), over: fields.text("over"), entries, texts };
}

function readEntry(value: unknown, where: string): [string, Entry] {
  const fields = new Fields(value, where, entryKeys);
  const type = fields.oneOf("type", ENTRY_TYPES);
  const content = fields.nullable("content", () => digest(fields, "content"));
  const without = type === "directory" || type === "fifo";
  if (without !== (content === null)) fields.fail("content", without ? `null for a ${type}` : `a digest for a ${type}`);
  const entry: Entry = {
    type,
    mode: fields.integer("mode", 0, 0o7777),
    owner: fields.integer("owner", 0, 0xffff_ffff),
    group: fields.integer("group", 0, 0xffff_ffff),
    size: fields.integer("size", 0, Number.MAX_SAFE_INTEGER),
    content,
    attributes: fields.nullable("attributes", () => digest(fields, "attributes")),
  };
  return [treePath(fields), entry];
}

function readText(value: unknown, where: string): [string, string] {
  const fields = new Fields(value, where, ["path", "text"]);
  const text = fields.value("text");
  const latin1 = typeof text === "string" && Buffer.from(text, "latin1").toString("latin1") === text;
  return latin1 ? [treePath(fields), text] : fields.fail("text", "a text of one character a byte");
}

function treePath(fields: Fields): string {
  return fields.sound("path", fields.text("path"), (path) =>
    isTreePath(path) ? null : `${JSON.stringify(path)} is no path beneath the store`,
  );
}

function digest(fields: Fields, key: string): string {
  return fields.sound(key, fields.text(key), (text) => (digestForm.test(text) ? null : 'must be "sha256:" and 64 hex digits'));
}
