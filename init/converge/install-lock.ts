import { Refusal } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import type { Kernel } from "../kernel/kernel.ts";

/**
 * Runs `body` while nobody else writes to a slot: an exclusive flock(2) on `path`, which the kernel lets go of when its holder
 * dies. It is another lock than the boot record's, which must not be held for as long as a download takes. Throws Refusal where
 * somebody else has it.
 *
 * @param who what the holder is called in somebody else's refusal: "slipway install"
 */
export async function withInstallLock<Result>(
  kernel: Kernel,
  path: string,
  who: string,
  body: () => Promise<Result>,
): Promise<Result> {
  const fd = kernel.open(path, O.RDWR | O.CREAT, { mode: 0o600 });
  try {
    if (!kernel.lock(fd)) {
      const holder = new TextDecoder().decode(kernel.read(fd, 200, 0n)).trim() || "another slipway";
      throw new Refusal(`${holder} is under way, and one at a time may write to a slot; wait for it to end, or end it`);
    }
    kernel.truncate(fd, 0n);
    kernel.write(fd, new TextEncoder().encode(`${who} (process ${kernel.processId()})\n`), 0n);
    return await body();
  } finally {
    kernel.close(fd);
  }
}
