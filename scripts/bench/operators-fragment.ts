import type { TreeFiles } from "../../qemu/tree.ts";

/** Of every kind that a product has, in turn: what is kept and what is not, directories and files. */
const kinds = [
  { lines: ["state: persistent", "via: bind"], file: false },
  { lines: ["state: persistent", "via: overlay"], file: false },
  { lines: ["state: ephemeral"], file: false },
  { lines: ["state: shared", "via: bind", "reason: measured"], file: false },
  { lines: ["state: identity", "via: bind"], file: true },
];

export interface OperatorsFragment {
  /** Text of a fragment; null without operators. */
  fragment: string | null;
  /** Mount points, which the image must have. */
  directories: string[];
  files: TreeFiles;
}

/** A fragment with `count` operators below /srv. */
export function operatorsFragment(count: number): OperatorsFragment {
  const made: OperatorsFragment = { fragment: null, directories: [], files: {} };
  const entries = Array.from({ length: count }, (_, index) => {
    const path = `/srv/operator-${index}`;
    const { lines, file } = kinds[index % kinds.length] ?? { lines: [], file: false };
    if (file) made.files[path] = "";
    else made.directories.push(path.slice(1));
    return [`  - path: ${path}`, ...lines.map((line) => `    ${line}`)].join("\n");
  });
  return entries.length === 0 ? made : { ...made, fragment: `package: bench\noperators:\n${entries.join("\n")}\n` };
}
