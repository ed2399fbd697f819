/** Inputs of the fuzz tests of signed and binary formats, and what a reader made of one. SLIPWAY_SEED repeats a run. */
import * as fc from "fast-check";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import { BadInput } from "../../state-ops/outcome.ts";

const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}; SLIPWAY_SEED=${seed} tries the same inputs`);
export const runs = (numRuns: number) => ({ seed, numRuns: process.env.SLIPWAY_TIER === "long" ? 20 * numRuns : numRuns });
/** What no input may take, milliseconds: a hundred times what the slowest takes. */
const LONGEST_MS = 5000;

/** What a reader made of an input: `refused` by BadInput, or accepted. Everything else fails the test. */
export function outcome<Value>(read: () => Value): { value: Value } | { refused: string } {
  const before = performance.now();
  try {
    return { value: read() };
  } catch (error) {
    assert.instance(error, BadInput, String(error));
    return { refused: error instanceof Error ? error.message : "" };
  } finally {
    assert.ok(performance.now() - before < LONGEST_MS, "takes too long");
  }
}

/** Counts both ends, so that no property holds because nothing came to it. */
export class Ends {
  accepted = 0;
  refused = 0;
  check(accepted: number, refused: number): void {
    assert.ok(this.accepted >= accepted && this.refused >= refused, `${this.accepted} accepted, ${this.refused} refused`);
  }
}

export const numbers = [
  0,
  1,
  2,
  255,
  256,
  4095,
  4096,
  4097,
  2 ** 16,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 43,
  Number.MAX_SAFE_INTEGER,
];

/** One to three edits of `bytes`: other bytes or a number of 32 or 64 bits at a place, something cut out or put in. */
export function editedBytes(bytes: Uint8Array, places = bytes.length): fc.Arbitrary<Uint8Array> {
  const number = fc.constantFrom(...numbers).chain((value) => {
    const little = Buffer.alloc(8);
    little.writeBigUInt64LE(BigInt(value));
    return fc.constantFrom(little.subarray(0, 4), little, little.subarray(0, 2));
  });
  const put = fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 4 }), number);
  const edit = fc.tuple(fc.nat(places - 1), put, fc.constantFrom("over", "over", "over", "over", "in", "out"));
  return fc.array(edit, { minLength: 1, maxLength: 3 }).map((edits) =>
    edits.reduce<Uint8Array>((old, [at, value, how]) => {
      const end = how === "in" ? at : at + value.length;
      return new Uint8Array(Buffer.concat([old.subarray(0, at), how === "out" ? Buffer.alloc(0) : value, old.subarray(end)]));
    }, bytes),
  );
}

const pieces = fc.oneof(
  fc.constantFrom('"', "{", "}", "[", "]", ":", ",", "\n", " ", "\t", "\0", "\\", "\\u0000", "\\ud800", "\ud800", "\ufeff", "é"),
  fc.constantFrom("0", "1", "-0", "1.0", "1e0", "1e999", "9".repeat(400), "null", "true", '""', "__proto__", '"schema":1,', "="),
  fc.string({ maxLength: 4, unit: "binary" }),
);

export function editedText(text: string): fc.Arbitrary<string> {
  const edit = fc.tuple(fc.nat(text.length), fc.nat(3), pieces);
  return fc
    .array(edit, { minLength: 1, maxLength: 2 })
    .map((all) => all.reduce((old, [at, length, put]) => old.slice(0, at) + put + old.slice(at + length), text));
}

export const encode = (text: string) => new Uint8Array(Buffer.from(text, "utf8"));

export const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    "",
    "0",
    true,
    [],
    {},
    -1,
    0.5,
    -0,
    1e300,
    ...numbers,
    ...numbers.map((number) => number * BLOCK),
  ),
  fc.jsonValue({ maxDepth: 2 }),
  fc.string({ unit: "binary", maxLength: 80 }),
  fc.stringMatching(/^[0-9a-f]{62,66}$/),
);
