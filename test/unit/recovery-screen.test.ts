/** How a recovery's screen treats consoles that are no terminals, are stuck, or are not there; and what programs read. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Progress } from "../../boot/converge/progress-text.ts";
import { device as memoryDevice } from "../../init/kernel/recording/memory-tree.ts";
import { RecordingKernel } from "../../init/kernel/recording/recording.ts";
import { PowerCut } from "../../init/kernel/recording/script.ts";
import { LineConsole } from "../../init/recovery/line-console.ts";
import { Outlet } from "../../init/recovery/outlet.ts";
import { RecoveryScreen } from "../../init/recovery/screen.ts";
import { TerminalConsole } from "../../init/recovery/terminal-console.ts";
import { Terminal } from "../samples/terminal.ts";

function machine(active: string, devices = active): RecordingKernel {
  const kernel = new RecordingKernel({ stepMs: 0, initramfs: { run: {} } });
  const names = devices.split(" ").filter((name) => name !== "");
  kernel.plant("/dev", Object.fromEntries(names.map((name, index) => [name, memoryDevice("character", 4, 64 + index)])));
  kernel.plant("/dev", { kmsg: memoryDevice("character", 1, 11) });
  kernel.plant("/sys", { "class/tty/console/active": `${active}\n` });
  kernel.describe(/^\/dev\/(tty|console)/, (bytes) => JSON.stringify(new TextDecoder().decode(bytes)));
  kernel.beginTrace();
  return kernel;
}

/** What was written to `path`, in pieces. */
function written(kernel: RecordingKernel, path: string): string[] {
  return kernel.trace
    .split("\n")
    .filter((line) => line.startsWith(`write("${path}", `) && line.endsWith(")"))
    .map((line) => String(JSON.parse(line.slice(`write("${path}", `.length, -1))));
}

const QUESTION = "\x1b7\x1b[999;999H\x1b[6n\x1b8";
const progress = (done: number): Progress => ({
  phase: "write",
  done,
  total: 1000,
  there: 0,
  arrived: { zero: 0, target: 0, donor: 0, source: done },
  network: done * 4096,
  rate: 4096 * 100,
});

function wait(kernel: RecordingKernel, screen: RecoveryScreen, seconds: number, each: (second: number) => void = () => {}): void {
  for (let second = 0; second < seconds; second++) {
    kernel.poll([], 1000);
    each(second);
    screen.refresh();
  }
}

test("a serial line that answers nothing is asked once, and then gets plain lines", () => {
  const kernel = machine("ttyS0");
  const screen = new RecoveryScreen(kernel);
  screen.show({ slots: [{ slot: "a", reason: "no footer" }] });
  screen.show({ trying: "repair of slot a" });
  screen.say("mirror https://u:p@m.example/x?key=1: connection refused");
  wait(kernel, screen, 12, (second) => screen.show({ progress: progress(second * 100) }));
  screen.show({ progress: null, trying: null, nextAttemptSeconds: 65 });
  wait(kernel, screen, 40);
  screen.end();
  assert.equal(written(kernel, "/dev/ttyS0"), [
    QUESTION,
    "slipway: no slot of this machine boots\n",
    "slipway: slot a: no footer\n",
    "slipway: repair of slot a\n",
    "slipway: mirror https://...@m.example/x?...: connection refused\n",
    "slipway: writing 40 %, 1.6 MiB of 3.9 MiB, 400 KiB/s, network 1.6 MiB, 0:06 left\n",
    "slipway: writing 90 %, 3.5 MiB of 3.9 MiB, 400 KiB/s, network 3.5 MiB, 0:01 left\n",
    "slipway: next attempt in 1:05\n",
    "slipway: next attempt in 0:35\n",
  ]);
});

test("nothing of it stays open, and a further recovery begins a screen of its own", () => {
  const kernel = machine("tty0 ttyS0 ttyAMA0");
  const before = [...kernel.openDescriptors()];
  const screen = new RecoveryScreen(kernel);
  screen.end();
  assert.is(kernel.trace, "", "nothing was begun, so nothing is ended");
  screen.show({ trying: "safe mode of slot a" });
  screen.end();
  assert.equal([...kernel.openDescriptors()], before);
  screen.end();
  screen.say("again");
  const all = written(kernel, "/dev/ttyS0");
  assert.is(all.filter((text) => text.includes("no slot of this machine boots")).length, 2);
  assert.is(all.filter((text) => text === QUESTION).length, 1, "a line is asked once");
  screen.end();
  assert.equal([...kernel.openDescriptors()], before);
});

test("consoles that are not there, refuse everything, or have names that are none, are passed over", () => {
  const kernel = machine("tty0 ttyS0 ttyS1 ../../etc/passwd netcon0", "tty0 ttyS0 ttyS1");
  kernel.failOn({ call: "open", match: /ttyS1/, code: "EIO" });
  kernel.failOn({ call: "ioctl", code: "ENOTTY" });
  kernel.failOn({ call: "write", match: /"\/dev\/ttyS0"/, code: "EIO" });
  kernel.failOn({ call: "open", match: /recovery\.json/, code: "ENOSPC" });
  const screen = new RecoveryScreen(kernel);
  screen.show({ trying: "repair of slot a" });
  wait(kernel, screen, 30, () => screen.say("something"));
  screen.end();
  assert.not.match(kernel.trace, "passwd");
  assert.ok(written(kernel, "/dev/tty0").some((text) => text.includes("repair of slot a")));
});

test("a machine that names no console has one all the same", () => {
  const kernel = machine("", "console");
  const screen = new RecoveryScreen(kernel);
  screen.say("hello");
  assert.ok(written(kernel, "/dev/console").includes("slipway: hello\n"));
});

test("a line that hung up is opened again after a while", () => {
  const kernel = machine("ttyS0");
  const screen = new RecoveryScreen(kernel);
  screen.say("one");
  kernel.failOn({ call: "write", match: /two/, code: "EIO", times: 1 });
  screen.say("two");
  screen.say("three");
  assert.not.ok(written(kernel, "/dev/ttyS0").includes("slipway: three\n"));
  wait(kernel, screen, 11);
  const [, , , two, three] = written(kernel, "/dev/ttyS0");
  assert.equal([two, three], ["\nslipway: two\n", "slipway: three\n"]);
});

test("a stuck line is left alone for a while, and what it cannot take is left out, which it says", () => {
  const kernel = machine("ttyS0");
  const screen = new RecoveryScreen(kernel);
  screen.say("first");
  kernel.failOn({ call: "write", match: /"\/dev\/ttyS0"/, code: "EAGAIN", times: 3 });
  for (let line = 0; line < 30; line++) screen.say(`line ${line}`);
  const refused = () => kernel.trace.split("\n").filter((line) => line.endsWith("= EAGAIN")).length;
  assert.is(refused(), 1, "thirty lines knock once");
  wait(kernel, screen, 8);
  assert.is(refused(), 3);
  const lines = written(kernel, "/dev/ttyS0").slice(3);
  assert.equal(
    [lines[0], lines[1], lines.at(-1)],
    ["\nslipway: 14 lines left out\n", "slipway: line 14\n", "slipway: line 29\n"],
  );
});

test("closing a line that takes nothing does not wait for it: what is left is thrown away", () => {
  const kernel = machine("ttyS0 ttyS1");
  const screen = new RecoveryScreen(kernel);
  screen.say("hello");
  kernel.onIoctl(0x5411, (path, argument) => {
    if (path === "/dev/ttyS0" && typeof argument !== "number") new DataView(argument.buffer).setInt32(0, 17, true);
    return 0;
  });
  const began = kernel.clocks.bootMs;
  screen.end();
  assert.ok(kernel.clocks.bootMs - began < 1000);
  const flushed = kernel.trace.split("\n").filter((line) => line.includes("TCFLSH"));
  assert.equal(flushed, ['ioctl("/dev/ttyS0", TCFLSH, 1)']);
});

/** A line of 9600 baud whose other end is a terminal, for as long as `seconds`. */
function slowTerminal(seconds: number, lines: (second: number) => string[]) {
  const kernel = machine("ttyS0");
  const outlet = new Outlet(kernel, "/dev/ttyS0", kernel.open("/dev/ttyS0", 1), 480);
  const shown = new TerminalConsole(outlet, { columns: 80, rows: 24 });
  const terminal = new Terminal(80, 24);
  const perSecond: number[] = [];
  for (let second = 0; second < seconds; second++) {
    kernel.beginTrace();
    for (let part = 0; part < 5; part++) {
      shown.draw(lines(second), kernel.clocks.bootMs);
      kernel.poll([], 200);
    }
    const text = written(kernel, "/dev/ttyS0").join("");
    perSecond.push(text.length);
    terminal.feed(text);
  }
  return { perSecond, terminal };
}

test("a slow terminal is not flooded, and shows all in the end", () => {
  const page = (second: number) => Array.from({ length: 24 }, (_, row) => `${second} ${row} ${"x".repeat(60)}`);
  const { perSecond, terminal } = slowTerminal(20, (second) => page(Math.min(second, 10)));
  let sent = 0;
  for (const [second, bytes] of perSecond.entries()) {
    sent += bytes;
    assert.ok(
      sent <= 2000 + 480 * (second + 1),
      `${sent} bytes in ${second + 1} s: more than the tty layer holds and the line carries`,
    );
  }
  assert.equal(terminal.lines, page(10));
});

test("a screen that does not change costs next to nothing", () => {
  const { perSecond } = slowTerminal(25, () => ["one", "two"]);
  assert.equal(
    perSecond.slice(1),
    Array.from({ length: 24 }, () => 0),
  );
});

test("after a text that was cut off within, nothing of the screen is taken for what it should be", () => {
  const kernel = machine("ttyS0");
  const outlet = new Outlet(kernel, "/dev/ttyS0", kernel.open("/dev/ttyS0", 1), 10_000);
  const shown = new TerminalConsole(outlet, { columns: 80, rows: 24 });
  shown.draw(["one", "two"], 0);
  kernel.failOn({ call: "write", code: "EAGAIN", times: 1 });
  shown.draw(["one", "three"], 1000);
  shown.draw(["one", "two"], 5000);
  const [first, again] = written(kernel, "/dev/ttyS0");
  assert.match(first ?? "", "one");
  assert.is(again, first);
});

test("a line for people is never cut in two by the budget", () => {
  const kernel = machine("ttyS0");
  const shown = new LineConsole(new Outlet(kernel, "/dev/ttyS0", kernel.open("/dev/ttyS0", 1), 100));
  for (let line = 0; line < 100; line++) {
    shown.say(`${line} ${"x".repeat(70)}`, kernel.clocks.bootMs);
    kernel.poll([], 100);
  }
  for (const text of written(kernel, "/dev/ttyS0")) assert.match(text, /^(\d+ x{70}|slipway: \d+ lines left out)\n$/);
});

test("lines that the kernel puts through a drawn screen are drawn over", () => {
  const kernel = machine("tty0");
  const screen = new RecoveryScreen(kernel);
  screen.show({ trying: "repair of slot a" });
  wait(kernel, screen, 3);
  const quiet = written(kernel, "/dev/tty0").length;
  const records = ["3,900,1,-;I/O error\n", "7,901,1,-;debugging\n"].map((text) => new TextEncoder().encode(text));
  const read = kernel.read.bind(kernel);
  kernel.read = (fd, length, offset) => {
    const record = kernel.openDescriptors().get(fd) === "/dev/kmsg" ? records.pop() : undefined;
    return record === undefined ? read(fd, length, offset) : new Uint8Array(record);
  };
  records.shift();
  wait(kernel, screen, 1);
  assert.is(written(kernel, "/dev/tty0").length, quiet, "what does not reach the consoles garbles nothing");
  records.push(new TextEncoder().encode("3,902,1,-;I/O error\n"));
  wait(kernel, screen, 1);
  assert.is(written(kernel, "/dev/tty0").length, quiet + 1);
});

test("what programs read: whole at any instant, once a second at most, and over when it is over", () => {
  const kernel = machine("ttyS0");
  const screen = new RecoveryScreen(kernel);
  const read = (): Record<string, unknown> => JSON.parse(kernel.peek("/run/slipway/recovery.json") ?? "{}");
  screen.show({ title: "asked for", slots: [{ slot: "a", reason: "from http://u:p@x/?k" }], addresses: ["192.0.2.1/24"] });
  screen.say("found nothing at http://t0ken@y/");
  kernel.poll([], 1100);
  screen.show({ trying: "reinstall of slot a", progress: progress(500), nextAttemptSeconds: null });
  assert.equal(read(), {
    schema: 1,
    active: true,
    title: "asked for",
    slots: [{ slot: "a", reason: "from http://…@x/?…" }],
    trying: "reinstall of slot a",
    progress: {
      type: "progress",
      phase: "write",
      doneBytes: 500 * 4096,
      totalBytes: 1000 * 4096,
      networkBytes: 500 * 4096,
      sourceBytes: 500 * 4096,
      donorBytes: 0,
      targetBytes: 0,
      zeroBytes: 0,
      thereBytes: 0,
      bytesPerSecond: 409600,
      secondsLeft: 5,
    },
    addresses: ["192.0.2.1/24"],
    nextAttemptSeconds: null,
    said: ["found nothing at http://…@y/"],
  });
  kernel.beginTrace();
  for (let step = 0; step < 100; step++) {
    kernel.poll([], 20);
    screen.show({ progress: progress(500 + step) });
  }
  const renames = kernel.trace.split("\n").filter((line) => line.startsWith("rename("));
  assert.ok(renames.length >= 1 && renames.length <= 3, `${renames.length} writes in two seconds`);
  assert.not.match(kernel.trace, /open\("\/run\/slipway\/recovery\.json"/);
  screen.end();
  assert.is(read().active, false);
});

test("a power cut goes through it", () => {
  const kernel = machine("ttyS0");
  kernel.crashAfter(0);
  assert.throws(
    () => new RecoveryScreen(kernel).say("x"),
    (error: unknown) => error instanceof PowerCut,
  );
});

test.run();
