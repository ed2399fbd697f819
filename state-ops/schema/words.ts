import { z } from "zod";

/** The values that both schemas share. Messages follow the key's name: "must be …". */

export const text = (what: string) =>
  z
    .string({ error: `must be ${what}` })
    .min(1, { error: `must be ${what}` })
    .refine((value) => value.isWellFormed(), { error: `must be ${what} in valid UTF-8` });

export const oneOf = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, { error: `must be ${words.join(" or ")}` });

export const trueOrFalse = z.boolean({ error: "must be true or false" });

/** A whole number from `least` to `most`, or a text of the form. One message for all that is wrong. */
export const numberOr = (form: RegExp, least: number, most: number, error: string) =>
  z.union([z.int({ error }).min(least, { error }).max(most, { error }), z.string().regex(form, { error })], { error });

export const duration = numberOr(
  /^[1-9][0-9]*(s|sec|min|h)?$/,
  1,
  Number.MAX_SAFE_INTEGER,
  'must be seconds, or a time such as "30s", "10min", "1h"',
);

export const size = numberOr(
  /^[1-9][0-9]*(K|M|G)?(iB)?$/,
  4096,
  Number.MAX_SAFE_INTEGER,
  'must be bytes from 4096 on, or a size such as "64M" or "64MiB"',
);

/** A whole number from `least` to `most`. */
export const wholeNumber = (least: number, most: number) => {
  const error = `must be a whole number from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
};

export const count = wholeNumber(1, 100);

export const device = z
  .string({ error: "must be a device reference" })
  .regex(/^((PARTLABEL|PARTUUID|LABEL|UUID)=.+|\/dev\/.+)$/, {
    error: "must be a device reference: PARTLABEL=, PARTUUID=, LABEL= or UUID= and a name, or /dev/…",
  });

/** A map in which every key that is not named is an error. */
export const map = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, { error: (issue) => (issue.code === "invalid_type" ? "must be a map" : undefined) });

const secondsOf = new Map([
  ["s", 1],
  ["sec", 1],
  ["min", 60],
  ["h", 3600],
]);

/** Seconds of a {@link duration}. */
export function parseDuration(value: string | number): number {
  return typeof value === "number" ? value : Number.parseInt(value, 10) * (secondsOf.get(value.replace(/^[0-9]+/, "")) ?? 1);
}

const bytesOf = new Map([
  ["K", 2 ** 10],
  ["M", 2 ** 20],
  ["G", 2 ** 30],
]);

/** Bytes of a {@link size}. */
export function parseSize(value: string | number): number {
  return typeof value === "number" ? value : Number.parseInt(value, 10) * (bytesOf.get(value.replace(/[^KMG]/g, "")) ?? 1);
}
