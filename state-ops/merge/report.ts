/** What a merge did, or would do: for /run/slipway/merge.json, the boot journal and people. */
import { canonicalJson } from "../canonical-json.ts";
import type { MergeRule } from "../control.ts";
import type { AccountNote } from "./account-numbers.ts";
import { byPath, printable } from "./path-text.ts";
import type { MergePlan } from "./three-way.ts";

/** Where the report is in the running system. */
export const MERGE_REPORT = "/run/slipway/merge.json";

/** A path of a store that both sides changed, or that was changed here and removed from the image. */
export interface ContestedPath {
  /** Absolute, as path text (path-text.ts). */
  path: string;
  /** `neither`: the rule is `fail`, and the slot was refused. `both`: merged by line. */
  kept: "state" | "image" | "both" | "neither";
  why: string;
  /** Relative to the generation: where the side that lost is kept; null where nothing was lost. */
  aside: string | null;
}

export interface StoreMerge {
  /** The operator's. */
  id: string;
  path: string;
  rule: MergeRule;
  /** False: no baseline was known, so that everything that differs counts as changed on both sides. */
  baseline: boolean;
  /** How many paths follow the image; were deleted as in the image; keep what was changed here alone. */
  taken: number;
  deleted: number;
  kept: number;
  /** The first {@link MOST_LISTED} of them, by path; those that refuse the merge before all others. */
  contested: ContestedPath[];
  contestedInAll: number;
  accounts: { file: string; name: string; outcome: AccountNote["outcome"]; why: string }[];
  accountsInAll: number;
}

/** `/run/slipway/merge.json` */
export interface MergeReport {
  schema: 1;
  /** Nothing was applied: shown by `slipway state merge --dry-run`. */
  dryRun: boolean;
  /** The generation it was made from, "000017", and the new one; null in a dry run. */
  from: string;
  to: string | null;
  /** The image whose changes were merged in. */
  imageId: string;
  /** A rule is `fail` and both sides changed something. */
  refused: boolean;
  stores: StoreMerge[];
}

/** A hostile or broken disk must not fill /run. */
export const MOST_LISTED = 200;

/** Relative to the generation: where the losing side of a path of a store is kept, below the same names. */
export function asidePath(id: string, of: "state" | "image", path: string): string {
  const root = `aside/${id}/${of}`;
  return path === "." ? root : `${root}/${path}`;
}

/** One store's part of the report. `notes` come from mergeAccounts; empty where nothing was merged by line. */
export function storeMerge(
  store: { id: string; path: string; rule: MergeRule; baseline: boolean },
  plan: MergePlan,
  notes: readonly AccountNote[],
): StoreMerge {
  const aside = new Map(plan.actions.flatMap((action) => (action.do === "keep-aside" ? [[action.path, action.of]] : [])));
  const count = (holds: (action: MergePlan["actions"][number]) => boolean) => plan.actions.filter(holds).length;
  const contested = plan.actions.flatMap((action): ContestedPath[] => {
    const kept = keptSide(action);
    if (kept === null) return [];
    const loser = aside.get(action.path);
    const where = loser === "state" || loser === "image" ? asidePath(store.id, loser, action.path) : null;
    return [{ path: absolute(store.path, action.path), kept, why: action.why, aside: where }];
  });
  return {
    ...store,
    taken: count((action) => action.do === "take-image" && !action.contested),
    deleted: count((action) => action.do === "delete"),
    kept: count((action) => action.do === "keep" && !action.contested),
    contested: contested.sort(refusingFirst).slice(0, MOST_LISTED),
    contestedInAll: contested.length,
    accounts: notes
      .slice(0, MOST_LISTED)
      .map(({ file, name, outcome, why }) => ({ file, name: printable(name), outcome, why: printable(why) })),
    accountsInAll: notes.length,
  };
}

/** The text of merge.json. */
export function formatMergeReport(report: MergeReport): string {
  return canonicalJson(report);
}

/** The report as lines for people. */
export function mergeText(report: MergeReport): string {
  const verb = report.dryRun ? "would be merged" : "was merged";
  const head = report.refused
    ? `state of generation ${report.from} cannot be merged with image ${report.imageId}: a rule is "fail", and both sides changed something`
    : `state of generation ${report.from} ${verb} with image ${report.imageId}${report.to === null ? "" : ` into generation ${report.to}`}`;
  return [head, ...report.stores.flatMap(storeLines), ""].join("\n");
}

/** One sentence for the boot journal; null where nothing is to be told. */
export function mergeReason(report: MergeReport): string | null {
  const contested = report.stores.flatMap((store) => store.contested);
  if (report.refused) {
    const refusing = contested.filter(({ kept }) => kept === "neither");
    return `state cannot be merged: ${counted(refusing.length, "path")} with the rule "fail" changed on both sides, first ${refusing[0]?.path}; see ${MERGE_REPORT}`;
  }
  const accounts = report.stores.flatMap((store) => store.accounts);
  const paths = report.stores.reduce((sum, store) => sum + store.contestedInAll, 0);
  const names = report.stores.reduce((sum, store) => sum + store.accountsInAll, 0);
  if (paths + names === 0) return null;
  const first = contested[0]?.path ?? `${accounts[0]?.file} ${accounts[0]?.name}`;
  const what = [...(paths > 0 ? [counted(paths, "path")] : []), ...(names > 0 ? [counted(names, "account")] : [])];
  return `state was merged: ${what.join(" and ")} differ on both sides, first ${first}; see ${MERGE_REPORT}`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function storeLines(store: StoreMerge): string[] {
  const unknown = store.baseline ? "" : ", no baseline";
  const counts = `${store.taken} follow the image, ${store.deleted} deleted, ${store.kept} kept as changed here`;
  const left = (all: number, listed: readonly unknown[]) => (all > listed.length ? [`  and ${all - listed.length} more`] : []);
  return [
    `${store.path} (merge: ${store.rule}${unknown}): ${counts}`,
    ...store.contested.map(({ path, why, aside }) => `  ${path}: ${why}${aside === null ? "" : `; the other is in ${aside}`}`),
    ...left(store.contestedInAll, store.contested),
    ...store.accounts.map(({ file, name, outcome, why }) => `  ${file}: ${name} ${outcome.replace("-", " ")}: ${why}`),
    ...left(store.accountsInAll, store.accounts),
  ];
}

function refusingFirst(left: ContestedPath, right: ContestedPath): number {
  return Number(right.kept === "neither") - Number(left.kept === "neither") || byPath(left, right);
}

function keptSide(action: MergePlan["actions"][number]): ContestedPath["kept"] | null {
  switch (action.do) {
    case "conflict":
      return "neither";
    case "merge-keyed":
      return "both";
    case "take-image":
      return action.contested ? (action.metadata === "image" ? "image" : "both") : null;
    case "keep":
      return action.contested ? "state" : null;
    default:
      return null;
  }
}

function absolute(store: string, path: string): string {
  return path === "." ? store : `${store}/${path}`;
}
