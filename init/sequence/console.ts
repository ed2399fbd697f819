import { O } from "../kernel/constants.ts";
import { readTextIfThere } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";

/** The kernel's consoles, as names of devices; where it names none, the one that /dev/console is. */
export function consoleNames(kernel: Kernel): string[] {
  const active = readTextIfThere(kernel, "/sys/class/tty/console/active")?.trim().split(/\s+/) ?? [];
  const names = active.filter((name) => /^[A-Za-z0-9]+$/.test(name));
  return names.length > 0 ? names : ["console"];
}

/** Shows `text` on every console of the machine. A line that does not take it at once (stuck, absent) is passed over. */
export function showOnConsoles(kernel: Kernel, text: string): void {
  // Reasons quote names of a disk, which may hold what a terminal obeys.
  const plain = text.replaceAll(/[^\P{Cc}\n]/gu, " ");
  for (const name of consoleNames(kernel)) {
    try {
      const fd = kernel.open(`/dev/${name}`, O.WRONLY | O.NOCTTY | O.NONBLOCK);
      try {
        kernel.write(fd, new TextEncoder().encode(plain), null);
      } finally {
        kernel.close(fd);
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
}
