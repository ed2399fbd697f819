import type { Architecture } from "../../../boot/architecture.ts";
import { MODULES } from "../../../boot/modules.ts";
import type { CpioEntry } from "./cpio.ts";
import { mergedDirectories } from "./runtime-image.ts";

/** Path of the runtime image in the archive. */
export const RUNTIME_IMAGE = "runtime.squashfs";

/** Path of the executable's hot pages in the archive; see hot-file.ts. */
export const HOT_FILE = "runtime.hot";

/** How many modules preinit's child loads at most (init/preinit/preinit.c); slipway loads the others. */
const MOST_AHEAD = 128;

export interface InitrdParts {
  version: string;
  architecture: Architecture;
  preinit: Uint8Array;
  /** The control file's text. */
  control: string;
  /** What preinit loads, in order. */
  modules: { name: string; content: Uint8Array }[];
  /** Names of modules in the runtime image that every boot loads, in order. */
  ahead: readonly string[];
  runtime: Uint8Array;
  /** What the executable in the runtime image lacks; null where it is whole. */
  hot: Uint8Array | null;
}

/**
 * The archive's entries. Small things come first, the hot pages and the runtime image last, so that too little memory cuts
 * those; behind it lies only the mark by which preinit sees that the kernel unpacked everything.
 */
export function initrdEntries(parts: InitrdParts): CpioEntry[] {
  const file = (path: string, content: Uint8Array | string, mode = 0o644): CpioEntry => ({
    path,
    kind: "file",
    mode,
    content: typeof content === "string" ? new TextEncoder().encode(content) : content,
  });
  const directories = ["dev", "etc", "etc/slipway", "modules", "proc", "run", "runtime", "sys", "sysroot"];
  const preinitLines = [
    `runtime ${parts.runtime.length}\n`,
    ...(parts.hot === null ? [] : [`hot ${parts.hot.length}\n`]),
    ...parts.modules.map(({ name }) => `module /modules/${name}\n`),
    ...parts.ahead.slice(0, MOST_AHEAD).map((name) => `ahead ${MODULES.directory}/${name}\n`),
  ];
  return [
    ...directories.map((path): CpioEntry => ({ path, kind: "directory", mode: 0o755 })),
    { path: "dev/console", kind: "character", mode: 0o600, major: 5, minor: 1 },
    { path: "dev/null", kind: "character", mode: 0o666, major: 1, minor: 3 },
    file("init", parts.preinit, 0o755),
    file("etc/initrd-release", release(parts)),
    file("etc/slipway/preinit.conf", preinitLines.join("")),
    file("etc/slipway/control.json", parts.control),
    { path: "usr", kind: "symlink", target: "runtime/usr" },
    ...mergedDirectories.map((name): CpioEntry => ({ path: name, kind: "symlink", target: `usr/${name}` })),
    ...parts.modules.map(({ name, content }) => file(`modules/${name}`, content)),
    ...(parts.hot === null ? [] : [file(HOT_FILE, parts.hot, 0o400)]),
    file(RUNTIME_IMAGE, parts.runtime, 0o400),
    file("etc/slipway/end", ""),
  ];
}

/** See os-release(5), whose words for architectures are ours; systemd knows an initrd by this file. */
function release({ version, architecture }: InitrdParts): string {
  return [
    `ID=slipway`,
    `NAME=slipway`,
    `PRETTY_NAME="slipway ${version} initrd"`,
    `VERSION=${version}`,
    `VERSION_ID=${version}`,
    `ARCHITECTURE=${architecture}`,
    "",
  ].join("\n");
}
