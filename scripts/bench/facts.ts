/** What a boot's next init told, and what many boots come to. */
import { rounded } from "../../boot/timeline/parts.ts";

/** One boot of a peer; milliseconds with three decimals. */
export interface BootTimes {
  /** Kernel start to "Run /init as init process": the kernel's own time, and the unpacking of the initrd. */
  kernelToInitMs: number;
  /** From there to the start of the next init. */
  initToExecMs: number;
  kernelToExecMs: number;
}

export interface BootFacts extends BootTimes {
  /** The next init's start on CLOCK_BOOTTIME, milliseconds: the clock of slipway's timeline, not that of the log. */
  execBootMs: number;
  /** "/ erofs ro,relatime": mount point, filesystem and the flags that every filesystem knows, of every mount, sorted. */
  mounts: string[];
  /** Text of /run/slipway/boot.json; null where there is none. */
  report: string | null;
  /** Memory that is not free once all caches are dropped, KiB: next-init.c says how it is read. */
  heldAfterKiB: number;
  /** How long the processors had nothing to do until the next init started, all of them together. */
  idleMs: number;
}

const started = "bench: next init started";

/** Reads what the next init wrote (next-init.c). Throws Error that names what is missing. */
export function readFacts(text: string): BootFacts {
  const lines = text.split("\n").map((line) => line.trim());
  const all = (word: string) => lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
  const records = all("log");
  const init = logMs(records, (message) => /^Run \S+ as init process$/.test(message), '"Run /init as init process"');
  const exec = logMs(records, (message) => message === started, `"${started}"`);
  const execBootMs = Number(all("boottime")[0]) * 1000;
  if (!Number.isFinite(execBootMs)) throw new Error(`the next init told no time of CLOCK_BOOTTIME, it said:\n${text}`);
  if (!(exec > init)) throw new Error(`the next init started at ${exec} ms, which is before /init at ${init} ms`);
  const mounts = all("mount").map(mountOf);
  const times = { kernelToInitMs: init, initToExecMs: rounded(exec - init), kernelToExecMs: exec };
  const heldAfterKiB = memoryKiB(all("memory"), "MemTotal") - memoryKiB(all("memory"), "MemFree");
  const idleMs = Number(all("idle")[0]) / 1e6;
  if (!Number.isFinite(idleMs)) throw new Error(`the next init told no idle time, it said:\n${text}`);
  return { ...times, execBootMs, mounts: mounts.sort(), report: all("report")[0] ?? null, heldAfterKiB, idleMs };
}

const flags = new Set(["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "relatime"]);

function memoryKiB(lines: string[], name: string): number {
  const value = lines.flatMap((line) => (line.startsWith(`${name} `) ? [Number(line.slice(name.length))] : []))[0];
  if (value === undefined || !(value > 0))
    throw new Error(`the next init told no ${name}, it said: ${lines.join("; ") || "nothing"}`);
  return value;
}

/** A line of /proc/mounts without the device and without what differs from boot to boot: "/ erofs ro,relatime". */
function mountOf(line: string): string {
  const [, place = "", type = "", options = ""] = line.split(" ");
  const kept = options.split(",").filter((option) => flags.has(option));
  return `${place} ${type} ${kept.join(",")}`;
}

/** Time of the one record of /dev/kmsg ("6,512,1234567,-;text", microseconds) that is wanted, in milliseconds. */
function logMs(records: string[], wanted: (message: string) => boolean, what: string): number {
  const times = records.flatMap((record) => {
    const semicolon = record.indexOf(";");
    return wanted(record.slice(semicolon + 1)) ? [Number(record.slice(0, semicolon).split(",")[2]) / 1000] : [];
  });
  const [time] = times;
  if (times.length !== 1 || time === undefined || !Number.isFinite(time))
    throw new Error(`the kernel's log has ${times.length} lines ${what}, one was expected`);
  return time;
}

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** Of at least one number. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  const [min, max] = [sorted[0], sorted.at(-1)];
  if (low === undefined || high === undefined || min === undefined || max === undefined)
    throw new Error("no spread of no numbers: at least one run is needed");
  return { median: rounded((low + high) / 2), min, max };
}
