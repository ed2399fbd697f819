/** A boot's timeline as a picture: SVG 1.1 with a style sheet for light and dark grounds, no scripts, nothing from elsewhere. */
import { endOf } from "./parts.ts";
import type { BootTimeline, TimelineRow } from "./rows.ts";
import { type Scale, scaleOf } from "./scale.ts";
import { msText, nameText } from "./text.ts";

/** Pixels. */
const WIDTH = 960;
const ROW = 20;
const HEAD = 64;
const FOOT = 12;
/** Where columns begin or, of numbers, end. */
const OWNER = 16;
const NAME = 92;
const LINE = { from: 230, to: 750 };
const START = 846;
const LENGTH = WIDTH - 16;
/** Narrower bars would not be seen. */
const LEAST_BAR = 1.5;
/** Marks that stand closer have no numbers. */
const LEAST_GAP = 52;

const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.ground { fill: #ffffff; } .band { fill: #f3f4f6; } .mark { stroke: #d0d7de; } .cut { stroke: #8c959f; stroke-dasharray: 3 3; }
.title { font-size: 14px; font-weight: 600; } .owner { font-weight: 600; } .faint { fill: #57606a; }
.number { text-anchor: end; font-variant-numeric: tabular-nums; } .middle { text-anchor: middle; }
.firmware { fill: #8250df; } .kernel { fill: #bf8700; } .slipway { fill: #0969da; } .systemd { fill: #1a7f37; }
.open { fill-opacity: 0.5; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; } .ground { fill: #0d1117; } .band { fill: #161b22; } .mark { stroke: #30363d; } .cut { stroke: #6e7681; }
.faint { fill: #8d96a0; }
.firmware { fill: #a371f7; } .kernel { fill: #d29922; } .slipway { fill: #4493f8; } .systemd { fill: #3fb950; }
}
`;

function escaped(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
  return text.replaceAll(/[&<>"']/g, (character) => names[character] ?? "");
}

const px = (value: number): string => String(Math.round(value * 100) / 100);

function label(x: number, y: number, classes: string, text: string): string {
  return `<text x="${px(x)}" y="${px(y)}" class="${classes}">${escaped(text)}</text>`;
}

function line(x: number, from: number, to: number, classes: string): string {
  return `<line x1="${px(x)}" y1="${px(from)}" x2="${px(x)}" y2="${px(to)}" class="${classes}"/>`;
}

/** "250 ms", "2.5 s", "12 min". */
export function roundTime(ms: number): string {
  const size = Math.abs(ms);
  if (size >= 120_000) return `${Math.round(ms / 60_000)} min`;
  return size >= 1000 ? `${Number((ms / 1000).toFixed(2))} s` : `${Number(ms.toFixed(3))} ms`;
}

const xOf = (scale: Scale, ms: number): number => LINE.from + scale.at(ms) * (LINE.to - LINE.from);

/** Marks with their numbers, as far as these have room, and where time is cut out. */
function axis(scale: Scale, bottom: number): string[] {
  const taken: number[] = [];
  const numbered = (x: number, text: string): string[] => {
    if (taken.some((other) => Math.abs(other - x) < LEAST_GAP)) return [];
    taken.push(x);
    return [label(x, HEAD - 8, "faint middle", text)];
  };
  const cuts = scale.cuts.flatMap(({ startMs, lengthMs }) => {
    const x = xOf(scale, startMs + lengthMs / 2);
    return [line(x - 3, HEAD, bottom, "cut"), line(x + 3, HEAD, bottom, "cut"), ...numbered(x, `(${roundTime(lengthMs)})`)];
  });
  const ticks = scale.ticks.flatMap((ms) => {
    const x = xOf(scale, ms);
    return [line(x, HEAD - 4, bottom, "mark"), ...numbered(x, roundTime(ms))];
  });
  return [...ticks, ...cuts];
}

function rowOf(row: TimelineRow, y: number, scale: Scale, isFirst: boolean): string[] {
  const from = xOf(scale, row.startMs);
  const width = Math.max(LEAST_BAR, xOf(scale, endOf(row)) - from);
  const x = Math.min(from, LINE.to - LEAST_BAR);
  const name = nameText(row.name, 24);
  const beside = row.overlaps.length === 0 ? "" : `, beside ${nameText(row.overlaps.join(", "), 60)}`;
  const length = `${row.open ? "at least " : ""}${msText(row.lengthMs)} ms`;
  const title = `<title>${escaped(`${row.by}: ${name}, from ${msText(row.startMs)} ms, ${length}${beside}`)}</title>`;
  const text = y + ROW - 6;
  return [
    ...(isFirst ? [label(OWNER, text, "owner", row.by)] : []),
    label(NAME + Math.min(row.depth, 4) * 10, text, "name", name),
    `<rect x="${px(x)}" y="${px(y + 4)}" width="${px(width)}" height="${ROW - 8}" rx="1.5" class="${row.by}${row.open ? " open" : ""}">${title}</rect>`,
    label(START, text, "number faint", msText(row.startMs)),
    label(LENGTH, text, "number", `${msText(row.lengthMs)}${row.open ? "+" : ""}`),
  ];
}

/** Every other owner's rows stand on a ground of their own. */
function bands(rows: readonly TimelineRow[]): string[] {
  let shade = false;
  return rows.flatMap((row, index) => {
    if (index > 0 && rows[index - 1]?.by !== row.by) shade = !shade;
    return shade ? [`<rect x="0" y="${HEAD + index * ROW}" width="${WIDTH}" height="${ROW}" class="band"/>`] : [];
  });
}

/** The picture. `title` is put above it. */
export function timelineSvg({ rows, notes }: BootTimeline, title: string): string {
  const scale = scaleOf(rows);
  const bottom = HEAD + rows.length * ROW;
  const height = bottom + FOOT + notes.length * ROW;
  const heading = nameText(title, 110);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img">`,
    `<title>${escaped(heading)}</title>`,
    `<style>${STYLE}</style>`,
    `<rect x="0" y="0" width="${WIDTH}" height="${height}" class="ground"/>`,
    ...bands(rows),
    label(OWNER, 26, "title", heading),
    label(START, HEAD - 8, "number faint", "start, ms"),
    label(LENGTH, HEAD - 8, "number faint", "length, ms"),
    ...axis(scale, bottom),
    ...rows.flatMap((row, index) => rowOf(row, HEAD + index * ROW, scale, rows[index - 1]?.by !== row.by)),
    ...notes.map((note, index) => label(OWNER, bottom + FOOT + (index + 1) * ROW - 10, "faint", nameText(note, 150))),
    "</svg>",
    "",
  ].join("\n");
}
