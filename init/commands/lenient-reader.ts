/** JSON of another version of slipway: of an older one as of a newer one. */

/** The text says something else than is needed. */
export class Unexpected extends Error {}

/** One object, read key by key: only what is asked for must be there, and unknown keys are ignored. */
export class Reader {
  readonly #values: Map<string, unknown>;
  readonly #where: string;

  constructor(value: unknown, where: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Unexpected(`${where} is no object`);
    this.#values = new Map(Object.entries(value));
    this.#where = where;
  }

  value(key: string): unknown {
    return this.#values.get(key);
  }
  text(key: string): string {
    const value = this.#values.get(key);
    return typeof value === "string" ? value : this.#fail(key, "a text");
  }
  number(key: string): number {
    const value = this.#values.get(key);
    return typeof value === "number" ? value : this.#fail(key, "a number");
  }
  flag(key: string): boolean {
    const value = this.#values.get(key);
    return typeof value === "boolean" ? value : this.#fail(key, "true or false");
  }
  word<const Word extends string>(key: string, words: readonly Word[]): Word {
    const value = this.#values.get(key);
    return words.find((word) => word === value) ?? this.#fail(key, words.join(" or "));
  }
  object(key: string): Reader {
    return new Reader(this.#values.get(key), `${this.#where}.${key}`);
  }
  nullable<Value>(key: string, read: () => Value): Value | null {
    return (this.#values.get(key) ?? null) === null ? null : read();
  }
  list<Value>(key: string, read: (item: Reader) => Value): Value[] {
    return this.#items(key).map((item, index) => read(new Reader(item, `${this.#where}.${key}[${index}]`)));
  }
  texts(key: string): string[] {
    return this.#items(key).filter((item) => typeof item === "string");
  }
  #items(key: string): unknown[] {
    const value = this.#values.get(key) ?? [];
    return Array.isArray(value) ? value : this.#fail(key, "a list");
  }
  #fail(key: string, wanted: string): never {
    const seen = JSON.stringify(this.#values.get(key)) ?? "missing";
    throw new Unexpected(`${this.#where}.${key} is ${seen}, expected ${wanted}`);
  }
}

/** Reads the text of the file `name`, of schema 1. Throws Error that says what is wrong with it. */
export function parsed<Value>(text: string, name: string, read: (reader: Reader) => Value): Value {
  const reader = new Reader(JSON.parse(text), name);
  if (reader.number("schema") !== 1) throw new Unexpected(`${name} has schema ${reader.number("schema")}, known is 1`);
  return read(reader);
}
