/** subuid and subgid: ranges of numbers that a user may give to containers. A name may have several lines. */
import { type AccountTable, accountNumber } from "./account-lines.ts";
import type { AccountNote } from "./account-numbers.ts";
import { allNames, type Tables } from "./account-records.ts";
import type { KeyedFile } from "./keyed-files.ts";

/**
 * Lines by name. A name that the device has keeps the device's ranges, since files are owned by them; a new name's ranges
 * come from the image unless one overlaps a range of another name here, which refuses all of them. `gone` have none.
 */
export function mergeRanges(
  file: Extract<KeyedFile, "subuid" | "subgid">,
  tables: Tables,
  gone: ReadonlySet<string>,
  notes: AccountNote[],
): Map<string, readonly string[]> {
  const [base, state, image] = [tables.base, tables.state, tables.image].map(rangesByName);
  const outcome = new Map<string, readonly string[]>();
  if (base === undefined || state === undefined || image === undefined) return outcome;
  const note = (name: string, how: AccountNote["outcome"], why: string) => notes.push({ file, name, outcome: how, why });
  for (const [name, here] of state) {
    const was = base.get(name)?.join("\n");
    const there = image.get(name)?.join("\n");
    if (gone.has(name) && was !== undefined) continue;
    outcome.set(name, here);
    if (there !== was && there !== here.join("\n")) note(name, "kept", "ranges changed in the image: the device's are kept");
  }
  for (const name of allNames(tables)) {
    const there = image.get(name);
    if (there === undefined || state.has(name) || base.has(name) || gone.has(name)) continue;
    const inTheWay = (other: string, lines: readonly string[]) =>
      overlapAny(lines, there) && !overlapAny(image.get(other) ?? [], there);
    const other = [...outcome].find(([owner, lines]) => inTheWay(owner, lines));
    if (other === undefined) outcome.set(name, there);
    else note(name, "refused", `its range overlaps one of ${other[0]} on this device`);
  }
  return outcome;
}

function rangesByName(table: AccountTable): Map<string, string[]> {
  const ranges = new Map<string, string[]>();
  for (const { record, raw } of table.lines) {
    if (record === null) continue;
    const known = ranges.get(record.name);
    if (known === undefined) ranges.set(record.name, [raw]);
    else known.push(raw);
  }
  return ranges;
}

function overlap(left: string, right: string): boolean {
  const [first, second] = [left, right].map((line) => {
    const [, start, count] = line.split(":");
    const from = accountNumber(start) ?? 0;
    return { from, to: from + (accountNumber(count) ?? 0) };
  });
  return first !== undefined && second !== undefined && first.from < second.to && second.from < first.to;
}

function overlapAny(left: readonly string[], right: readonly string[]): boolean {
  return left.some((line) => right.some((other) => overlap(line, other)));
}
