/** What the running system asks the next boot to do, on the data filesystem. */
import { LAYOUT, LONGEST_TEXT } from "../../../state-ops/layout.ts";
import { BadInput, Refusal } from "../../../state-ops/outcome.ts";
import { formatRequests, NO_REQUESTS, parseRequests, REQUESTS, type StateRequests } from "../../../state-ops/requests.ts";
import { type Descriptor, type Kernel, KernelError } from "../../kernel/kernel.ts";
import { exists, readText, removeIfThere, replaceFile, withDirectory } from "../../state/beneath.ts";

/** What was asked for; `fault` says why what is there cannot be read, and so asks for nothing. */
export function readRequests(kernel: Kernel, data: Descriptor): { requests: StateRequests; fault: string | null } {
  const where = `${REQUESTS.directory}/${REQUESTS.file} on the data filesystem`;
  try {
    if (!exists(kernel, data, LAYOUT.updater)) return { requests: NO_REQUESTS, fault: null };
    return withDirectory(kernel, data, REQUESTS.directory, (directory) => {
      if (!exists(kernel, directory, REQUESTS.file)) return { requests: NO_REQUESTS, fault: null };
      const text = readText(kernel, directory, REQUESTS.file, LONGEST_TEXT);
      if (text === null) return { requests: NO_REQUESTS, fault: `${where} is no file that can be read` };
      return { requests: parseRequests(text), fault: null };
    });
  } catch (error) {
    if (error instanceof BadInput) return { requests: NO_REQUESTS, fault: `${where}: ${error.message}` };
    if (error instanceof KernelError) return { requests: NO_REQUESTS, fault: `${where}: ${error.message}` };
    throw error;
  }
}

/** Replaces what was asked for, durably; nothing asked is no file. Throws Refusal where the filesystem does not take it. */
export function writeRequests(kernel: Kernel, data: Descriptor, requests: StateRequests): void {
  try {
    if (!exists(kernel, data, LAYOUT.updater)) {
      kernel.makeDirectory(LAYOUT.updater, 0o700, data);
      kernel.sync(data);
    }
    withDirectory(kernel, data, REQUESTS.directory, (directory) => {
      if (requests.reset !== null || requests.carry !== null) {
        replaceFile(kernel, directory, REQUESTS.file, formatRequests(requests), 0o600);
        return;
      }
      removeIfThere(kernel, directory, REQUESTS.file);
      kernel.sync(directory);
    });
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const remedy =
      error.code === "ENOSPC" ? 'free space, or run "slipway state gc"' : "is the data filesystem damaged, or read-only?";
    throw new Refusal(
      `nothing was changed: ${REQUESTS.file} cannot be written to the data filesystem (${error.message}); ${remedy}`,
    );
  }
}
