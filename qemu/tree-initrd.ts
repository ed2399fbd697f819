import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { finished } from "node:stream/promises";

/** Packs `tree` as an uncompressed initramfs in `file`: for machines whose init is the tree's own /init, without slipway. */
export async function treeInitrd(tree: string, file: string): Promise<void> {
  const script = 'cd "$1" && find . -print0 | LC_ALL=C sort -z | cpio --null --create --format=newc --reproducible --quiet';
  const child = spawn("sh", ["-c", script, "sh", tree], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  await finished(child.stdout.pipe(createWriteStream(file)));
  const code = await ended;
  if (code !== 0) throw new Error(`cpio of ${tree} ended with ${code}; is cpio installed?`);
}
