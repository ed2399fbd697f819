/** `npm run vm`: the Debian of the demo in a virtual machine, at its serial console or unattended. */
import { checkGuestArchitecture, consoleWord } from "../qemu/architecture.ts";
import { demoMachine } from "../qemu/demo-machine.ts";
import { throwAwayCopy } from "../qemu/disks.ts";
import { type Machine, startMachine } from "../qemu/machine.ts";

const usage = `npm run vm -- [--arch ARCHITECTURE] [--append WORDS] [--expect TEXT [--timeout SECONDS]]
  --arch             x86-64 or arm64; default this machine's
  --append WORDS     goes to the kernel's command line as it is (--append=WORDS too)
  --expect TEXT      boots unattended, prints the console, and ends when TEXT appeared on it
  --timeout SECONDS  counted from QEMU's start, default 120
The machine works on a copy of its disk: what it wrote is gone when it ends.
Without --expect the terminal is the machine's serial console; Ctrl-] ends the machine.
Exit codes: 0 TEXT appeared (or the console was left), 1 it did not, 2 wrong usage.`;

interface Options {
  append: string;
  expect: string | null;
  seconds: number;
}

class Usage extends Error {}

/** Values may begin with a dash, which node:util's parseArgs refuses. */
function parse(words: string[]): Options {
  const given: Record<string, string[]> = { "--arch": [], "--append": [], "--expect": [], "--timeout": [] };
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const name = word.split("=", 1)[0] ?? word;
    const values = given[name];
    if (!values) throw new Usage(`no such option: ${word}`);
    const value = word === name ? rest.shift() : word.slice(name.length + 1);
    if (value === undefined) throw new Usage(`${name} needs a value`);
    values.push(value);
  }
  const [append = [], expect = [], timeout = []] = [given["--append"], given["--expect"], given["--timeout"]];
  const arch = given["--arch"] ?? [];
  if (Math.max(arch.length, expect.length, timeout.length) > 1)
    throw new Usage("--arch, --expect and --timeout can be given once");
  try {
    checkGuestArchitecture(arch[0]);
  } catch (error) {
    throw new Usage(error instanceof Error ? error.message : String(error));
  }
  if (expect[0] === "") throw new Usage("--expect needs a text that is not empty");
  if (timeout.length > 0 && expect.length === 0) throw new Usage("--timeout belongs to --expect");
  const seconds = Number(timeout[0] ?? "120");
  if (!(seconds > 0 && seconds <= 86_400) || timeout[0]?.trim() === "")
    throw new Usage(`--timeout takes seconds from 1 to 86400, got "${timeout[0]}"`);
  return { append: append.join(" "), expect: expect[0] ?? null, seconds };
}

/** A message of our own: on standard error, and without the text that is waited for, lest somebody finds it there. */
function say(message: string, options: Options | null): void {
  if (options?.expect && message.includes(options.expect)) return;
  console.error(message);
}

async function unattended(machine: Machine, text: string, options: Options): Promise<number> {
  const seen = await machine.expect(text).then(
    () => true,
    () => false,
  );
  const { ms } = machine;
  const end = await machine.cutPower();
  if (seen) return 0;
  const ended = ms < options.seconds * 1000 ? `the machine ended (${end.reason}) ` : "";
  say(`\nnpm run vm: ${ended}after ${(ms / 1000).toFixed(1)} s without it; the log is ${machine.log}`, options);
  return 1;
}

async function interactive(machine: Machine): Promise<number> {
  const terminal = process.stdin;
  if (terminal.isTTY) terminal.setRawMode(true);
  terminal.on("data", (bytes: Buffer) => {
    if (bytes.includes(0x1d)) machine.cutPower();
    else machine.send(bytes);
  });
  const end = await machine.exited;
  if (terminal.isTTY) terminal.setRawMode(false);
  terminal.pause();
  console.error(`\nnpm run vm: the machine ended (${end.reason})`);
  return end.code === 0 || end.reason === "killed" ? 0 : 1;
}

async function main(): Promise<number> {
  let options: Options | null = null;
  try {
    if (process.argv.includes("--help")) {
      console.log(usage);
      return 0;
    }
    options = parse(process.argv.slice(2));
    const made = await demoMachine((step) => say(step, options));
    if (!options.expect) console.error("Ctrl-] ends the machine.");
    const machine = await startMachine({
      name: "vm",
      kernel: made.kernel,
      initrd: made.initrd,
      append: `${consoleWord()} ${options.append}`.trim(),
      memoryMiB: 768,
      disks: [{ file: throwAwayCopy(made.disk) }],
      expectPanic: true,
      timeoutMs: options.expect ? options.seconds * 1000 : 2 ** 31 - 1,
      onOutput: (bytes) => process.stdout.write(bytes),
    });
    process.stdout.on("error", () => machine.cutPower());
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => machine.cutPower());
    return options.expect ? await unattended(machine, options.expect, options) : await interactive(machine);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    say(`npm run vm: ${message}${error instanceof Usage ? `\n${usage}` : ""}`, options);
    return error instanceof Usage ? 2 : 1;
  }
}

process.exit(await main());
