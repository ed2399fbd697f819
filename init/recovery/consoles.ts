import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { consoleNames } from "../sequence/console.ts";
import { askTerminals, lineRate, windowSize } from "./ask-terminal.ts";
import { LineConsole } from "./line-console.ts";
import { Outlet } from "./outlet.ts";
import { TerminalConsole, type TerminalSize } from "./terminal-console.ts";

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

/** What serial lines answered, by their names; null: nothing. */
export type Answers = Map<string, TerminalSize | null>;

/**
 * Opens every console of the machine. One that cannot be opened is passed over. Serial lines that are not in `answers` are asked
 * whether there is a terminal, which takes up to a second, and put there.
 */
export function openConsoles(kernel: Kernel, answers: Answers): Consoles {
  const open = consoleNames(kernel).flatMap((name) => openOne(kernel, name));
  const unknown = open.filter(({ name }) => !VIRTUAL.test(name) && !answers.has(name));
  const sizes = askTerminals(
    kernel,
    unknown.map(({ fd }) => fd),
  );
  for (const { name, fd } of unknown) answers.set(name, sizes.get(fd) ?? null);
  const consoles: Consoles = { terminals: [], lines: [] };
  for (const { name, path, fd } of open) {
    const isVirtual = VIRTUAL.test(name);
    const outlet = new Outlet(kernel, path, fd, isVirtual ? VIRTUAL_RATE : lineRate(kernel, fd) * SHARE);
    const size = isVirtual ? windowSize(kernel, fd) : (answers.get(name) ?? null);
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
