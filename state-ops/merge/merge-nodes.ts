/** Three trees laid over each other, path by path. */
import { byPath, parentPath } from "./path-text.ts";
import { type Entry, sameEntry, type Tree } from "./tree.ts";

export interface MergeNode {
  path: string;
  base: Entry | null;
  state: Entry | null;
  image: Entry | null;
  /** In the order of their paths. */
  children: MergeNode[];
}

/** The root's node; below it a node for each path that any of the trees has. */
export function overlapTrees(base: Tree, state: Tree, image: Tree): MergeNode {
  const nodes = new Map<string, MergeNode>();
  const nodeAt = (path: string): MergeNode => {
    const known = nodes.get(path);
    if (known !== undefined) return known;
    const node: MergeNode = {
      path,
      base: base.get(path) ?? null,
      state: state.get(path) ?? null,
      image: image.get(path) ?? null,
      children: [],
    };
    nodes.set(path, node);
    const parent = parentPath(path);
    if (parent !== null) nodeAt(parent).children.push(node);
    return node;
  };
  const root = nodeAt(".");
  for (const tree of [base, state, image]) for (const path of tree.keys()) nodeAt(path);
  for (const node of nodes.values()) node.children.sort(byPath);
  return root;
}

/** Whether everything that the state has from here down is as in the baseline. What was deleted here does not count. */
export function unmodifiedHere(node: MergeNode): boolean {
  return (node.state === null || sameEntry(node.state, node.base)) && node.children.every(unmodifiedHere);
}

/** Whether the image has from here down what the baseline had. */
export function unmodifiedInImage(node: MergeNode): boolean {
  return sameEntry(node.image, node.base) && node.children.every(unmodifiedInImage);
}

export function isDirectory(entry: Entry | null): entry is Entry {
  return entry?.type === "directory";
}
