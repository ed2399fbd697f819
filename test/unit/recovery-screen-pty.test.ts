/** A recovery's screen on real terminals: the kernel's pty with its line discipline, and a terminal behind it that answers. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { NOTHING_SHOWN, screenLines } from "../../boot/recovery/screen-text.ts";
import { IOCTL, O } from "../../init/kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError, type OpenOptions, type Path } from "../../init/kernel/kernel.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { RecoveryScreen } from "../../init/recovery/screen.ts";
import { Terminal } from "../samples/terminal.ts";

const [TIOCSPTLCK, TIOCGPTN, TIOCSWINSZ] = [0x40045431, 0x80045430, 0x5414];

function word(value = 0): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(new ArrayBuffer(4));
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}

/** Both ends of a pty: the machine writes to `path`, and what arrives at the other end is the terminal's. */
class Line {
  readonly #kernel = linuxKernel();
  readonly #master: Descriptor;
  readonly path: string;
  /** All that arrived. */
  received = "";

  constructor(readonly terminal: Terminal | null) {
    this.#master = this.#kernel.open("/dev/ptmx", O.RDWR | O.NOCTTY | O.NONBLOCK);
    this.#kernel.ioctl(this.#master, TIOCSPTLCK, word(0));
    const number = word();
    this.#kernel.ioctl(this.#master, TIOCGPTN, number);
    this.path = `/dev/pts/${new DataView(number.buffer).getInt32(0, true)}`;
  }

  resize(columns: number, rows: number): void {
    const winsize = new Uint8Array(new ArrayBuffer(8));
    new DataView(winsize.buffer).setUint16(0, rows, true);
    new DataView(winsize.buffer).setUint16(2, columns, true);
    this.#kernel.ioctl(this.#master, TIOCSWINSZ, winsize);
  }

  type(text: string): void {
    this.#kernel.write(this.#master, new TextEncoder().encode(text), null);
  }

  /** Hands on what arrived, and answers. */
  pump(): void {
    for (;;) {
      let text: string;
      try {
        text = new TextDecoder().decode(this.#kernel.read(this.#master, 4096, null));
      } catch (error) {
        // EIO: nobody has the other end open.
        if (error instanceof KernelError && ["EAGAIN", "EIO"].includes(error.code)) return;
        throw error;
      }
      if (text === "") return;
      this.received += text;
      const answer = this.terminal?.feed(text) ?? "";
      if (answer !== "") this.type(answer);
    }
  }

  close(): void {
    this.#kernel.close(this.#master);
  }
}

/** The machine's kernel, with these lines as its consoles, and time that is the test's. */
class Machine {
  readonly directory = mkdtempSync(join(tmpdir(), "slipway-screen-"));
  readonly kernel: Kernel;
  bootMs = 1000;

  constructor(readonly consoles: Record<string, Line>) {
    const real = linuxKernel();
    writeFileSync(join(this.directory, "active"), `${Object.keys(consoles).join(" ")}\n`);
    const places = new Map([["/sys/class/tty/console/active", join(this.directory, "active")]]);
    for (const [name, line] of Object.entries(consoles)) places.set(`/dev/${name}`, line.path);
    const place = (path: Path): Path => {
      const text = String(path);
      return places.get(text) ?? (text.startsWith("/run/slipway") || text === "/dev/kmsg" ? this.directory + text : path);
    };
    this.kernel = Object.assign(Object.create(real), {
      open: (path: Path, flags: number, options?: OpenOptions) => real.open(place(path), flags, options),
      makeDirectory: (path: Path, mode: number) =>
        real.makeDirectory(path === "/run" ? `${this.directory}/run` : place(path), mode),
      rename: (from: Path, to: Path) => real.rename(place(from), place(to)),
      now: () => ({ bootMs: this.bootMs, unixMs: 0 }),
      poll: (fds: Descriptor[], timeoutMs: number) => {
        for (const line of Object.values(consoles)) line.pump();
        const ready = real.poll(fds, 0);
        if (ready.length === 0) this.bootMs += timeoutMs;
        return ready;
      },
    });
  }

  pass(screen: RecoveryScreen, seconds: number): void {
    for (let second = 0; second < seconds; second++) {
      this.bootMs += 1000;
      screen.refresh();
      for (const line of Object.values(this.consoles)) line.pump();
    }
  }

  close(): void {
    for (const line of Object.values(this.consoles)) line.close();
    rmSync(this.directory, { recursive: true });
  }
}

function termios(path: string): string {
  const kernel = linuxKernel();
  const fd = kernel.open(path, O.RDWR | O.NOCTTY | O.NONBLOCK);
  const bytes = new Uint8Array(new ArrayBuffer(36));
  kernel.ioctl(fd, IOCTL.TCGETS, bytes);
  kernel.close(fd);
  return bytes.toHex();
}

const slots = [{ slot: "a", reason: "damaged: no footer" }];

test("a serial line with a terminal gets a screen of the terminal's size, and its mode back", () => {
  const line = new Line(new Terminal(100, 30));
  const held = linuxKernel().open(line.path, O.RDWR | O.NOCTTY | O.NONBLOCK);
  const before = termios(line.path);
  const machine = new Machine({ ttyS0: line });
  const screen = new RecoveryScreen(machine.kernel);
  screen.show({ slots, trying: "repair of slot a" });
  assert.is(termios(line.path), before);
  machine.pass(screen, 1);
  const state = { ...NOTHING_SHOWN, slots, trying: "repair of slot a" };
  assert.equal(line.terminal?.text, screenLines(state, [], 100, 30));
  assert.is(line.terminal?.cursorVisible, false);
  screen.show({ trying: null, nextAttemptSeconds: 65 });
  screen.say("nothing was found");
  machine.pass(screen, 5);
  assert.equal(
    line.terminal?.text,
    screenLines({ ...state, trying: null, nextAttemptSeconds: 60 }, ["nothing was found"], 100, 30),
    "the screen follows, and nothing of the former one is left",
  );
  screen.end();
  line.pump();
  assert.is(line.terminal?.cursorVisible, true);
  assert.is(line.terminal?.column, 0);
  assert.is(line.terminal?.row, line.terminal?.text.length, "what comes goes on below");
  assert.is(termios(line.path), before);
  linuxKernel().close(held);
  machine.close();
});

test("somebody who types meanwhile is no terminal's answer, and disturbs none", () => {
  const typed = new Line(null);
  const answered = new Line(new Terminal(80, 24));
  const machine = new Machine({ ttyS0: typed, ttyS1: answered });
  const screen = new RecoveryScreen(machine.kernel);
  // Held open, or the typed characters would be gone before anybody asks.
  const held = [typed, answered].map((line) => linuxKernel().open(line.path, O.RDWR | O.NOCTTY | O.NONBLOCK));
  typed.type("root\n\x1b[A\x1b[24R");
  answered.type("hello\x1b[");
  screen.show({ slots });
  screen.say("one");
  machine.pass(screen, 2);
  assert.match(typed.received, "slipway: slot a: damaged: no footer\r\nslipway: one\r\n");
  assert.equal(answered.terminal?.text, screenLines({ ...NOTHING_SHOWN, slots }, ["one"], 80, 24));
  screen.end();
  for (const fd of held) linuxKernel().close(fd);
  machine.close();
});

test("a virtual terminal is drawn on without asking, in the size that it has", () => {
  const line = new Line(new Terminal(60, 10));
  line.resize(60, 10);
  const machine = new Machine({ tty0: line });
  line.terminal?.feed("old text of the boot\r\n".repeat(12));
  const screen = new RecoveryScreen(machine.kernel);
  screen.show({ slots });
  machine.pass(screen, 1);
  assert.not.match(line.received, "\x1b[6n");
  assert.equal(line.terminal?.text, screenLines({ ...NOTHING_SHOWN, slots }, [], 60, 10));
  machine.close();
});

test("a line that nobody reads holds nothing up, and shows the present once it is read", () => {
  const stuck = new Line(new Terminal(80, 24));
  const machine = new Machine({ tty0: stuck });
  stuck.resize(80, 24);
  const screen = new RecoveryScreen(machine.kernel);
  // More than a pty takes while nobody reads it.
  for (let count = 0; count < 400; count++) {
    machine.bootMs += 1000;
    screen.show({
      trying: `${count} ${"x".repeat(70)}`,
      slots: Array.from({ length: 15 }, (_, slot) => ({ slot: `s${slot}`, reason: `${count}` })),
    });
  }
  screen.show({ slots, trying: "repair of slot a" });
  stuck.pump();
  machine.pass(screen, 4);
  assert.equal(stuck.terminal?.text, screenLines({ ...NOTHING_SHOWN, slots, trying: "repair of slot a" }, [], 80, 24));
  screen.end();
  machine.close();
});

test("what programs read is there while it goes on", () => {
  const machine = new Machine({ ttyS0: new Line(null) });
  const screen = new RecoveryScreen(machine.kernel);
  screen.show({ slots });
  const path = join(machine.directory, "run/slipway/recovery.json");
  assert.equal(JSON.parse(readFileSync(path, "utf8")).slots, slots);
  screen.end();
  assert.is(JSON.parse(readFileSync(path, "utf8")).active, false);
  machine.close();
});

test.run();
