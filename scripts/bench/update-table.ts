import { BLOCK } from "../../boot/image/verity.ts";
import { spreadOf } from "./facts.ts";
import { rows } from "./table.ts";

/** One way to bring a slot up to date. */
export interface MeasuredUpdate {
  name: string;
  note: string;
  from: "server" | "file";
  /** Bytes that the server sent, of each run. */
  bytes: number[];
  /** Requests that it answered, of each run. */
  requests: number[];
  /** Of each run, until all was durable. */
  ms: number[];
}

/** The pair of images, by the leaves of their trees. */
export interface UpdateFacts {
  changes: string[];
  synthetic: boolean;
  /** Of the newer image's file. */
  imageBytes: number;
  blocks: number;
  missing: number;
  distinct: number;
  runs: number;
  /** Verity superblock, hash tree, seal and footer. */
  overheadBytes: number;
}

export interface MeasuredUpdates {
  facts: UpdateFacts;
  updates: MeasuredUpdate[];
}

const MiB = (bytes: number): string => (bytes / 1024 ** 2).toFixed(1);

/** What ratios are made to: the whole image for bytes and time, one hash and one write of it for rates. */
export interface References {
  whole: string;
  hashing: string;
}

/** Medians with the least and the most, and the ratios of the medians to those of the references. */
export function updatesTable({ facts, updates }: MeasuredUpdates, references: References): string {
  const median = (name: string, column: "bytes" | "ms"): number | null => {
    const found = updates.find((update) => update.name === name);
    return found === undefined ? null : spreadOf(found[column]).median;
  };
  const ratio = (own: number, other: number | null) => (other === null || other === 0 ? "" : (own / other).toFixed(2));
  const body = updates.map(({ name, from, bytes, requests, ms }) => {
    const [sent, time] = [spreadOf(bytes).median, spreadOf(ms)];
    const rate = (of: number | null) => (of === null ? null : facts.imageBytes / of);
    return [
      name,
      from === "server" ? MiB(sent) : "",
      from === "server" ? ratio(sent, median(references.whole, "bytes")) : "",
      from === "server" ? spreadOf(requests).median.toFixed(0) : "",
      `${time.median.toFixed(0)} (${time.min.toFixed(0)}-${time.max.toFixed(0)})`,
      ratio(time.median, median(references.whole, "ms")),
      MiB((rate(time.median) ?? 0) * 1000),
      ratio(rate(time.median) ?? 0, rate(median(references.hashing, "ms"))),
    ];
  });
  const head = [
    "",
    "MiB sent",
    "of the whole",
    "requests",
    "ms until durable",
    "of the whole",
    "MiB/s installed",
    `of ${references.hashing}`,
  ];
  const notes = updates.map(({ name, note }) => `  ${name}: ${note}`);
  return [factsText(facts), "", ...rows([head, ...body]), "", "Medians (least-most).", ...notes].join("\n");
}

/** What differs between the images, in a few lines. */
export function factsText(facts: UpdateFacts): string {
  const what = facts.synthetic
    ? "apt offers no security updates at this time: in the newer image every eighth library was turned around instead."
    : `${facts.changes.length} packages differ: ${facts.changes.map((change) => change.split(" ")[0]).join(", ")}.`;
  const share = ((100 * facts.missing) / facts.blocks).toFixed(1);
  return [
    `Two Debian images, erofs-lz4, the newer ${MiB(facts.imageBytes)} MiB, of which tree and seal ${MiB(facts.overheadBytes)} MiB. ${what}`,
    `The older image lacks ${share} % of the newer's ${facts.blocks} blocks: ${MiB(facts.missing * BLOCK)} MiB in ${facts.runs} runs, ${MiB(facts.distinct * BLOCK)} MiB with each content once.`,
  ].join("\n");
}
