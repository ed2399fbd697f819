import { O } from "../kernel/constants.ts";
import { readTextIfThere } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { askTerminals, lineRate, windowSize } from "./ask-terminal.ts";
import { LineConsole } from "./line-console.ts";
import { Outlet } from "./outlet.ts";
import { TerminalConsole } from "./terminal-console.ts";

/** Names of the kernel's consoles that can be drawn on without asking: tty0 is the virtual terminal that is shown. */
const VIRTUAL = /^tty\d+$/;
/** Bytes a second of a virtual terminal: memory. */
const VIRTUAL_RATE = 1_000_000;
/** Of a serial line's rate: the kernel says something too. */
const SHARE = 0.5;

export interface Consoles {
  terminals: TerminalConsole[];
  lines: LineConsole[];
}

/** Opens every console of the machine. One that cannot be opened is passed over. Takes up to a quarter of a second. */
export function openConsoles(kernel: Kernel): Consoles {
  const active = readTextIfThere(kernel, "/sys/class/tty/console/active")?.trim().split(/\s+/) ?? [];
  const names = active.filter((name) => /^[A-Za-z0-9]+$/.test(name));
  const open = (names.length > 0 ? names : ["console"]).flatMap((name) => openOne(kernel, name));
  const serial = open.filter(({ name }) => !VIRTUAL.test(name));
  const sizes = askTerminals(
    kernel,
    serial.map(({ fd }) => fd),
  );
  const consoles: Consoles = { terminals: [], lines: [] };
  for (const { name, path, fd } of open) {
    const isVirtual = VIRTUAL.test(name);
    const outlet = new Outlet(kernel, path, fd, isVirtual ? VIRTUAL_RATE : lineRate(kernel, fd) * SHARE);
    const size = isVirtual ? windowSize(kernel, fd) : (sizes.get(fd) ?? null);
    if (size === null) consoles.lines.push(new LineConsole(outlet));
    else consoles.terminals.push(new TerminalConsole(outlet, size));
  }
  return consoles;
}

function openOne(kernel: Kernel, name: string): { name: string; path: string; fd: Descriptor }[] {
  const path = `/dev/${name}`;
  try {
    return [{ name, path, fd: kernel.open(path, O.RDWR | O.NOCTTY | O.NONBLOCK) }];
  } catch (error) {
    if (error instanceof KernelError) return [];
    throw error;
  }
}
