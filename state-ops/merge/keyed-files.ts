/** Which files are merged by line. */
import { pathText } from "./path-text.ts";

export type KeyedFile = "passwd" | "group" | "shadow" | "gshadow" | "subuid" | "subgid";

export const KEYED_FILES: readonly KeyedFile[] = ["passwd", "group", "shadow", "gshadow", "subuid", "subgid"];

/** Where they lie in the store of an operator on `operatorPath`: "passwd" below "/etc". Empty where that holds none. */
export function keyedPaths(operatorPath: string): Map<string, KeyedFile> {
  const outer = `${operatorPath}/`;
  const all = KEYED_FILES.map((file): [string, KeyedFile] => [`/etc/${file}`, file]);
  const below = all.filter(([path]) => path.startsWith(outer));
  return new Map(below.map(([path, file]) => [pathText(Buffer.from(path.slice(outer.length))), file]));
}
