/** Users and groups whose numbers changed since the image that devices run: files in their stores keep the old numbers. */
import type { ControlFile } from "./control.ts";
import { type ImageTree, readNames } from "./image-tree.ts";
import { hasStore } from "./operator-combinations.ts";
import type { Problem } from "./schema/document.ts";

export interface AccountDrift {
  problems: Problem[];
  warnings: Problem[];
}

/** Places are lines of the image's own /etc/passwd and /etc/group. Nothing where no state outlived the update. */
export function accountDrift(image: ImageTree, previous: ControlFile): AccountDrift {
  const drift: AccountDrift = { problems: [], warnings: [] };
  if (!previous.operators.some(hasStore)) {
    return drift;
  }
  compareFile(image, "user", "/etc/passwd", previous.accounts.users, drift);
  compareFile(image, "group", "/etc/group", previous.accounts.groups, drift);
  return drift;
}

function compareFile(image: ImageTree, what: string, file: string, old: Record<string, number>, drift: AccountDrift): void {
  const text = image.text(file) ?? "";
  const lines = text.split("\n");
  const now = readNames(text);
  const before = new Map(Object.entries(old));
  const ownerBefore = new Map([...before].map(([name, number]) => [number, name]));
  for (const [name, number] of now) {
    const at = { file: image.place(file), line: lines.findIndex((line) => line.startsWith(`${name}:`)) + 1, column: 1 };
    const was = before.get(name);
    const other = ownerBefore.get(number);
    if (was !== undefined && was !== number) {
      const text = `the ${what} "${name}" has the number ${number} in this image and ${was} in the previous control file, which files in devices' stores keep; give it the static number ${was} in the image's sysusers or ${file.slice(5)}`;
      drift.problems.push({ ...at, text });
    } else if (was === undefined && other !== undefined && !now.has(other)) {
      const text = `the ${what} "${name}" has the number ${number}, which was that of "${other}" in the previous control file: files of "${other}" in devices' stores become its own`;
      drift.warnings.push({ ...at, text });
    }
  }
}
