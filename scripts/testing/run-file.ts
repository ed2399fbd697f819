import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { guestArchitecture, hostArchitecture } from "../../qemu/architecture.ts";
import { cache, project } from "../../qemu/places.ts";
import type { Kind, TestFile } from "./files.ts";
import { type Ending, type Verdict, verdict } from "./verdict.ts";

export interface FileResult extends Verdict {
  file: TestFile;
  seconds: number;
  /** Starts of virtual machines. */
  boots: number;
  output: string;
  /** Where the machines' consoles are; null where none was left, as after success. */
  logs: string | null;
}

/** Seconds that a file may take. */
export function limitOf(kind: Kind, long: boolean): number {
  const limits: Record<Kind, number> = { unit: 120, model: 300, namespace: 300, vm: 900 };
  const emulated = kind === "vm" && guestArchitecture !== hostArchitecture ? 2 : 1;
  return limits[kind] * (long ? 6 : 1) * emulated;
}

const running = new Set<number>();

/** Kills every test process that runs, with what it started. */
export function killAll(): void {
  for (const pid of running) process.kill(-pid, "SIGKILL");
}

/** Runs a program in a process group of its own, which is killed after `limitSeconds`, and when this process dies. */
export async function runGroup(words: string[], environment: Record<string, string>, limitSeconds: number): Promise<Ending> {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", ...words], {
    cwd: project,
    detached: true,
    env: { ...process.env, NO_COLOR: "1", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const pid = child.pid;
  if (pid !== undefined) running.add(pid);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  let timedOut = false;
  const alarm = setTimeout(() => {
    timedOut = true;
    if (pid !== undefined) process.kill(-pid, "SIGKILL");
  }, limitSeconds * 1000);
  const code = await new Promise<number | null>((resolve) => {
    child.once("error", (error) => {
      output += error.message;
      resolve(null);
    });
    child.once("close", resolve);
  });
  clearTimeout(alarm);
  if (pid !== undefined) running.delete(pid);
  return { output, code, timedOut };
}

/**
 * Runs one test file as a Bun process of its own; one of kind "namespace" in a mount namespace that nothing gets out of.
 * The consoles of its machines are kept below .cache/logs unless all its tests pass.
 */
export async function runTestFile(file: TestFile, long: boolean, limitSeconds = limitOf(file.kind, long)): Promise<FileResult> {
  const logs = `${cache}/logs/${file.kind}-${file.name}`;
  const counter = `${cache}/logs/${file.kind}-${file.name}.boots`;
  rmSync(logs, { recursive: true, force: true });
  rmSync(counter, { force: true });
  mkdirSync(logs, { recursive: true });
  const namespace = file.kind === "namespace" ? ["unshare", "--mount", "--propagation", "private", "--"] : [];
  const environment = { SLIPWAY_LOGS: logs, SLIPWAY_BOOT_COUNTER: counter, ...(long ? { SLIPWAY_TIER: "long" } : {}) };
  const began = performance.now();
  const ending = await runGroup([...namespace, `${project}/node_modules/.bin/bun`, file.path], environment, limitSeconds);
  const seconds = (performance.now() - began) / 1000;
  const judged = verdict(ending, limitSeconds);
  const boots = statSync(counter, { throwIfNoEntry: false })?.size ?? 0;
  rmSync(counter, { force: true });
  if (judged.failed === 0 || readdirSync(logs).length === 0) rmSync(logs, { recursive: true });
  const kept = statSync(logs, { throwIfNoEntry: false }) ? logs : null;
  return { ...judged, file, seconds, boots, output: ending.output, logs: kept };
}
