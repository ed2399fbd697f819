import { spreadOf } from "./facts.ts";
import { rows } from "./table.ts";

export interface MeasuredRecovery {
  imageBytes: number;
  /** Of destroyed slots. Milliseconds; bytes over the network, headers aside. */
  runs: { curlMs: number; recoveryMs: number; recoveryBytes: number }[];
  /** A hundredth of one slot's blocks was spoiled, the other slot is gone. */
  hundredth: { damaged: number; bytes: number } | null;
  leastMemoryMiB: number;
}

/** Medians (least-most), and each as a multiple of what is least possible. */
export function recoveryTable({ imageBytes, runs, hundredth, leastMemoryMiB }: MeasuredRecovery): string {
  const cell = (values: number[]) => {
    const { median, min, max } = spreadOf(values);
    return `${median.toFixed(0)} (${min.toFixed(0)}-${max.toFixed(0)})`;
  };
  const [curl, ours] = [runs.map(({ curlMs }) => curlMs), runs.map(({ recoveryMs }) => recoveryMs)];
  const bytes = spreadOf(runs.map(({ recoveryBytes }) => recoveryBytes)).median;
  const ratio = spreadOf(runs.map(({ curlMs, recoveryMs }) => recoveryMs / curlMs)).median;
  const minimum = hundredth === null ? 0 : hundredth.damaged * 4096;
  return [
    `An image of ${imageBytes} bytes into a slot of a machine both of whose slots are random bytes.`,
    ...rows([
      ["", "ms", "of curl | dd", "bytes", "of the image"],
      ["curl | dd", cell(curl), "1.00", String(imageBytes), "1.00"],
      ["recovery, with all its checks", cell(ours), ratio.toFixed(2), String(bytes), (bytes / imageBytes).toFixed(2)],
    ]),
    ...(hundredth === null
      ? []
      : [
          "",
          `1 % of one slot's blocks spoiled (${hundredth.damaged}), the other slot gone: ${hundredth.bytes} bytes fetched, ${(hundredth.bytes / minimum).toFixed(2)} times the spoiled blocks.`,
        ]),
    `Least memory in which it recovers and boots, to 8 MiB: ${leastMemoryMiB} MiB.`,
  ].join("\n");
}
