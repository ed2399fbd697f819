import { O } from "../constants.ts";
import type { Clocks, Descriptor, Kernel, RebootKind } from "../kernel.ts";
import type { Describe } from "./files.ts";
import { type MachineDescription, MemoryMachine } from "./memory-machine.ts";
import { Errno, walkEntries } from "./memory-nodes.ts";
import { plant, type Tree } from "./memory-tree.ts";
import { RecordingProcesses } from "./processes.ts";
import { Ended, type FailureRule, Script } from "./script.ts";
import { quote } from "./trace.ts";

export interface RecordingOptions extends MachineDescription {
  /** Clock since kernel start at the beginning; 1000 if absent. */
  startMs?: number;
  /** Wall clock at the beginning, milliseconds since the epoch; 2026-01-01 if absent. */
  unixMs?: number;
  /** What each call costs; 1 if absent. */
  stepMs?: number;
}

/**
 * A machine in memory behind the kernel interface: files, disks, mounts, time and events, all deterministic. Every
 * effect leaves a line in {@link trace}; failures and power cuts happen where a test asks for them. exec and reboot
 * throw {@link Ended}, a power cut throws PowerCut, and so does every call after it.
 */
export class RecordingKernel extends RecordingProcesses implements Kernel {
  protected readonly script: Script;
  protected readonly machine: MemoryMachine;

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
   * What was not synced is `kept` (everything had been written back), `lost` (nothing had), or `mixed`: half of the sectors of
   * each disk had, others for every number of effects.
   */
  crashAfter(effects: number, tornBytes = 0, unsynced: "kept" | "lost" | "mixed" = "kept"): void {
    this.script.crashAfter(effects, tornBytes, () => {
      const random = coin(effects);
      for (const device of this.machine.files.devices.values()) {
        if (unsynced === "kept") device.sync();
        else device.loseUnsynced(unsynced === "mixed" ? random : undefined);
      }
    });
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

  // The machine

  now(): Clocks {
    return this.script.call({ name: "now", subject: "clock", line: "now()", effect: false, body: () => this.script.clocks });
  }

  setClock(unixMs: number): void {
    const line = `set-clock(${new Date(unixMs).toISOString()})`;
    this.script.call({ name: "setClock", subject: "clock", line, effect: true, body: () => this.script.setClock(unixMs) });
  }

  /** What {@link loadKexec} took: paths; null before. */
  loadedKexec: { kernel: string; initrd: string | null; commandLine: string } | null = null;

  loadKexec(kernel: Descriptor, initrd: Descriptor | null, commandLine: string): void {
    const loaded = { kernel: this.place(kernel), initrd: initrd === null ? null : this.place(initrd), commandLine };
    this.run("loadKexec", "load-kexec", loaded.kernel, [loaded.initrd ?? "no initrd", quote(commandLine)], true, () => {
      for (const fd of [kernel, ...(initrd === null ? [] : [initrd])]) {
        if (this.machine.files.descriptor(fd).node?.kind !== "file") throw new Errno("EINVAL");
      }
      this.loadedKexec = loaded;
    });
  }

  unloadKexec(): void {
    this.run("unloadKexec", "unload-kexec", "", [], true, () => {
      this.loadedKexec = null;
    });
  }

  reboot(how: RebootKind, argument?: string): void {
    this.run("reboot", "reboot", how, argument === undefined ? [] : [JSON.stringify(argument)], true, () => {
      if (how === "kexec" && this.loadedKexec === null) throw new Errno("EINVAL");
      for (const device of this.machine.files.devices.values()) device.sync();
      throw new Ended({ kind: "reboot", how, ...(argument === undefined ? {} : { argument }) });
    });
  }

  setCtrlAltDel(does: "signal" | "restart"): void {
    this.note("setCtrlAltDel", `ctrl-alt-del("${does}")`);
  }
}

/** Heads or tails, the same ones for the same seed: xorshift32. */
function coin(seed: number): () => boolean {
  let state = (seed + 1) * 0x9e3779b1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state & 0x10000) !== 0;
  };
}
