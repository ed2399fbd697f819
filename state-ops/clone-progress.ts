/** How a long clone is told of on the console. Pure. */
import { sizeText } from "./size-text.ts";

export interface CloneProgress {
  bytes: number;
  files: number;
  /** Since the clone began. */
  elapsedMs: number;
  /** What there is to clone in all; null where nobody knows. */
  total: { bytes: number; files: number } | null;
}

/** "cloning generation 000001: 512 MiB of 1.0 GiB, 120 MiB/s, 4 s left" */
export function progressLine(generation: string, progress: CloneProgress): string {
  const { bytes, files, elapsedMs, total } = progress;
  const seconds = elapsedMs / 1000;
  const rate = seconds > 0 ? bytes / seconds : 0;
  const left = total === null ? null : secondsLeft(progress, total);
  const counted = bytes >= MiB || (total?.bytes ?? 0) >= MiB;
  return [
    `cloning generation ${generation}: ${counted ? of(bytes, total?.bytes ?? null, sizeText) : `${of(files, total?.files ?? null, String)} files`}`,
    ...(counted && rate > 0 ? [`${sizeText(rate)}/s`] : []),
    left === null ? `${timeText(seconds)} so far` : `${timeText(left)} left`,
  ].join(", ");
}

const MiB = 1024 * 1024;

function of(done: number, total: number | null, text: (value: number) => string): string {
  return total === null || total < done ? text(done) : `${text(done)} of ${text(total)}`;
}

/**
 * Of bytes and files, what takes longer; null while nothing is done, and where more was done than was expected. One large file
 * is told of by its bytes alone until it is done.
 */
function secondsLeft({ bytes, files, elapsedMs }: CloneProgress, total: { bytes: number; files: number }): number | null {
  const left = (done: number, all: number) => (all === 0 ? 0 : done === 0 ? null : ((all - done) * elapsedMs) / done / 1000);
  if (bytes > total.bytes || files > total.files || bytes + files === 0) return null;
  return Math.max(left(bytes, total.bytes) ?? 0, left(files, total.files) ?? 0);
}

/** 75 is "1 min 15 s". */
function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
