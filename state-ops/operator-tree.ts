/** The operators of one image as a tree by path: who rules a path, what lies in whom, and where their stores are. */
import type { Operator } from "./control.ts";
import { components } from "./image-tree.ts";
import { GENERATION, LAYOUT } from "./layout.ts";
import { hasStore } from "./operator-combinations.ts";

/** Whether `path` is `above` or lies below it. Both absolute and canonical. */
export function isAtOrBelow(path: string, above: string): boolean {
  return path === above || path.startsWith(above === "/" ? "/" : `${above}/`);
}

/** The operator that rules `path`: the nearest at it or above. Null: the image alone, and nothing can be written. */
export function rulingOperator(operators: readonly Operator[], path: string): Operator | null {
  const above = operators.filter((operator) => isAtOrBelow(path, operator.path));
  return above.reduce<Operator | null>((nearest, operator) => longer(nearest, operator), null);
}

/** The operator in whose store `operator`'s mount point lies; null where it lies in the image. */
export function outerOperator(operators: readonly Operator[], operator: Operator): Operator | null {
  return rulingOperator(
    operators.filter(({ path }) => path !== operator.path),
    operator.path,
  );
}

/** All operators below `operator`, however deep, by path. */
export function operatorsBelow(operators: readonly Operator[], operator: Operator): Operator[] {
  return byPath(operators.filter(({ path }) => path !== operator.path && isAtOrBelow(path, operator.path)));
}

/** The paths of many operators, in an order in which what lies below one stands together: no question looks at all of them. */
export class OperatorPaths {
  readonly #paths: ReadonlySet<string>;
  /** Each with a slash at its end: without it "/a.b" stands between "/a" and "/a/b". */
  readonly #sorted: readonly string[];

  constructor(operators: readonly Pick<Operator, "path">[]) {
    this.#paths = new Set(operators.map(({ path }) => path));
    this.#sorted = [...this.#paths].map((path) => `${path}/`).sort();
  }

  /** How many of them `path` lies in. */
  depthOf(path: string): number {
    return components(path).filter((above) => above !== path && this.#paths.has(above)).length;
  }

  /** Those that lie below `path`, however deep. */
  below(path: string): string[] {
    const outer = `${path}/`;
    const found: string[] = [];
    for (let at = this.#firstAfter(outer); this.#sorted[at]?.startsWith(outer); at++)
      found.push(this.#sorted[at]?.slice(0, -1) ?? "");
    return found;
  }

  #firstAfter(text: string): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] ?? "") <= text) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Parents before children. */
export function byPath(operators: readonly Operator[]): Operator[] {
  return [...operators].sort((left, right) => (left.path < right.path ? -1 : 1));
}

/**
 * Where an operator's store is on the data filesystem, relative to its root: the first of these that is there, else it will
 * be made at the first. `generation` is "gens/000017", null without one. Empty where there is no store.
 */
export function storePaths(operator: Operator, generation: string | null): string[] {
  const { id, state, via, renamedFrom } = operator;
  if (!hasStore(operator)) return [];
  if (state !== "persistent")
    return [id, ...(renamedFrom === null ? [] : [renamedFrom])].map((name) => `${LAYOUT.shared}/${name}`);
  if (generation === null) return [];
  return [via === "overlay" ? `${generation}/${GENERATION.overlays}/${id}/upper` : `${generation}/${GENERATION.tree}/${id}`];
}

function longer(left: Operator | null, right: Operator): Operator {
  return left === null || right.path.length > left.path.length ? right : left;
}
