import type { CommandLine } from "../../boot/kernel-command-line.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import type { ModuleLoader } from "../devices/modules.ts";
import { exists } from "../kernel/files.ts";
import type { Descriptor, Kernel } from "../kernel/kernel.ts";
import { Children } from "./children.ts";
import type { Log } from "./log.ts";
import { Timeline } from "./timeline.ts";
import type { Watchdog } from "./watchdog.ts";

/** In an initrd built with --debug. */
const BUSYBOX = "/runtime/usr/bin/busybox";

/** What all parts of one boot share: the kernel, what was declared, and what there is to tell afterwards. */
export class Launch {
  readonly warnings: string[] = [];
  /** What became of the state of the whole machine in this boot, whichever slot is tried: see {@link note}. */
  readonly stateNotes: string[] = [];
  readonly timeline: Timeline;
  readonly children: Children;
  watchdog: Watchdog | null = null;
  /** What else is to be done as often as the chores: cheap, and never throwing. */
  alsoChore: (() => void) | null = null;
  /** What keeps the data filesystem in use, to be let go of while its checker looks; the boot record, where it is a file there. */
  recordOnData: { letGo(): void; takeUp(): void } | null = null;
  /** Null in an initrd without modules. */
  modules: ModuleLoader | null = null;

  constructor(
    readonly kernel: Kernel,
    readonly log: Log,
    readonly control: ControlFile,
    readonly words: CommandLine,
  ) {
    this.timeline = new Timeline(kernel);
    this.children = new Children(kernel);
  }

  /** As {@link warn}, and on the console whatever the kernel's command line says of it. */
  alarm(text: string): void {
    this.log.error(text);
    this.warnings.push(text);
  }

  /** Something is not as declared; the boot goes on, and the system can read of it. */
  warn(text: string): void {
    this.log.warning(text);
    this.warnings.push(text);
  }

  /** The state is not as in an ordinary boot: repaired, adopted, lost. On the console, in the report and in the boot journal. */
  note(text: string): void {
    if (this.stateNotes.includes(text)) return;
    this.log.warning(text);
    this.stateNotes.push(text);
  }

  /** As {@link warn}, unless the same was said before in this boot. */
  warnOnce(text: string): void {
    if (!this.warnings.includes(text)) this.warn(text);
  }

  /** The kernel's own way to a filesystem's module is a modprobe, which no initrd of ours has. */
  loadForFilesystem(type: string): void {
    this.modules?.loadForAlias(`fs-${type}`);
  }

  /** What dm-verity is made of, where the kernel has it in modules: the target, and whatever computes SHA-256. */
  loadForVerity(): void {
    this.modules?.loadNamed("dm_verity");
    this.modules?.loadForAlias("crypto-sha256");
  }

  /** Feeds the watchdog and takes the status of orphans. To be called at least once a second. */
  chores(): void {
    this.watchdog?.feed();
    this.children.reap();
    this.alsoChore?.();
  }

  /** Chores, and a turn of the event loop, in which signals are handled. */
  async breathe(): Promise<void> {
    this.chores();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Does a part of the boot, after stopping before it where `rd.break=` asks for that, and notes how long it took. */
  async part<Result>(name: string, work: () => Result | Promise<Result>): Promise<Result> {
    if (this.words.breakAt === name) await this.shell(`rd.break=${name}`);
    return this.timeline.part(name, () => {
      this.chores();
      return work();
    });
  }

  /** A shell on the console, until it ends. Only an initrd built with --debug has one. */
  async shell(why: string): Promise<void> {
    if (!exists(this.kernel, BUSYBOX)) {
      this.warn(`${why}: no shell, since the initrd was built without --debug`);
      return;
    }
    this.log.notice(`${why}: a shell on the console; its end lets the boot go on`);
    const environment = {
      PATH: "/runtime/usr/bin:/sysroot/usr/sbin:/sysroot/usr/bin",
      HOME: "/",
      TERM: "linux",
      PS1: "slipway# ",
    };
    const stdin: Descriptor = 0;
    await this.children.run(BUSYBOX, ["setsid", "-c", BUSYBOX, "sh", "-i"], environment, stdin, () => this.pause(100));
  }

  /** Waits, doing the chores meanwhile. */
  async pause(milliseconds: number): Promise<void> {
    const end = this.kernel.now().bootMs + milliseconds;
    for (;;) {
      await this.breathe();
      const left = end - this.kernel.now().bootMs;
      if (left <= 0) return;
      this.kernel.poll([], Math.min(left, 250));
    }
  }
}
