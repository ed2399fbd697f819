/** A bar chart of boots, as an SVG that reads on light and on dark. */
import { roundStep } from "../../boot/timeline/scale.ts";

/** A bar: what the kernel takes, and behind it what the initrd takes. */
export interface Bar {
  name: string;
  kernelMs: number;
  initrdMs: number;
}

const [width, left, right, top] = [760, 130, 84, 60];
const [barHeight, pitch, foot] = [18, 30, 44];

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

const rounded = (value: number): number => Math.round(value * 10) / 10;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

/** A distance between grid lines that gives three to six of them: 1, 2 or 5 times a power of ten. */
export function gridStep(largest: number): number {
  return roundStep(largest / 5);
}

const style = `
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .title { font-weight: 600; font-size: 15px; } .small { font-size: 11.5px; fill: #59636e; } .ours { font-weight: 600; }
  .kernel { fill: #afb8c1; } .initrd { fill: #0969da; } .other { fill: #6e7781; } .grid { stroke: #d1d9e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .small { fill: #9198a1; }
    .kernel { fill: #484f58; } .initrd { fill: #4493f8; } .other { fill: #8b949e; } .grid { stroke: #3d444d; }
  }`;

/** @param bars at least one, of times above zero; @param ours the name of the bar that stands out */
export function bootChart(title: string, bars: readonly Bar[], ours: string): string {
  const largest = Math.max(...bars.map(({ kernelMs, initrdMs }) => kernelMs + initrdMs));
  if (!(largest > 0)) throw new Error("a chart of no times: at least one bar is needed");
  const scale = (width - left - right) / largest;
  const bottom = top + bars.length * pitch;
  const step = gridStep(largest);
  const grid = Array.from({ length: Math.floor(largest / step) + 1 }, (_, index) => {
    const x = rounded(left + index * step * scale);
    const label = `<text class="small" x="${x}" y="${bottom + 16}" text-anchor="middle">${rounded((index * step) / 1000)} s</text>`;
    return `<line class="grid" x1="${x}" y1="${top - 6}" x2="${x}" y2="${bottom}"/>${label}`;
  });
  const rows = bars.map(({ name, kernelMs, initrdMs }, index) => {
    const y = top + index * pitch + (pitch - barHeight) / 2;
    const [kernel, initrd] = [rounded(kernelMs * scale), rounded(initrdMs * scale)];
    const mine = name === ours ? ' class="ours"' : "";
    const baseline = y + 13.5;
    return [
      `<text${mine} x="${left - 10}" y="${baseline}" text-anchor="end">${escaped(name)}</text>`,
      `<rect class="kernel" x="${left}" y="${y}" width="${kernel}" height="${barHeight}"/>`,
      `<rect class="${name === ours ? "initrd" : "other"}" x="${rounded(left + kernel)}" y="${y}" width="${initrd}" height="${barHeight}"/>`,
      `<text${mine} x="${rounded(left + kernel + initrd + 8)}" y="${baseline}">${seconds(kernelMs + initrdMs)}</text>`,
    ].join("\n  ");
  });
  const legend = [
    `<rect class="kernel" x="${left}" y="34" width="11" height="11"/><text class="small" x="${left + 16}" y="44">kernel, with unpacking the initrd</text>`,
    `<rect class="initrd" x="${left + 220}" y="34" width="11" height="11"/><rect class="other" x="${left + 233}" y="34" width="11" height="11"/>`,
    `<text class="small" x="${left + 249}" y="44">initrd, until the system's init is executed</text>`,
  ];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${bottom + foot - 16}" width="${width}" height="${bottom + foot - 16}" role="img">
  <title>${escaped(title)}</title>
  <style>${style}
  </style>
  <text class="title" x="${left}" y="22">${escaped(title)}</text>
  ${[...legend, ...grid, ...rows].join("\n  ")}
</svg>
`;
}
