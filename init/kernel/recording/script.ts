import { type Clocks, type EndedChild, type Kernel, KernelError, type RebootKind } from "../kernel.ts";
import { Errno } from "./memory-nodes.ts";

/** A method of the kernel interface. */
export type CallName = keyof Kernel & string;

/** System calls behind the methods that are not called alike; the names that {@link KernelError} tells. */
const SYSTEM_CALLS: Partial<Record<CallName, string>> = {
  open: "openat2",
  sync: "fsync",
  syncFilesystem: "syncfs",
  truncate: "ftruncate",
  allocate: "fallocate",
  seekData: "lseek",
  seekHole: "lseek",
  copyRange: "copy_file_range",
  status: "statx",
  statusAt: "statx",
  filesystemStatus: "fstatfs",
  readDirectory: "getdents64",
  readLink: "readlinkat",
  makeDirectory: "mkdirat",
  makeNode: "mknodat",
  makeSymlink: "symlinkat",
  makeHardLink: "linkat",
  rename: "renameat2",
  remove: "unlinkat",
  changeOwner: "fchownat",
  changeMode: "fchmod",
  changeTimes: "utimensat",
  listAttributes: "llistxattr",
  getAttribute: "lgetxattr",
  setAttribute: "lsetxattr",
  removeAttribute: "lremovexattr",
  unmount: "umount2",
  changePartition: "ioctl",
  loadModule: "finit_module",
  lock: "flock",
  openUevents: "socket",
  openSocket: "socket",
  bindSocket: "bind",
  setSocketOption: "setsockopt",
  filterSocket: "setsockopt",
  sendTo: "sendto",
  receive: "recvfrom",
  poll: "ppoll",
  reap: "wait4",
  exec: "execve",
  defaultSignal: "rt_sigaction",
  setLimit: "prlimit64",
  getLimit: "prlimit64",
  closeOnExec: "close_range",
  duplicate: "dup3",
  changeDirectory: "fchdir",
  changeRoot: "chroot",
  privateMounts: "unshare",
  processId: "getpid",
  addKey: "add_key",
  lowerPriority: "ioprio_set",
  restorePriority: "ioprio_set",
  now: "clock_gettime",
  setClock: "clock_settime",
  loadKexec: "kexec_file_load",
  unloadKexec: "kexec_file_load",
  setCtrlAltDel: "reboot",
};

export interface FailureRule {
  call: CallName;
  /** Looked for in the call as the trace shows it; every call of the method if absent. */
  match?: RegExp;
  /** "EIO" */
  code: string;
  /** How often; for ever if absent. */
  times?: number;
  /** How many matching calls succeed before; 0 if absent. */
  after?: number;
}

/** The power went. Not a KernelError: nothing in the program may catch it and go on. */
export class PowerCut extends Error {
  constructor(readonly effects: number) {
    super(`power cut after ${effects} effects`);
    this.name = "PowerCut";
  }
}

/** The program handed over, or the machine was restarted. */
export class Ended extends Error {
  constructor(
    readonly how:
      | { kind: "exec"; program: string; args: string[]; environment: Record<string, string> }
      | { kind: "reboot"; how: RebootKind; argument?: string },
  ) {
    super(how.kind === "exec" ? `executed ${how.program}` : `reboot ${how.how}`);
    this.name = "Ended";
  }
}

export interface Call<Result> {
  name: CallName;
  /** What a failure names. */
  subject: string;
  /** The call as a line of the trace. */
  line: string;
  /** Changes something, so that it belongs into every trace. */
  effect: boolean;
  body: () => Result;
  /** What of the call was done when the power went in its midst; for writes. */
  torn?: (length: number) => void;
  /** Shown behind the call. */
  result?: (value: Result) => string;
}

/** Calls by which programs ask whether something exists: their ENOENT or EEXIST changed nothing and is no news. */
const ASKING = new Set<CallName>(["open", "makeDirectory", "remove"]);
const ANSWERS = new Set(["ENOENT", "EEXIST"]);

/** Time, events, failures and the trace: everything about a call that does not depend on which call it is. */
export class Script {
  readonly lines: string[] = [];
  /** Shows reads too. */
  reads = false;
  effects = 0;
  #bootMs: number;
  #unixOffsetMs: number;
  readonly #stepMs: number;
  readonly #rules: (FailureRule & { seen: number; used: number })[] = [];
  #events: { atMs: number; run: () => void }[] = [];
  #cut: { after: number; tornBytes: number; then: () => void } | null = null;
  /** How the world ended; every later call throws it again, since nothing runs afterwards. */
  end: PowerCut | Ended | null = null;
  readonly children: (EndedChild & { atMs: number })[] = [];

  constructor(options: { startMs: number; unixMs: number; stepMs: number }) {
    this.#bootMs = options.startMs;
    this.#unixOffsetMs = options.unixMs - options.startMs;
    this.#stepMs = options.stepMs;
  }

  get clocks(): Clocks {
    return { bootMs: this.#bootMs, unixMs: this.#bootMs + this.#unixOffsetMs };
  }

  setClock(unixMs: number): void {
    this.#unixOffsetMs = unixMs - this.#bootMs;
  }

  at(bootMs: number, run: () => void): void {
    this.#events.push({ atMs: bootMs, run });
    this.#events.sort((left, right) => left.atMs - right.atMs);
  }

  failOn(rule: FailureRule): void {
    this.#rules.push({ ...rule, seen: 0, used: 0 });
  }

  /** `then` does to the machine what the cut does. */
  crashAfter(effects: number, tornBytes: number, then: () => void): void {
    this.#cut = { after: effects, tornBytes, then };
  }

  /** Lets time pass, with the events that fall into it. */
  advance(ms: number): void {
    const until = this.#bootMs + ms;
    for (let next = this.#events[0]; next && next.atMs <= until; next = this.#events[0]) {
      this.#events.shift();
      this.#bootMs = Math.max(this.#bootMs, next.atMs);
      next.run();
    }
    this.#bootMs = Math.max(this.#bootMs, until);
  }

  /** When the next event is due; null when none is. */
  get nextEventMs(): number | null {
    return this.#events[0]?.atMs ?? null;
  }

  call<Result>({ name, subject, line, effect, body, torn, result }: Call<Result>): Result {
    if (this.end) throw this.end;
    this.advance(this.#stepMs);
    if (effect && this.#cut && this.effects >= this.#cut.after) {
      this.end = new PowerCut(this.effects);
      if (torn && this.#cut.tornBytes > 0) torn(this.#cut.tornBytes);
      this.#cut.then();
      throw this.end;
    }
    const rule = this.#failing(name, line);
    try {
      if (rule) throw new Errno(rule.code);
      const value = body();
      if (effect) this.effects++;
      if (effect || this.reads) this.lines.push(result ? `${line} = ${result(value)}` : line);
      return value;
    } catch (error) {
      if (error instanceof Ended) {
        this.effects++;
        this.lines.push(line);
        this.end = error;
      }
      if (!(error instanceof Errno)) throw error;
      if (rule || this.reads || (effect && !(ASKING.has(name) && ANSWERS.has(error.code))))
        this.lines.push(`${line} = ${error.code}`);
      throw new KernelError(SYSTEM_CALLS[name] ?? name, subject, error.code);
    }
  }

  /** The rule that lets this call fail. */
  #failing(name: CallName, line: string): FailureRule | null {
    for (const rule of this.#rules) {
      if (rule.call !== name || !(rule.match?.test(line) ?? true)) continue;
      if (rule.seen++ < (rule.after ?? 0) || rule.used >= (rule.times ?? Number.POSITIVE_INFINITY)) continue;
      rule.used++;
      return rule;
    }
    return null;
  }
}
