/** How the commands print tables and times. */

/** Wall clocks before the year 2000 are those of machines that have none. */
const CLOCK_WORKS = Date.UTC(2000, 0, 1);

/** Lines of columns that are as wide as their widest cell; `paint` colours a cell by its column without moving the next. */
export function table(rows: string[][], paint: (text: string, row: number, column: number) => string): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  return rows.map((cells, row) => {
    const padded = cells.map((cell, column) => {
      const gap = column === cells.length - 1 ? "" : " ".repeat((widths[column] ?? 0) - cell.length + 2);
      return paint(cell, row, column) + gap;
    });
    return padded.join("").trimEnd();
  });
}

/** "2026-11-17 10:02:31Z"; milliseconds since the epoch. */
export function timeText(unixMs: number): string {
  if (unixMs < CLOCK_WORKS) return "time unknown";
  return `${new Date(unixMs).toISOString().slice(0, 19).replace("T", " ")}Z`;
}

/** How long ago, in the largest unit that fits: "3 days ago". Empty where a clock was not set, or went back since. */
export function ageText(unixMs: number, nowUnixMs: number): string {
  const minutes = Math.floor((nowUnixMs - unixMs) / 60_000);
  if (unixMs < CLOCK_WORKS || minutes < 0) return "";
  const units: [string, number][] = [
    ["day", 1440],
    ["hour", 60],
    ["minute", 1],
  ];
  const [unit, length] = units.find((candidate) => minutes >= candidate[1]) ?? ["minute", 1];
  const count = Math.floor(minutes / length);
  return count === 0 ? "just now" : `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}
