/** The floor: a static C program that does the mounts and nothing else. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { writeCpio } from "../../init/builder/initrd/cpio.ts";
import { compileProgram } from "../../qemu/c-program.ts";
import type { ControlFile, MountFlag } from "../../state-ops/control.ts";
import type { StateStep } from "../../state-ops/state-plan.ts";
import { type ModuleFile, moduleEntries } from "./modules.ts";
import { overlayOptions, partitionsOf, stateSteps } from "./state-lines.ts";

export const floorSource = fileURLToPath(new URL("c-floor.c", import.meta.url));

/** Names in <sys/mount.h>. */
const flagNames: Record<MountFlag, string> = {
  nodev: "MS_NODEV",
  noexec: "MS_NOEXEC",
  nosuid: "MS_NOSUID",
  nosymfollow: "MS_NOSYMFOLLOW",
};

const inC = (text: string | null): string => (text === null ? "0" : JSON.stringify(text));

/** A mount(2) as an initializer of struct mount_call. */
function call(source: string, target: string, type: string | null, flags: readonly string[], data: string | null): string {
  return `{${inC(source)}, ${inC(target)}, ${inC(type)}, ${flags.join(" | ") || "0"}, ${inC(data)}}`;
}

function callsOf(step: StateStep): string[] {
  const target = `/root/${step.path}`;
  const flags = step.flags.map((flag) => flagNames[flag]);
  if (step.do === "overlay") {
    const layers = `lowerdir=${target},upperdir=/data/${step.upper},workdir=/data/${step.work}`;
    return [call("overlay", target, "overlay", flags, `${layers},${overlayOptions}`)];
  }
  if (step.do === "bind") {
    const again = ["MS_REMOUNT", "MS_BIND", "MS_RELATIME", ...flags];
    return [call(`/data/${step.store}`, target, null, ["MS_BIND"], null), call("none", target, null, again, null)];
  }
  if (step.do === "tmpfs" && step.kind === "directory" && step.seed !== "image") {
    if (step.onRun) return [];
    const size = step.size === null ? "" : `,size=${step.size}`;
    return [call("tmpfs", target, "tmpfs", flags, `mode=${(step.mode ?? 0o755).toString(8)}${size}`)];
  }
  throw new Error(`/${step.path}: "${step.do}" is nothing that the bench's floor does`);
}

/** plan.h for c-floor.c. @param modules files in /modules, in their order */
export function floorPlan(control: ControlFile, slot: string, rootType: string, modules: readonly string[]): string {
  const { root, data, dataType } = partitionsOf(control, slot);
  const steps = stateSteps(control, slot);
  const strings = (values: string[]) => [...values.map((value) => `  ${inC(value)},`), "  0,"].join("\n");
  const onRun = steps.flatMap((step) => (step.do === "tmpfs" && step.onRun ? [`/${step.path}`] : []));
  return `#define ROOT_LABEL ${inC(root)}
#define ROOT_TYPE ${inC(rootType)}
#define DATA_LABEL ${inC(data)}
#define DATA_TYPE ${inC(dataType)}
static const char *const modules[] = {
${strings(modules.map((name) => `/modules/${name}`))}
};
static const char *const directories[] = {
${strings(onRun)}
};
static const struct mount_call calls[] = {
${steps
  .flatMap(callsOf)
  .map((line) => `  ${line},`)
  .join("\n")}
  {0, 0, 0, 0, 0},
};
`;
}

/** Compiles the program against `plan` in the empty directory `aside`; returns the initrd, uncompressed like slipway's own. */
export async function floorInitrd(aside: string, plan: string, modules: readonly ModuleFile[]): Promise<Uint8Array> {
  mkdirSync(`${aside}/c`);
  writeFileSync(`${aside}/c/plan.h`, plan);
  await compileProgram(floorSource, `${aside}/c/init`, { words: ["-Os", "-I", `${aside}/c`] });
  const directories = ["data", "dev", "modules", "proc", "root", "run", "sys"];
  const pieces = writeCpio([
    ...directories.map((path) => ({ path, kind: "directory" as const, mode: 0o755 })),
    { path: "dev/console", kind: "character", mode: 0o600, major: 5, minor: 1 },
    { path: "init", kind: "file", mode: 0o755, content: readFileSync(`${aside}/c/init`) },
    ...moduleEntries(modules),
  ]);
  return Buffer.concat(pieces);
}
