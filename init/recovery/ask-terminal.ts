/** Whether there is a terminal at the other end of a serial line, and of what size: it is asked. */
import { IOCTL } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import type { TerminalSize } from "./terminal-console.ts";

/** How long an answer is waited for, once a boot, milliseconds: a line that goes through a management board or a network is slow. */
const ANSWER_TIME = 1000;
/** What may arrive beside an answer, bytes: somebody types. */
const MOST_READ = 4096;

/** Saves the cursor, moves it as far as it goes, asks where it is (DSR 6, ECMA-48), and takes it back. */
const QUESTION = "\x1b7\x1b[999;999H\x1b[6n\x1b8";
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal's answer is one
const ANSWER = /\x1b\[(\d{1,4});(\d{1,4})R/;

const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };

/** struct termios, asm-generic/termbits.h: four words of flags, the line discipline, 19 control characters. */
const TERMIOS_LENGTH = 36;
const [INPUT_FLAGS, CONTROL_FLAGS, LOCAL_FLAGS, CONTROL_CHARACTERS] = [0, 8, 12, 17];
const [VTIME, VMIN] = [5, 6];
/** IGNBRK to IXON: what would change or swallow bytes that come in. */
const INPUT_CHANGES = 0o1 | 0o2 | 0o10 | 0o40 | 0o100 | 0o200 | 0o400 | 0o2000;
/** ISIG, ICANON, ECHO, ECHONL, IEXTEN. */
const LOCAL_CHANGES = 0o1 | 0o2 | 0o10 | 0o100 | 0o100000;
const CBAUD = 0o10017;
/** Of CBAUD: B1200 and so on, asm-generic/termbits-common.h. */
const BAUD: ReadonlyMap<number, number> = new Map([
  ...([
    [0o11, 1200],
    [0o12, 1800],
    [0o13, 2400],
    [0o14, 4800],
    [0o15, 9600],
    [0o16, 19200],
    [0o17, 38400],
  ] as const),
  ...([
    [0o10001, 57600],
    [0o10002, 115200],
    [0o10003, 230400],
    [0o10004, 460800],
    [0o10005, 500000],
  ] as const),
  ...([
    [0o10006, 576000],
    [0o10007, 921600],
    [0o10010, 1000000],
    [0o10011, 1152000],
    [0o10012, 1500000],
  ] as const),
]);
const SLOW_BAUD = 9600;

type Termios = Uint8Array<ArrayBuffer>;

/** Does what a line may refuse: null where it does. */
function ifPossible<Result>(work: () => Result): Result | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

function readTermios(kernel: Kernel, fd: Descriptor): Termios | null {
  const termios = new Uint8Array(new ArrayBuffer(TERMIOS_LENGTH));
  return ifPossible(() => kernel.ioctl(fd, IOCTL.TCGETS, termios)) === null ? null : termios;
}

function raw(termios: Termios): Termios {
  const changed = termios.slice();
  const view = new DataView(changed.buffer);
  view.setUint32(INPUT_FLAGS, view.getUint32(INPUT_FLAGS, true) & ~INPUT_CHANGES, true);
  view.setUint32(LOCAL_FLAGS, view.getUint32(LOCAL_FLAGS, true) & ~LOCAL_CHANGES, true);
  changed[CONTROL_CHARACTERS + VTIME] = 0;
  changed[CONTROL_CHARACTERS + VMIN] = 1;
  return changed;
}

/** Characters that the line carries a second; of one that tells no speed as few as a slow one does. */
export function lineRate(kernel: Kernel, fd: Descriptor): number {
  const termios = readTermios(kernel, fd);
  const speed = termios === null ? 0 : new DataView(termios.buffer).getUint32(CONTROL_FLAGS, true) & CBAUD;
  return (BAUD.get(speed) ?? SLOW_BAUD) / 10;
}

/** What the driver knows of the terminal's size (struct winsize); of a serial line it knows nothing. */
export function windowSize(kernel: Kernel, fd: Descriptor): TerminalSize {
  const winsize = new Uint8Array(new ArrayBuffer(8));
  if (ifPossible(() => kernel.ioctl(fd, IOCTL.TIOCGWINSZ, winsize)) === null) return DEFAULT_SIZE;
  const view = new DataView(winsize.buffer);
  return likelySize(view.getUint16(0, true), view.getUint16(2, true));
}

function likelySize(rows: number, columns: number): TerminalSize {
  const likely = rows >= 4 && columns >= 20;
  return likely ? { rows: Math.min(rows, 100), columns: Math.min(columns, 300) } : DEFAULT_SIZE;
}

/** The size that a terminal's answer tells; null where `text` holds none. */
export function answeredSize(text: string): TerminalSize | null {
  const [, rows, columns] = ANSWER.exec(text) ?? [];
  return rows === undefined || columns === undefined ? null : likelySize(Number(rows), Number(columns));
}

/**
 * Asks all lines at once. Waits for answers up to {@link ANSWER_TIME}; a line without one is in the result as null. `fds` are
 * open with O_NONBLOCK for reading and writing; their modes are left as they were.
 */
export function askTerminals(kernel: Kernel, fds: readonly Descriptor[]): Map<Descriptor, TerminalSize | null> {
  const modes = new Map(fds.map((fd) => [fd, readTermios(kernel, fd)]));
  const heard = new Map(fds.map((fd) => [fd, ""]));
  const sizes = () => new Map([...heard].map(([fd, text]) => [fd, answeredSize(text)]));
  try {
    const asked = fds.filter((fd) => ask(kernel, fd, modes.get(fd) ?? null));
    const until = kernel.now().bootMs + ANSWER_TIME;
    let waiting = asked;
    while (waiting.length > 0) {
      const left = until - kernel.now().bootMs;
      if (left <= 0) break;
      for (const fd of kernel.poll(waiting, left)) {
        const bytes = ifPossible(() => kernel.read(fd, MOST_READ, null));
        const text = bytes === null || bytes.length === 0 ? null : (heard.get(fd) ?? "") + String.fromCharCode(...bytes);
        if (text !== null) heard.set(fd, text);
        if (text === null || text.length >= MOST_READ || answeredSize(text) !== null)
          waiting = waiting.filter((other) => other !== fd);
      }
    }
    return sizes();
  } finally {
    for (const [fd, termios] of modes) if (termios !== null) ifPossible(() => kernel.ioctl(fd, IOCTL.TCSETS, termios));
  }
}

function ask(kernel: Kernel, fd: Descriptor, termios: Termios | null): boolean {
  if (termios === null) return false;
  return (
    ifPossible(() => {
      kernel.ioctl(fd, IOCTL.TCSETS, raw(termios));
      kernel.write(fd, new TextEncoder().encode(QUESTION), null);
    }) !== null
  );
}
