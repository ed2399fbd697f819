import { O, RLIMIT, SIGNAL } from "./constants.ts";
import type { Clocks, Descriptor, EndedChild, Kernel, Path } from "./kernel.ts";
import { type MachineDescription, MemoryMachine } from "./memory-machine.ts";
import { Errno, walkEntries } from "./memory-nodes.ts";
import { plant, type Tree } from "./memory-tree.ts";
import { RecordingDevices } from "./recording-devices.ts";
import type { Describe } from "./recording-files.ts";
import { Ended, type FailureRule, Script } from "./recording-script.ts";
import { environmentText, listText, octal, quote } from "./recording-trace.ts";

export interface RecordingOptions extends MachineDescription {
  /** Clock since kernel start at the beginning; 1000 if absent. */
  startMs?: number;
  /** Wall clock at the beginning, milliseconds since the epoch; 2026-01-01 if absent. */
  unixMs?: number;
  /** What each call costs; 1 if absent. */
  stepMs?: number;
}

/** A child the program starts: how it ends, and what it does meanwhile. */
export interface ChildRule {
  match: RegExp;
  afterMs?: number;
  exitCode?: number;
  signal?: number;
  run?: () => void;
}

/**
 * A machine in memory behind the kernel interface: files, disks, mounts, time and events, all deterministic. Every
 * effect leaves a line in {@link trace}; failures and power cuts happen where a test asks for them. exec and reboot
 * throw {@link Ended}, a power cut throws PowerCut, and so does every call after it.
 */
export class RecordingKernel extends RecordingDevices implements Kernel {
  protected readonly script: Script;
  protected readonly machine: MemoryMachine;
  readonly #children: ChildRule[] = [];
  readonly #ended: EndedChild[] = [];
  readonly #limits = new Map<number, { soft: bigint; hard: bigint }>();
  #nextPid = 2;

  constructor(options: RecordingOptions = {}) {
    super();
    const { startMs = 1000, unixMs = Date.UTC(2026, 0, 1), stepMs = 1 } = options;
    this.script = new Script({ startMs, unixMs, stepMs });
    this.machine = new MemoryMachine(options, () => BigInt(Math.floor(this.script.clocks.unixMs)) * 1_000_000n);
    const { files } = this.machine;
    for (let fd = 0; fd < 3; fd++) files.open("/dev/console", O.RDWR, {});
  }

  // What tests say and ask.

  /** Puts files below a directory of the running machine ("/sys", "/run"), unrecorded. */
  plant(below: string, tree: Tree): void {
    plant(this.machine.files.existing(below, undefined, true).entry, tree);
  }

  /** Runs `event` when the clock since kernel start reaches `bootMs`. */
  at(bootMs: number, event: () => void): void {
    this.script.at(bootMs, event);
  }

  failOn(rule: FailureRule): void {
    this.script.failOn(rule);
  }

  /**
   * Cuts the power in place of the effect after the first `effects`; of a write, `tornBytes` still reach the disk.
   * What was not synced is `kept` (everything had been written back) or `lost` (nothing had).
   */
  crashAfter(effects: number, tornBytes = 0, unsynced: "kept" | "lost" = "kept"): void {
    this.script.crashAfter(effects, tornBytes, () => {
      for (const device of this.machine.files.devices.values()) {
        if (unsynced === "lost") device.loseUnsynced();
        else device.sync();
      }
    });
  }

  /** How children whose command line matches end; the first rule that matches counts. Others end at once with 0. */
  onSpawn(rule: ChildRule): void {
    this.#children.push(rule);
  }

  /** Writes to places that match are shown in the trace as `describe` says. */
  describe(match: RegExp, describe: Describe): void {
    this.descriptions.push({ match, describe });
  }

  /** Forgets what led here: the trace and the count of effects begin anew. */
  beginTrace(): void {
    this.script.lines.length = 0;
    this.script.effects = 0;
  }

  /** Shows reads in the trace from now on. */
  recordReads(): void {
    this.script.reads = true;
  }

  /** One line an effect. */
  get trace(): string {
    return this.script.lines.map((line) => `${line}\n`).join("");
  }

  get clocks(): Clocks {
    return this.script.clocks;
  }

  get effects(): number {
    return this.script.effects;
  }

  /** How the program ended, whatever it made of the exception; null while it has not. */
  get end(): Script["end"] {
    return this.script.end;
  }

  /** The mount table, "/sysroot erofs /dev/vda2 ro,nodev". */
  mounts(): string[] {
    return this.machine.files.mounts.list();
  }

  /** Where every open descriptor leads, by number. */
  openDescriptors(): Map<Descriptor, string> {
    return new Map([...this.machine.files.descriptors.keys()].sort((a, b) => a - b).map((fd) => [fd, this.place(fd)]));
  }

  /** A file as text, unrecorded; null where there is none. The path is one of the process, so below its root. */
  peek(path: string): string | null {
    try {
      const { node } = this.machine.files.existing(path, undefined, true).entry;
      if (node.kind !== "file") return null;
      return node.produce ? node.produce() : Buffer.from(node.bytes.read(0, node.bytes.size)).toString();
    } catch (error) {
      if (error instanceof Errno) return null;
      throw error;
    }
  }

  /** Paths below a directory, unrecorded, mounts not entered. */
  list(path: string): string[] {
    const { files } = this.machine;
    const place = files.existing(path, undefined, true);
    return [...walkEntries(place.entry)].map((entry) => files.mounts.path({ mount: place.mount, entry }));
  }

  // Processes

  spawn(program: string, args: string[], environment: Record<string, string>, stdio?: Descriptor): number {
    const output = stdio === undefined ? [] : [`stdio ${quote(this.place(stdio))}`];
    const rest = [listText(args), environmentText(environment), ...output];
    return this.run("spawn", "spawn", program, rest, true, () => {
      this.#requireProgram(program);
      const rule = this.#children.find(({ match }) => match.test([program, ...args.slice(1)].join(" ")));
      const pid = this.#nextPid++;
      rule?.run?.();
      const signal = rule?.signal ?? null;
      const ended: EndedChild = { pid, exitCode: signal === null ? (rule?.exitCode ?? 0) : null, signal };
      if (rule?.afterMs) this.script.at(this.script.clocks.bootMs + rule.afterMs, () => void this.#ended.push(ended));
      else this.#ended.push(ended);
      return pid;
    });
  }

  #requireProgram(program: Path): void {
    const { kind, mode } = this.machine.files.existing(program, undefined, true).entry.node;
    if (kind !== "file" || (mode & 0o111) === 0) throw new Errno("EACCES");
  }

  reap(): EndedChild | null {
    return this.run("reap", "wait", "children", [], false, () => this.#ended.shift() ?? null);
  }

  exec(program: Path, args: string[], environment: Record<string, string>): never {
    const path = this.text(program);
    return this.run("exec", "exec", path, [listText(args), environmentText(environment)], true, () => {
      this.#requireProgram(program);
      throw new Ended({ kind: "exec", program: path, args, environment });
    });
  }

  /** An effect on the process itself, which this kernel only writes down. */
  #note(name: "defaultSignal" | "privateMounts" | "newSession" | "catchCtrlAltDel", line: string): void {
    this.script.call({ name, subject: line, line, effect: true, body: () => {} });
  }

  defaultSignal(signal: number): void {
    const name = Object.entries(SIGNAL).find(([, number]) => number === signal)?.[0] ?? String(signal);
    this.#note("defaultSignal", `signal(${name}, default)`);
  }

  setLimit(resource: number, soft: bigint, hard: bigint): void {
    const body = (): void => void this.#limits.set(resource, { soft, hard });
    this.script.call({
      name: "setLimit",
      subject: `limit ${resource}`,
      line: `setrlimit(${limitName(resource)}, ${soft}, ${hard})`,
      effect: true,
      body,
    });
  }

  getLimit(resource: number): { soft: bigint; hard: bigint } {
    const body = (): { soft: bigint; hard: bigint } => this.#limits.get(resource) ?? { soft: 4096n, hard: 4096n };
    return this.script.call({
      name: "getLimit",
      subject: `limit ${resource}`,
      line: `getrlimit(${limitName(resource)})`,
      effect: false,
      body,
    });
  }

  closeOnExec(first: Descriptor): void {
    this.script.call({
      name: "closeOnExec",
      subject: "descriptors",
      line: `close-on-exec(${first} and up)`,
      effect: true,
      body: () => {},
    });
  }

  duplicate(fd: Descriptor, to: Descriptor): void {
    this.run("duplicate", "dup", this.place(fd), [`to ${to}`], true, () => {
      if (fd === to) throw new Errno("EINVAL");
      this.machine.files.descriptors.set(to, this.machine.files.descriptor(fd));
    });
  }

  umask(mask: number): number {
    const body = (): number => {
      const former = this.machine.files.umask;
      this.machine.files.umask = mask & 0o777;
      return former;
    };
    return this.script.call({ name: "umask", subject: "umask", line: `umask(${octal(mask)})`, effect: true, body });
  }

  changeDirectory(fd: Descriptor): void {
    this.run("changeDirectory", "chdir", this.place(fd), [], true, () => {
      const place = this.machine.files.place(fd);
      if (place.entry.node.kind !== "directory") throw new Errno("ENOTDIR");
      this.machine.files.workingDirectory = place;
    });
  }

  changeRoot(path: Path): void {
    this.run("changeRoot", "chroot", this.text(path), [], true, () => this.machine.changeRoot(path));
  }

  privateMounts(): void {
    this.#note("privateMounts", "unshare(mounts)");
  }

  newSession(): void {
    this.#note("newSession", "setsid()");
  }

  processId(): number {
    return 1;
  }

  // The machine

  now(): Clocks {
    return this.script.call({ name: "now", subject: "clock", line: "now()", effect: false, body: () => this.script.clocks });
  }

  setClock(unixMs: number): void {
    const line = `set-clock(${new Date(unixMs).toISOString()})`;
    this.script.call({ name: "setClock", subject: "clock", line, effect: true, body: () => this.script.setClock(unixMs) });
  }

  reboot(how: "restart" | "power-off" | "halt"): void {
    this.run("reboot", "reboot", how, [], true, () => {
      for (const device of this.machine.files.devices.values()) device.sync();
      throw new Ended({ kind: "reboot", how });
    });
  }

  catchCtrlAltDel(): void {
    this.#note("catchCtrlAltDel", "catch-ctrl-alt-del()");
  }
}

function limitName(resource: number): string {
  return Object.entries(RLIMIT).find(([, number]) => number === resource)?.[0] ?? String(resource);
}
