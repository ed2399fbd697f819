/** What a person sees of a recovery, as lines of text. */

import { sizeText } from "../../state-ops/size-text.ts";
import { durationText, type Progress, phaseName, secondsLeft } from "../converge/progress-text.ts";
import { BLOCK } from "../image/verity.ts";
import { cutTo, plainText, wrapped } from "./plain-text.ts";

/** What a recovery tells those who stand before the machine. Texts may hold anything: they are made plain here. */
export interface ScreenState {
  /** Why there is a recovery, one sentence. */
  title: string;
  /** Why each slot does not boot, best first. */
  slots: { slot: string; reason: string }[];
  /** What is tried now: rung, slot and source, one sentence; null while nothing is. */
  trying: string | null;
  progress: Progress | null;
  /** Of the machine. */
  addresses: string[];
  /** Until the next attempt; null while one is under way. */
  nextAttemptSeconds: number | null;
}

export const NOTHING_SHOWN: ScreenState = {
  title: "no slot of this machine boots",
  slots: [],
  trying: null,
  progress: null,
  addresses: [],
  nextAttemptSeconds: null,
};

/** Lines that were said are kept up to so many. */
export const MOST_SAID = 12;

/** Longest line on a console that is no terminal. */
const LONGEST_LINE = 240;
/** Names of slots are up to 64 characters long. */
const WIDEST_SLOT = 16;
const MARGIN = "  ";

/** How much room is given to what. */
interface Room {
  /** Of each slot's reason. */
  reasonLines: number;
  said: number;
  /** An empty line between parts. */
  airy: boolean;
}

/** From generous to scarce. */
const ROOMS: readonly Room[] = [
  { reasonLines: 3, said: 6, airy: true },
  { reasonLines: 2, said: 4, airy: true },
  { reasonLines: 1, said: 3, airy: true },
  { reasonLines: 1, said: 1, airy: true },
  { reasonLines: 1, said: 1, airy: false },
  { reasonLines: 1, said: 0, airy: false },
];

/**
 * The screen on a terminal: at most `rows` lines of at most `columns` - 1 printable ASCII characters each (in a terminal's last
 * column some wrap, and some do not). `said` is what was said, oldest first.
 */
export function screenLines(state: ScreenState, said: readonly string[], columns: number, rows: number): string[] {
  const width = Math.max(1, columns - 1);
  const fits = (room: Room) => {
    const lines = inOrder(state, said, width, room);
    return lines.length <= rows ? lines : null;
  };
  for (const room of ROOMS) {
    const lines = fits(room);
    if (lines !== null) return lines;
  }
  return byImportance(state, width).slice(0, Math.max(1, rows));
}

function inOrder(state: ScreenState, said: readonly string[], width: number, room: Room): string[] {
  const parts = [
    [titleLine(state, width)],
    slotLines(state, width, room.reasonLines),
    nowLines(state, width),
    [...nextLines(state, width), ...addressLines(state, width)],
    room.said === 0 ? [] : said.slice(-room.said).map((line) => cutTo(`${MARGIN}${plainText(line)}`, width)),
  ];
  return parts.filter((part) => part.length > 0).flatMap((part, index) => (room.airy && index > 0 ? ["", ...part] : part));
}

/** On a terminal that is too small for all. */
function byImportance(state: ScreenState, width: number): string[] {
  const bare = [nowLines(state, width), nextLines(state, width), addressLines(state, width), slotLines(state, width, 1)];
  return [titleLine(state, width), ...bare.flat()];
}

function titleLine(state: ScreenState, width: number): string {
  return cutTo(`slipway recovery: ${plainText(state.title)}`, width);
}

function slotLines({ slots }: ScreenState, width: number, most: number): string[] {
  const names = slots.map(({ slot }) => cutTo(plainText(slot), WIDEST_SLOT));
  const widest = Math.max(0, ...names.map((name) => name.length));
  return slots.flatMap(({ reason }, index) => {
    const head = `${MARGIN}slot ${(names[index] ?? "").padEnd(widest)}  `;
    const lines = wrapped(plainText(reason), Math.max(8, width - head.length), most);
    return lines.map((line, at) => cutTo(`${at === 0 ? head : " ".repeat(head.length)}${line}`, width));
  });
}

function nowLines({ trying, progress }: ScreenState, width: number): string[] {
  const sentence = trying === null ? [] : wrapped(plainText(trying), width - MARGIN.length, 2);
  const lines = [...sentence, ...(progress === null ? [] : progressLines(progress, width - MARGIN.length))];
  return lines.map((line) => cutTo(`${MARGIN}${line}`, width));
}

function nextLines({ nextAttemptSeconds }: ScreenState, width: number): string[] {
  return nextAttemptSeconds === null ? [] : [cutTo(`${MARGIN}next attempt in ${durationText(nextAttemptSeconds)}`, width)];
}

function addressLines({ addresses }: ScreenState, width: number): string[] {
  const text = addresses.length === 0 ? "no address" : `addresses ${addresses.map(plainText).join(", ")}`;
  return [cutTo(`${MARGIN}${text}`, width)];
}

/** A bar, and the amounts below it. */
function progressLines(progress: Progress, width: number): string[] {
  const share = shareOf(progress);
  const left = `${phaseName(progress.phase).padEnd(12)} `;
  const right = ` ${percent(share)}  ${durationText(secondsLeft(progress))} left`;
  const room = width - left.length - right.length - 2;
  const full = Math.round(share * room);
  const bar = room < 8 ? "" : `[${"#".repeat(full)}${".".repeat(room - full)}]`;
  return [`${left}${bar}${right}`, amounts(progress).join("  ")];
}

function shareOf({ done, total }: Progress): number {
  return total === 0 ? 1 : Math.min(1, done / total);
}

function percent(share: number): string {
  return `${String(Math.floor(share * 100)).padStart(3)} %`;
}

function amounts({ done, total, rate, network }: Progress): string[] {
  return [
    `${sizeText(done * BLOCK)} of ${sizeText(total * BLOCK)}`,
    rate === null ? "- /s" : `${sizeText(rate)}/s`,
    `network ${sizeText(network)}`,
  ];
}

/** One line of what goes on, for a console that is no terminal; null while nothing does. */
export function statusLine({ trying, progress, nextAttemptSeconds }: ScreenState): string | null {
  if (progress !== null) {
    const parts = [...amounts(progress), `${durationText(secondsLeft(progress))} left`];
    return plainLine(`${phaseName(progress.phase)}${percent(shareOf(progress)).replace(/^ */, " ")}, ${parts.join(", ")}`);
  }
  if (trying !== null) return plainLine(`still at it: ${trying}`);
  return nextAttemptSeconds === null ? null : plainLine(`next attempt in ${durationText(nextAttemptSeconds)}`);
}

/** What is new in `after`, for a console that is no terminal. */
export function changeLines(before: ScreenState, after: ScreenState): string[] {
  const known = new Set(before.slots.map(({ slot, reason }) => JSON.stringify([slot, reason])));
  const slots = after.slots.filter(({ slot, reason }) => !known.has(JSON.stringify([slot, reason])));
  const news = [
    ...(after.title === before.title ? [] : [after.title]),
    ...slots.map(({ slot, reason }) => `slot ${slot}: ${reason}`),
    ...(after.trying === null || after.trying === before.trying ? [] : [after.trying]),
    ...(after.addresses.join() === before.addresses.join() || after.addresses.length === 0
      ? []
      : [`addresses ${after.addresses.join(", ")}`]),
    ...(pauseBegins(before, after) ? [`next attempt in ${durationText(after.nextAttemptSeconds)}`] : []),
  ];
  return news.map(plainLine);
}

function pauseBegins(before: ScreenState, after: ScreenState): boolean {
  const seconds = after.nextAttemptSeconds;
  return seconds !== null && (before.nextAttemptSeconds === null || seconds > before.nextAttemptSeconds);
}

/** A line for a console that is no terminal. */
export function plainLine(text: string): string {
  return cutTo(`slipway: ${plainText(text)}`, LONGEST_LINE);
}
