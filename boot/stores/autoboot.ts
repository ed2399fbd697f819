/**
 * Raspberry Pi's autoboot.txt, by which its firmware finds the partition to boot from: `[all]` says which, `[tryboot]` which one
 * after a restart with the argument "0 tryboot", once (documentation of the Raspberry Pi, "autoboot.txt" and "Fail-safe OS
 * updates"). The partition's number is the slot's bootname.
 *
 * The firmware counts nothing and forgets a trial with the power: the file alone does not tell a slot that is tried from one that
 * was left. What is not known here is kept as it is.
 */
import { isBad } from "./startable.ts";
import type { StoreReading, StoreSlot, StoreView } from "./view.ts";

/** The firmware reads no more of the file. Written whole, it is one sector, in place. */
export const AUTOBOOT_SIZE = 512;

/** What a restart passes to the firmware to have it boot `[tryboot]`. 0: the partition is autoboot.txt's matter. */
export const TRYBOOT = "0 tryboot";

/** The partitions that a file leads to. Null: it names none. */
export interface Autoboot {
  all: number | null;
  tryboot: number | null;
  /** Whether the whole partition is tried, with the files that it always has. */
  isPartition: boolean;
  /** Sections that this does not know, and that change a partition. */
  foreign: string[];
}

interface Line {
  text: string;
  section: string;
  setting: { name: string; value: string } | null;
}

function linesOf(text: string): Line[] {
  let section = "all";
  return text.split("\n").map((line) => {
    const trimmed = line.trim();
    const filter = /^\[(.*)\]$/.exec(trimmed);
    if (filter) section = filter[1] ?? "";
    const setting = /^([^#=[\]\s]+)\s*=\s*(.*)$/.exec(trimmed);
    return { text: line, section, setting: setting ? { name: setting[1] ?? "", value: setting[2] ?? "" } : null };
  });
}

/** The last line that says it where those sections hold. */
function lastOf(lines: readonly Line[], name: string, sections: readonly string[]): Line | null {
  return lines.findLast(({ section, setting }) => setting?.name === name && sections.includes(section)) ?? null;
}

function numberOf(line: Line | null): number | null {
  const value = line?.setting?.value ?? "";
  return /^\d{1,3}$/.test(value) ? Number(value) : null;
}

export function readAutoboot(text: string): Autoboot {
  const lines = linesOf(text);
  const foreign = lines
    .filter(({ section, setting }) => setting?.name === "boot_partition" && !["all", "tryboot"].includes(section))
    .map(({ section }) => section);
  return {
    all: numberOf(lastOf(lines, "boot_partition", ["all"])),
    tryboot: numberOf(lastOf(lines, "boot_partition", ["all", "tryboot"])),
    isPartition: numberOf(lastOf(lines, "tryboot_a_b", ["all"])) === 1,
    foreign,
  };
}

/**
 * The file with other partitions: lines that say it are changed where they stand, and sections are added where none does. Always
 * of {@link AUTOBOOT_SIZE} bytes. Throws RangeError where that is not enough.
 */
export function changeAutoboot(text: string, { all, tryboot }: { all: number; tryboot: number }): string {
  const lines = linesOf(text.trimEnd());
  replace(lastOf(lines, "boot_partition", ["all"]), all);
  replace(lastOf(lines, "boot_partition", ["tryboot"]), tryboot);
  let changed = joined(lines);
  const has = readAutoboot(changed);
  if (!has.isPartition || has.all !== all) {
    const ours = [...(has.isPartition ? [] : ["tryboot_a_b=1"]), ...(has.all === all ? [] : [`boot_partition=${all}`])];
    changed = joined([...linesOf(changed), ...linesOf(["[all]", ...ours].join("\n"))]);
  }
  if (readAutoboot(changed).tryboot !== tryboot) {
    changed = joined([...linesOf(changed), ...linesOf(`[tryboot]\nboot_partition=${tryboot}`)]);
  }
  const bytes = new TextEncoder().encode(`${changed}\n`).length;
  if (bytes > AUTOBOOT_SIZE) {
    throw new RangeError(`it would have ${bytes} bytes, and the firmware reads ${AUTOBOOT_SIZE}; take comments out of it`);
  }
  return `${changed}\n`.padEnd(AUTOBOOT_SIZE - bytes + changed.length + 1, "\n");
}

function replace(line: Line | null, partition: number): void {
  if (line !== null && numberOf(line) !== partition) line.text = `boot_partition=${partition}`;
}

function joined(lines: readonly Line[]): string {
  return lines
    .map(({ text }) => text)
    .join("\n")
    .replace(/^\n+/, "");
}

/** What the file says of the two slots. */
export function autobootReading(text: string, slots: readonly StoreSlot[]): StoreReading {
  const { all, tryboot, isPartition, foreign } = readAutoboot(text);
  const first = slots.find(({ bootname }) => bootname === String(all));
  if (first === undefined) {
    const said = all === null ? "it names no boot_partition" : `it boots partition ${all}, which is no slot's`;
    return { condition: "empty", view: null, reason: said };
  }
  const view: StoreView = { slots: {}, nonce: null };
  for (const { name, bootname } of slots) {
    const isTried = bootname === String(tryboot);
    if (name === first.name) view.slots[name] = { priority: 2, tries: null, good: true };
    else if (isTried) view.slots[name] = { priority: 1, tries: 1, good: null };
    else view.slots[name] = { priority: 0, tries: 0, good: false };
  }
  const reasons = [
    ...(isPartition ? [] : ["it lacks tryboot_a_b=1"]),
    ...foreign.map((section) => `[${section}] sets a boot_partition as well, and is left alone`),
  ];
  return { condition: "valid", view, reason: reasons.length === 0 ? null : reasons.join("; ") };
}

/**
 * The partitions that make a view true: what boots by itself is the best slot that is good, else the best one; the other one is
 * tried. A slot that is bad is neither. Null: the view has no slot to boot.
 */
export function partitionsOf(view: StoreView, slots: readonly StoreSlot[]): { all: number; tryboot: number } | null {
  const able = slots
    .flatMap(({ name, bootname }) => {
      const said = view.slots[name];
      const partition = /^\d{1,3}$/.test(bootname) ? Number(bootname) : null;
      return said === undefined || partition === null || isBad(said) ? [] : [{ said, partition }];
    })
    .sort((one, other) => other.said.priority - one.said.priority);
  const first = able.find(({ said }) => said.good === true) ?? able[0];
  if (first === undefined) return null;
  // A restart with the argument that nobody meant boots what boots anyway.
  const other = able.find((slot) => slot !== first) ?? first;
  return { all: first.partition, tryboot: other.partition };
}
