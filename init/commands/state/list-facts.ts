/** What `slipway state list` tells. */
import type { BootRecord } from "../../../boot/record/record.ts";
import type { Operator } from "../../../state-ops/control.ts";
import { GENERATION, generationName, LAYOUT } from "../../../state-ops/layout.ts";
import { pathText } from "../../../state-ops/merge/path-text.ts";
import { byPath, OperatorPaths, storePaths } from "../../../state-ops/operator-tree.ts";
import { Refusal } from "../../../state-ops/outcome.ts";
import type { Descriptor, Kernel } from "../../kernel/kernel.ts";
import { exists, withDirectory } from "../../state/beneath.ts";
import { withDataFilesystem } from "../data-access.ts";
import { type Machine, type Places, readMachine } from "../machine.ts";
import { openRecord } from "../open-record.ts";
import { collection, madeUnixMs } from "./collection-facts.ts";
import { readImageControl } from "./declared.ts";
import { ownGeneration } from "./explain.ts";
import { type Measure, measureIfThere } from "./walk.ts";

export interface ListedOperator extends Pick<Operator, "path" | "id" | "kind" | "state" | "via" | "origin"> {
  /** How many operators lie around it. */
  depth: number;
  /** Relative to the data filesystem's root; null where nothing is kept. */
  store: string | null;
  /** Null where there is no store, or nobody has written one yet. */
  size: Measure | null;
  degraded: string | null;
}

export interface ListedGeneration {
  /** "000017" */
  number: string;
  /** Null where meta.json cannot be trusted. */
  slot: string | null;
  imageId: string | null;
  /** The attempt that made it. */
  attempt: number | null;
  /** The generation that it was cloned from. */
  parent: string | null;
  madeUnixMs: number | null;
  size: Measure | null;
  running: boolean;
  pinned: string | null;
  /** `kept`: never deleted unasked. `spare`: deleted where space is needed. `garbage`: deleted by the next collection. */
  fate: "kept" | "spare" | "garbage";
  why: string;
}

export interface ListedSlotFile {
  /** "images/c.img" */
  file: string;
  /** Null where no slot is this file. */
  slot: string | null;
  /** Bytes: as long as it is, and what it takes on the disk. Null where nothing is there yet. */
  size: number | null;
  allocated: number | null;
}

/** Everything that `slipway state list` tells, as it prints it with `--json`. */
export interface StateList {
  schema: 1;
  slot: string;
  generation: string | null;
  /** Bytes; null where this boot has no data filesystem, for the reason in `warnings`. */
  data: { device: string; filesystem: string; bytes: number; free: number } | null;
  operators: ListedOperator[];
  generations: ListedGeneration[];
  /** Slots that are files, and what else lies beside them. */
  slotFiles: ListedSlotFile[];
  /** Stores in shared/ that no operator of this image declares. */
  undeclared: { store: string; size: Measure | null }[];
  warnings: string[];
}

/** Throws Refusal where the machine was not booted by slipway, or its image declares nothing. */
export function listState(kernel: Kernel, places: Places): StateList {
  const machine = readMachine(kernel, places);
  const { operators } = readImageControl(kernel, places);
  const { slot, generation } = machine.report;
  const empty = { schema: 1 as const, slot, generation };
  try {
    return withDataFilesystem(kernel, machine, (data) => {
      const list = operators.length === 0 ? [] : listOperators(kernel, data, machine, operators);
      const { device = "", filesystem = "" } = machine.report.data ?? {};
      const { blockSize, blocks, available } = kernel.filesystemStatus(data);
      const space = { bytes: Number(blocks) * blockSize, free: Number(available) * blockSize };
      const [committed, warnings] = lastCommitted(kernel, machine);
      const generations = listGenerations(kernel, data, machine, committed);
      const undeclared = listUndeclared(kernel, data, operators);
      const slotFiles = listSlotFiles(kernel, data, machine);
      return { ...empty, data: { device, filesystem, ...space }, operators: list, generations, slotFiles, undeclared, warnings };
    });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const list = listOperators(kernel, null, machine, operators);
    return { ...empty, data: null, operators: list, generations: [], slotFiles: [], undeclared: [], warnings: [error.message] };
  }
}

function listOperators(
  kernel: Kernel,
  data: Descriptor | null,
  machine: Machine,
  operators: readonly Operator[],
): ListedOperator[] {
  const generation = ownGeneration(machine);
  const paths = new OperatorPaths(operators);
  const degraded = new Map(machine.report.degraded.map(({ path, reason }) => [path, reason]));
  return byPath(operators).map((operator) => {
    const { path, id, kind, state, via, origin } = operator;
    const stores = storePaths(operator, generation).map((name) => ({
      name,
      size: data === null ? null : measureIfThere(kernel, data, name),
    }));
    const store = stores.find(({ size }) => size !== null) ?? stores[0] ?? null;
    return {
      ...{ path, id, kind, state, via, origin },
      store: store?.name ?? null,
      depth: paths.depthOf(path),
      size: store?.size ?? null,
      degraded: degraded.get(path) ?? null,
    };
  });
}

/** Where the last commit was; a record that cannot be read makes every generation one to keep. */
function lastCommitted(kernel: Kernel, machine: Machine): [BootRecord["lastCommitted"], string[]] {
  try {
    const store = openRecord(kernel, machine);
    try {
      const { record, condition } = store.read().record;
      return [record?.lastCommitted ?? null, record === null ? [`the boot record is ${condition}`] : []];
    } finally {
      store.close();
    }
  } catch (error) {
    if (error instanceof Refusal) return [null, [error.message]];
    throw error;
  }
}

function listGenerations(
  kernel: Kernel,
  data: Descriptor,
  machine: Machine,
  committed: BootRecord["lastCommitted"],
): ListedGeneration[] {
  const { facts, plan } = collection(kernel, data, machine, committed);
  const fates = [
    ...plan.kept.map((verdict) => ({ ...verdict, fate: "kept" as const })),
    ...plan.underPressure.map((verdict) => ({ ...verdict, fate: "spare" as const })),
    ...plan.collect.map((verdict) => ({ ...verdict, fate: "garbage" as const })),
  ].sort((left, right) => left.number - right.number);
  return fates.map(({ number, why, fate }) => {
    const found = facts.generations.find((generation) => generation.number === number);
    const meta = found?.complete && found.meta?.number === number ? found.meta : null;
    const name = generationName(number);
    return {
      ...{ number: name, slot: meta?.slot ?? null, imageId: meta?.imageId ?? null, attempt: meta?.attempt ?? null },
      parent: meta?.parent == null ? null : generationName(meta.parent),
      madeUnixMs: madeUnixMs(kernel, data, name),
      size: measureIfThere(kernel, data, `${LAYOUT.generations}/${name}`),
      running: name === machine.report.generation,
      pinned: found?.pinned?.reason ?? null,
      ...{ fate, why },
    };
  });
}

function listUndeclared(kernel: Kernel, data: Descriptor, operators: readonly Operator[]): StateList["undeclared"] {
  const declared = new Set(operators.flatMap((operator) => storePaths(operator, GENERATION.tree)));
  return withDirectory(kernel, data, LAYOUT.shared, (shared) => kernel.readDirectory(shared))
    .map(({ name }) => ({ text: pathText(name), path: `${LAYOUT.shared}/${new TextDecoder().decode(name)}` }))
    .filter(({ path, text }) => !declared.has(path) && !text.startsWith("."))
    .map(({ path, text }) => ({ store: `${LAYOUT.shared}/${text}`, size: measureIfThere(kernel, data, path) }));
}

function listSlotFiles(kernel: Kernel, data: Descriptor, { control }: Machine): ListedSlotFile[] {
  const there = exists(kernel, data, LAYOUT.images)
    ? withDirectory(kernel, data, LAYOUT.images, (all) => filesIn(kernel, all))
    : [];
  const declared = control.slots.flatMap((slot) => ("file" in slot ? [slot] : []));
  const missing = declared.filter(({ file }) => !there.some((found) => found.file === file));
  return [
    ...there.map((found) => ({ ...found, slot: declared.find(({ file }) => file === found.file)?.name ?? null })),
    ...missing.map(({ file, name }) => ({ file, slot: name, size: null, allocated: null })),
  ];
}

function filesIn(kernel: Kernel, directory: Descriptor): Omit<ListedSlotFile, "slot">[] {
  return kernel.readDirectory(directory).map(({ name }) => {
    const { size, allocated } = kernel.statusAt(name, directory);
    return { file: `${LAYOUT.images}/${pathText(name)}`, size: Number(size), allocated: Number(allocated) };
  });
}
