/** Trees of images for state at scale. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { operatorsFragment } from "../operators-fragment.ts";

export const systemText = `system: bench
slots:
  a: { device: PARTLABEL=root-a }
data: { device: PARTLABEL=sys-data, filesystem: ext4 }
boot-record: { store: record, device: PARTLABEL=boot-record }
trust: unsigned
`;

const inDirectory = 200;
const bytesOfFile = 2048;

function begin(tree: string): void {
  for (const name of ["etc", "srv", "usr/lib/slipway"]) mkdirSync(`${tree}/${name}`, { recursive: true });
  writeFileSync(`${tree}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(`${tree}/etc/group`, "root:x:0:\n");
}

/** With the mount points of `count` operators. Returns the fragment that declares them. */
export function stateTree(tree: string, count: number): string {
  begin(tree);
  const { fragment, directories, files } = operatorsFragment(count);
  for (const directory of directories) {
    mkdirSync(`${tree}/${directory}`, { recursive: true });
    writeFileSync(`${tree}/${directory}/default`, directory);
  }
  for (const file of Object.keys(files)) writeFileSync(`${tree}${file}`, "");
  return fragment ?? "package: bench\noperators: []\n";
}

/** With `count` files of 2 KiB, no two alike, below one operator. Returns the fragment that declares it. */
export function plantFiles(tree: string, count: number): string {
  begin(tree);
  for (let index = 0; index < count; index++) {
    const directory = `${tree}/srv/${Math.floor(index / inDirectory)}`;
    if (index % inDirectory === 0) mkdirSync(directory);
    writeFileSync(`${directory}/file-${index}`, `${index} `.repeat(bytesOfFile).slice(0, bytesOfFile));
  }
  return "package: bench\noperators:\n  - path: /srv\n    state: persistent\n    via: bind\n";
}

/** Writes one in a hundred of the files below `root`, and one at least, anew. */
export function changeSome(root: string): void {
  const files = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .sort();
  for (const file of files.filter((_, index) => index % 100 === 0)) writeFileSync(file, `of ${root}`);
}
