import type { ParseArgsConfig } from "node:util";

export type OptionValues = Record<string, string | boolean | (string | boolean)[] | undefined>;

/** One verb of the command line. Its module is loaded only when it is called. */
export interface Verb {
  /** Everything `slipway VERB --help` prints: a usage line, what it does, options, exit codes. */
  help: string;
  /** As node:util's parseArgs wants it; `help` is added for every verb. */
  options: NonNullable<ParseArgsConfig["options"]>;
  /** Names of the positional arguments, "SLOT". One that ends in "?" may be left out; the last may be "IMAGE…": any number, or none. */
  positionals: string[];
  /** Returns the exit code. Throws BadInput (2) or Refusal (3). */
  run(values: OptionValues, positionals: string[]): Promise<number>;
}

/** The value of an option that takes one string, or undefined. */
export function text(values: OptionValues, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

/** The values of a repeated option. */
export function texts(values: OptionValues, name: string): string[] {
  const value = values[name];
  return Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];
}

/** Whether a flag was given. */
export function flag(values: OptionValues, name: string): boolean {
  return values[name] === true;
}
