import { Refusal } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";

/** Time between two attempts to get the lock, milliseconds. */
const RETRY_MS = 50;

/** Longest note about the holder that is read back, bytes. */
const NOTE_LENGTH = 200;

function holder(kernel: Kernel, fd: Descriptor): string {
  const note = new TextDecoder().decode(kernel.read(fd, NOTE_LENGTH, 0n)).trim();
  return note === "" ? "another slipway" : note;
}

/**
 * Runs `body` while nobody else changes the boot record: an exclusive flock(2) on `path`, which the kernel lets go of
 * when its holder dies. Throws Refusal that names the holder when the lock is not free within `waitMs`.
 *
 * @param who what the holder is called in somebody else's refusal: "slipway commit"
 */
export function withRecordLock<Result>(kernel: Kernel, path: string, who: string, waitMs: number, body: () => Result): Result {
  const fd = kernel.open(path, O.RDWR | O.CREAT, { mode: 0o600 });
  try {
    const until = kernel.now().bootMs + waitMs;
    while (!kernel.lock(fd)) {
      if (kernel.now().bootMs >= until) {
        throw new Refusal(
          `the boot record is being changed by ${holder(kernel, fd)}, which has held ${path} for ${waitMs / 1000} s; wait for it to end, or end it, and try again`,
        );
      }
      kernel.poll([], RETRY_MS);
    }
    kernel.truncate(fd, 0n);
    kernel.write(fd, new TextEncoder().encode(`${who} (process ${kernel.processId()})\n`), 0n);
    return body();
  } finally {
    kernel.close(fd);
  }
}
