import { BadInput } from "./outcome.ts";

/** One object of a JSON file, read key by key with the type that each key must have. Throws BadInput naming the place. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>;

  /**
   * `where` names the object in messages: "operators[3]". Every one of `keys` must be there; `optional` ones may, and no other.
   */
  constructor(
    value: unknown,
    readonly where: string,
    keys: readonly string[],
    optional: readonly string[] = [],
  ) {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw new BadInput(`${where} must be an object, is ${shown(value)}`);
    }
    this.#values = new Map(Object.entries(value));
    for (const key of this.#values.keys()) {
      if (!keys.includes(key) && !optional.includes(key)) {
        const known = [...keys, ...optional].join(", ");
        throw new BadInput(`${this.#at(key)} is not known to this version of slipway; known are: ${known}`);
      }
    }
    for (const key of keys) {
      if (!this.#values.has(key)) {
        throw new BadInput(`${this.#at(key)} is missing`);
      }
    }
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  value(key: string): unknown {
    return this.#values.get(key);
  }

  text(key: string): string {
    const value = this.value(key);
    return typeof value === "string" && value !== "" ? value : this.fail(key, "a text that is not empty");
  }

  /** A whole number from `least` to `most`. */
  integer(key: string, least: number, most: number): number {
    const value = this.value(key);
    return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most
      ? value
      : this.fail(key, `a whole number from ${least} to ${most}`);
  }

  oneOf<const Word extends string | number | boolean>(key: string, words: readonly Word[]): Word {
    const value = this.value(key);
    return words.find((word) => word === value) ?? this.fail(key, words.map((word) => JSON.stringify(word)).join(" or "));
  }

  list(key: string): unknown[] {
    const value = this.value(key);
    return Array.isArray(value) ? value : this.fail(key, "a list");
  }

  object(key: string, keys: readonly string[], optional: readonly string[] = []): Fields {
    return new Fields(this.value(key), this.#at(key), keys, optional);
  }

  /** Null where the key is null, else what `read` makes of it. */
  nullable<Value>(key: string, read: () => Value): Value | null {
    return this.value(key) === null ? null : read();
  }

  /** `value`, unless `fault` names something wrong with it. */
  sound<Value>(key: string, value: Value, fault: (value: Value) => string | null): Value {
    const wrong = fault(value);
    if (wrong !== null) {
      throw new BadInput(`${this.#at(key)}: ${wrong}`);
    }
    return value;
  }

  fail(key: string, wanted: string): never {
    throw new BadInput(`${this.#at(key)} must be ${wanted}, is ${shown(this.value(key))}`);
  }

  #at(key: string): string {
    return this.where === "" ? key : `${this.where}.${key}`;
  }
}

/** `value` as a message quotes it. */
function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    return Array.isArray(value) ? "a list" : "an object";
  }
  const text = JSON.stringify(value) ?? "absent";
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
