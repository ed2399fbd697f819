import { parseArgs } from "node:util";
import { BadInput, Refusal } from "../state-ops/outcome.ts";
import { type Entry, table } from "./commands/table.ts";
import type { Verb } from "./commands/verb.ts";
import { version } from "./version.ts";

const exitCodes = "Exit codes: 0 done, 1 failed, 2 bad input, 3 refused because of the machine's state.";

function overview(): string {
  const width = Math.max(...table.map((entry) => entry.name.length)) + 2;
  const groups = [...new Set(table.map((entry) => entry.group))];
  const lines = groups.flatMap((group) => [
    "",
    `${group[0]?.toUpperCase()}${group.slice(1)}:`,
    ...table.filter((entry) => entry.group === group).map((entry) => `  ${entry.name.padEnd(width)}${entry.summary}`),
  ]);
  return [
    "slipway launches a machine from its initrd, and looks after its slots in the running system.",
    "",
    "Usage: slipway VERB [OPTION]… (slipway VERB --help tells more)",
    ...lines,
    "",
    exitCodes,
  ].join("\n");
}

/** The entry whose name is the longest prefix of `words`, and the words left over. */
function find(words: string[]): { entry: Entry; rest: string[] } | null {
  const matches = table.flatMap((entry) =>
    [entry.name, ...(entry.aliases ?? [])]
      .map((name) => name.split(" "))
      .filter((name) => name.every((word, index) => words[index] === word))
      .map((name) => ({ entry, rest: words.slice(name.length), length: name.length })),
  );
  return matches.sort((left, right) => right.length - left.length)[0] ?? null;
}

/** parseArgs' message in one line, without its advice on positional arguments. */
function plain(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replace(/\. To specify a positional.*/s, "")
    .replaceAll("\n", " ")
    .replace(/\.$/, "");
}

/** An option that takes one value is given once: the last one would win in silence. */
function refuseRepeated(tokens: NonNullable<ReturnType<typeof parseArgs>["tokens"]>, options: Verb["options"]): void {
  const values = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind !== "option" || token.value === undefined || options[token.name]?.multiple) continue;
    const first = values.get(token.name);
    if (first !== undefined) throw new BadInput(`--${token.name} is given twice: ${first} and ${token.value}`);
    values.set(token.name, token.value);
  }
}

async function runVerb(words: string[]): Promise<number> {
  const found = find(words);
  if (!found) {
    const group = table.filter((entry) => entry.name.split(" ")[0] === words[0]);
    if (group.length > 0 && (words[1] === "--help" || words[1] === "-h")) {
      console.log(group.map((entry) => `slipway ${entry.name}: ${entry.summary}`).join("\n"));
      return 0;
    }
    const known = (group.length > 0 ? group : table).map((entry) => entry.name).join(", ");
    throw new BadInput(`slipway has no verb "${words.slice(0, 2).join(" ")}"; known are: ${known}`);
  }
  const { verb } = await found.entry.load();
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({
      args: found.rest,
      options: { ...verb.options, help: { type: "boolean", short: "h" } },
      allowPositionals: true,
      strict: true,
      tokens: true,
    });
  } catch (error) {
    throw new BadInput(`${plain(error)} (see slipway ${found.entry.name} --help)`);
  }
  refuseRepeated(parsed.tokens ?? [], verb.options);
  if (parsed.values.help) {
    console.log(`${verb.help.trim()}\n\n${exitCodes}`);
    return 0;
  }
  const required = verb.positionals.filter((name) => !/[?…]$/.test(name)).length;
  const most = verb.positionals.some((name) => name.endsWith("…")) ? Number.POSITIVE_INFINITY : verb.positionals.length;
  if (parsed.positionals.length < required || parsed.positionals.length > most) {
    const wanted = verb.positionals.join(" ") || "no argument";
    throw new BadInput(`slipway ${found.entry.name} takes ${wanted}, got "${parsed.positionals.join(" ")}"`);
  }
  return verb.run(parsed.values, parsed.positionals);
}

/** Runs `slipway WORDS…` and returns its exit code. Errors go to standard error, one line each where they can. */
export async function commandLine(words: string[]): Promise<number> {
  if (words.length === 0) {
    console.error(overview());
    return 2;
  }
  if (words[0] === "--help" || words[0] === "-h" || words[0] === "help") {
    console.log(overview());
    return 0;
  }
  if (words[0] === "--version") {
    console.log(`slipway ${version}`);
    return 0;
  }
  try {
    return await runVerb(words);
  } catch (error) {
    if (error instanceof BadInput || error instanceof Refusal) {
      console.error(`slipway: ${error.message}`);
      return error instanceof BadInput ? 2 : 3;
    }
    console.error(`slipway: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}
