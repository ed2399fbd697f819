/** What people see of an install or a repair while it goes on. */
import { sizeText } from "../../state-ops/size-text.ts";
import { BLOCK } from "../image/verity.ts";

/** The tree is fetched and proven, what there is is compared, blocks are written, all is read back. */
export type Phase = "tree" | "compare" | "write" | "verify";

/** Blocks by where they came from. */
export interface Arrived {
  zero: number;
  target: number;
  donor: number;
  source: number;
}

/** How far a phase came: blocks, of all that it looks at. */
export interface Step {
  phase: Phase;
  done: number;
  total: number;
  /** Blocks that were in the target already, and those that have come so far. */
  there: number;
  arrived: Arrived;
}

/** A step, and what clock and source tell. */
export interface Progress extends Step {
  /** Bytes that came over the network. */
  network: number;
  /** Bytes a second that the phase gets on with; null while nobody knows. */
  rate: number | null;
}

const NAMES: Record<Phase, string> = {
  tree: "hash tree",
  compare: "comparing",
  write: "writing",
  verify: "reading back",
};

/** "writing" */
export function phaseName(phase: Phase): string {
  return NAMES[phase];
}

/** What a phase does, as a line of a log: "Comparing what slot b holds." */
export function phaseText(phase: Phase, slot: string): string {
  const sentences: Record<Phase, string> = {
    tree: "Getting the image's hash tree.",
    compare: `Comparing what slot ${slot} and the other slots hold.`,
    write: `Writing what is missing to slot ${slot}.`,
    verify: `Reading slot ${slot} back.`,
  };
  return sentences[phase];
}

/** Seconds until the phase ends; null while nobody knows. */
export function secondsLeft({ done, total, rate }: Progress): number | null {
  return rate === null || rate <= 0 ? null : Math.ceil(((total - done) * BLOCK) / rate);
}

/** "3:07", "1:02:33"; "-:--" for null. */
export function durationText(seconds: number | null): string {
  if (seconds === null || seconds >= 360_000) return "-:--";
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** One line of a terminal that is `columns` wide. */
export function progressLine(progress: Progress, columns: number): string {
  const { phase, done, total, there, arrived, network, rate } = progress;
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const left = `${NAMES[phase].padEnd(12)} ${String(Math.floor(share * 100)).padStart(3)} %`;
  const parts = [
    network > 0 ? `network ${sizeText(network)}` : `source ${sizeText(arrived.source * BLOCK)}`,
    `local ${sizeText((arrived.donor + arrived.target) * BLOCK)}`,
    `there ${sizeText(there * BLOCK)}`,
    rate === null ? "- /s" : `${sizeText(rate)}/s`,
    durationText(secondsLeft(progress)),
  ];
  const right = parts.join("  ");
  const room = columns - left.length - right.length - 5;
  if (room < 8) return `${left}  ${right}`.slice(0, Math.max(0, columns - 1));
  const full = Math.round(share * room);
  return `${left} [${"#".repeat(full)}${".".repeat(room - full)}] ${right}`;
}

/** The same for programs. */
export function progressJson(progress: Progress): object {
  const { phase, done, total, there, arrived, network, rate } = progress;
  return {
    type: "progress",
    phase,
    doneBytes: done * BLOCK,
    totalBytes: total * BLOCK,
    networkBytes: network,
    sourceBytes: arrived.source * BLOCK,
    donorBytes: arrived.donor * BLOCK,
    targetBytes: arrived.target * BLOCK,
    zeroBytes: arrived.zero * BLOCK,
    thereBytes: there * BLOCK,
    bytesPerSecond: rate === null ? null : Math.round(rate),
    secondsLeft: secondsLeft(progress),
  };
}

/** How long back a rate looks, milliseconds. */
const RATE_SPAN = 10_000;
/** A rate over less says nothing. */
const RATE_LEAST = 500;

/** How fast something gets on, over the last seconds. */
export class Rate {
  #samples: { ms: number; done: number }[] = [];

  /** `done` bytes at `ms`; less than before begins anew. */
  add(ms: number, done: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && done < last.done) this.#samples = [];
    this.#samples.push({ ms, done });
    const old = this.#samples.findIndex((sample) => sample.ms >= ms - RATE_SPAN);
    if (old > 1) this.#samples.splice(0, old - 1);
  }

  /** Bytes a second; null while there is too little to tell. */
  get perSecond(): number | null {
    const [first] = this.#samples;
    const last = this.#samples.at(-1);
    if (first === undefined || last === undefined || last.ms - first.ms < RATE_LEAST) return null;
    return ((last.done - first.done) * 1000) / (last.ms - first.ms);
  }
}
