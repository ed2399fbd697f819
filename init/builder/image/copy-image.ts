import { statSync } from "node:fs";
import { withProgress } from "../../image/progress.ts";
import { O } from "../../kernel/constants.ts";
import { withOpen } from "../../kernel/files.ts";
import type { Kernel } from "../../kernel/kernel.ts";
import { ContentCopier } from "../../state/clone-content.ts";

/** Copies an image to the new file `to`, with its permissions: sharing its blocks where the filesystem can, holes as holes. */
export async function copyImage(kernel: Kernel, from: string, to: string): Promise<void> {
  const { size, mode } = statSync(from);
  await withProgress(`copying ${from}`, size, (onBytes) => {
    let done = 0;
    const copier = new ContentCopier(kernel, (bytes) => {
      done += bytes;
      onBytes(done);
    });
    const create = (source: number) => (target: number) => {
      kernel.changeMode(target, mode & 0o777);
      copier.copy(source, target, BigInt(size));
    };
    withOpen(kernel, from, O.RDONLY, (source) =>
      withOpen(kernel, to, O.RDWR | O.CREAT | O.EXCL, create(source), { mode: 0o600 }),
    );
  });
}
