import { RLIMIT, SIGNAL } from "../constants.ts";
import type { Descriptor, EndedChild, Path } from "../kernel.ts";
import { RecordingDevices } from "./devices.ts";
import { Errno } from "./memory-nodes.ts";
import { Ended } from "./script.ts";
import { environmentText, listText, octal, quote } from "./trace.ts";

/** A child the program starts: how it ends, and what it does meanwhile. */
export interface ChildRule {
  match: RegExp;
  afterMs?: number;
  exitCode?: number;
  signal?: number;
  run?: () => void;
}

/** The part of the recording kernel that deals with the process itself and its children. */
export abstract class RecordingProcesses extends RecordingDevices {
  readonly #children: ChildRule[] = [];
  readonly #ended: EndedChild[] = [];
  readonly #limits = new Map<number, { soft: bigint; hard: bigint }>();
  #nextPid = 2;

  /** How children whose command line matches end; the first rule that matches counts. Others end at once with 0. */
  onSpawn(rule: ChildRule): void {
    this.#children.push(rule);
  }

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

  /** Of a child that has not ended. */
  kill(pid: number, signal: number): void {
    const body = (): void => void this.#ended.push({ pid, exitCode: null, signal });
    this.script.call({ name: "kill", subject: `process ${pid}`, line: `kill(${pid}, ${signal})`, effect: true, body });
  }

  exec(program: Path, args: string[], environment: Record<string, string>): never {
    const path = this.text(program);
    return this.run("exec", "exec", path, [listText(args), environmentText(environment)], true, () => {
      this.#requireProgram(program);
      throw new Ended({ kind: "exec", program: path, args, environment });
    });
  }

  /** An effect that this kernel only writes down. */
  protected note(
    name: "defaultSignal" | "privateMounts" | "setCtrlAltDel" | "addKey" | "lowerPriority" | "restorePriority",
    line: string,
  ): void {
    this.script.call({ name, subject: line, line, effect: true, body: () => {} });
  }

  defaultSignal(signal: number): void {
    const name = Object.entries(SIGNAL).find(([, number]) => number === signal)?.[0] ?? String(signal);
    this.note("defaultSignal", `signal(${name}, default)`);
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
    this.note("privateMounts", "unshare(mounts)");
  }

  processId(): number {
    return 1;
  }

  addKey(description: string, payload: Uint8Array): void {
    this.note("addKey", `add-key(${quote(description)}, ${payload.length} bytes)`);
  }

  lowerPriority(): void {
    this.note("lowerPriority", "nice(19), ionice(idle)");
  }
  restorePriority(): void {
    this.note("restorePriority", "nice(0), ionice(none)");
  }
}

function limitName(resource: number): string {
  return Object.entries(RLIMIT).find(([, number]) => number === resource)?.[0] ?? String(resource);
}
