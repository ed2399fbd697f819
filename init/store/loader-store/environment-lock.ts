import { O } from "../../kernel/constants.ts";
import { type Descriptor, KernelError } from "../../kernel/kernel.ts";
import { StoreFailure } from "./filesystem.ts";
import type { StoreDesk } from "./loader-store.ts";

/** How long fw_setenv of somebody else is waited for, milliseconds. */
const WAIT = 5_000;
const RETRY = 50;

/**
 * Runs `body` while U-Boot's tools change nothing: fw_printenv, fw_setenv and libubootenv take the same lock with flock(2). Throws
 * StoreFailure where it stays taken.
 */
export function withEnvironmentLock<Result>({ kernel, environmentLock }: StoreDesk, body: () => Result): Result {
  if (environmentLock === null) return body();
  let fd: Descriptor;
  try {
    fd = kernel.open(environmentLock, O.RDWR | O.CREAT, { mode: 0o666 });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    // Without its directory nobody else has the lock either.
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return body();
    throw new StoreFailure(`the lock of U-Boot's tools, ${environmentLock}, cannot be opened (${error.code})`);
  }
  try {
    const until = kernel.now().bootMs + WAIT;
    while (!kernel.lock(fd)) {
      if (kernel.now().bootMs >= until) {
        throw new StoreFailure(
          `U-Boot's environment is being changed: somebody has held ${environmentLock} for ${WAIT / 1000} s; end that, and try again`,
        );
      }
      kernel.poll([], RETRY);
    }
    return body();
  } finally {
    kernel.close(fd);
  }
}
