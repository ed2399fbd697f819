/**
 * The text of a boot loader entry (Boot Loader Specification, type 1), and of the os-release inside a unified kernel image:
 * lines as systemd-boot splits them (line_get_key_value of 252). What is not asked for stays byte for byte.
 */

const BLANK = /^[ \t]+|[ \t]+$/g;

interface Pair {
  key: string;
  value: string;
}

function pairOf(line: string, separators: string): Pair | null {
  const bare = line.replace(BLANK, "");
  if (bare.startsWith("#")) return null;
  let end = 0;
  while (end < bare.length && !separators.includes(bare.charAt(end))) end++;
  if (end === bare.length) return null;
  let value = bare.slice(end);
  while (value !== "" && separators.includes(value.charAt(0))) value = value.slice(1);
  if (value.length > 1 && value.startsWith('"') && value.endsWith('"')) value = value.slice(1, -1);
  return { key: bare.slice(0, end), value };
}

function pairs(text: string, separators: string): Pair[] {
  return text.split(/[\n\r]/).flatMap((line) => pairOf(line, separators) ?? []);
}

/** The last value of `key`, as the loader takes it. Null: there is none. */
export function entryValue(text: string, key: string): string | null {
  return pairs(text, " \t").findLast((pair) => pair.key === key)?.value ?? null;
}

/** The last value of `key` in an os-release's text. */
export function releaseValue(text: string, key: string): string | null {
  return pairs(text, "=").findLast((pair) => pair.key === key)?.value ?? null;
}

/** The kernel's command line: all `options` lines in their order. */
export function entryOptions(text: string): string {
  return pairs(text, " \t")
    .filter(({ key }) => key === "options")
    .map(({ value }) => value)
    .join(" ");
}

/** The last value of the word `name=` on the command line of an entry. */
export function entryWord(text: string, name: string): string | null {
  const word = entryOptions(text)
    .split(/\s+/)
    .findLast((candidate) => candidate.startsWith(`${name}=`));
  return word === undefined ? null : word.slice(name.length + 1);
}

function lines(text: string): string[] {
  const all = text.split(/\r?\n/);
  if (all.at(-1) === "") all.pop();
  return all;
}

/** `text` with `key` said once, where its first line stood, else at the end; null: not at all. */
export function withValue(text: string, key: string, value: string | null): string {
  const result: string[] = [];
  let said = value === null;
  for (const line of lines(text)) {
    if (pairOf(line, " \t")?.key !== key) result.push(line);
    else if (!said) {
      result.push(entryValue(line, key) === value ? line : `${key} ${value}`);
      said = true;
    }
  }
  if (!said) result.push(`${key} ${value}`);
  return `${result.join("\n")}\n`;
}

/** `text` whose command line says the word `name=value` once, at the end of its last `options` line; null: not at all. */
export function withWord(text: string, name: string, value: string | null): string {
  const result = lines(text).map((line) => {
    const pair = pairOf(line, " \t");
    if (pair?.key !== "options") return line;
    const words = pair.value.split(/\s+/).filter((word) => word !== "");
    const kept = words.filter((word) => !word.startsWith(`${name}=`));
    return kept.length === words.length ? line : `options ${kept.join(" ")}`;
  });
  if (value === null) return `${result.join("\n")}\n`;
  const last = result.findLastIndex((line) => pairOf(line, " \t")?.key === "options");
  if (last < 0) result.push(`options ${name}=${value}`);
  else result[last] = `options ${`${pairOf(result[last] ?? "", " \t")?.value ?? ""} ${name}=${value}`.trim()}`;
  return `${result.join("\n")}\n`;
}
