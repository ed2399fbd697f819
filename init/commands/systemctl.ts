import { spawnSync } from "node:child_process";
import type { Kernel } from "../kernel/kernel.ts";

/** Longest wait for an answer of systemd, which may be busy going down, milliseconds. */
const PATIENCE = 5_000;

/** Pause before the machine is restarted without systemd, milliseconds. */
const LAST_PAUSE = 15_000;

/** systemd's own targets at the end of a boot: their time limits are no reaction to a failure. */
const ENDINGS = /^(reboot|soft-reboot|poweroff|halt|kexec|exit|final|shutdown|ctrl-alt-del|system-update)\.target$/;

/** What systemctl prints, or null where it fails or does not answer in time. As root it needs no D-Bus daemon. */
function ask(program: string, args: string[]): string | null {
  const result = spawnSync(program, args, {
    encoding: "utf8",
    timeout: PATIENCE,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return result.status === 0 ? result.stdout : null;
}

function isAbsent(program: string): boolean {
  const { error } = spawnSync(program, ["--version"], { stdio: "ignore", timeout: PATIENCE, killSignal: "SIGKILL" });
  return error !== undefined && "code" in error && error.code === "ENOENT";
}

/** Names of the units that have failed; null where systemd does not tell. */
export function failedUnits(program: string): string[] | null {
  const listed = ask(program, ["list-units", "--state=failed", "--all", "--plain", "--no-legend", "--no-pager"]);
  if (listed === null) return null;
  return listed.split("\n").flatMap((line) => line.trim().split(/\s+/)[0] || []);
}

function actionThatFired(properties: Map<string, string>, failed: readonly string[]): string | null {
  const id = properties.get("Id") ?? "";
  const action = (name: string) => {
    const value = properties.get(name) ?? "none";
    return value === "none" || value === "" ? null : `${id} failed, and has ${name}=${value}`;
  };
  if (failed.includes(id)) return action("FailureAction") ?? action("StartLimitAction");
  const neverReached = properties.get("ActiveEnterTimestampMonotonic") === "0" && properties.get("ActiveState") !== "active";
  return neverReached && !ENDINGS.test(id) ? action("JobTimeoutAction") : null;
}

/**
 * Failed units whose failure systemd answers with a reboot or the like, and targets with JobTimeoutAction= that this boot
 * never reached, each with the setting; null where systemd does not tell. None in a system without systemctl, and so without
 * units: there, whoever calls us knows why the machine goes down.
 */
export function failureActions(program: string): string[] | null {
  const failed = failedUnits(program);
  if (failed === null) return isAbsent(program) ? [] : null;
  const wanted = "Id,FailureAction,StartLimitAction,JobTimeoutAction,ActiveState,ActiveEnterTimestampMonotonic";
  const shown = ask(program, ["show", "--no-pager", `--property=${wanted}`, "--", "*.target", ...failed]);
  if (shown === null) return null;
  return shown.split("\n\n").flatMap((block) => actionThatFired(propertiesIn(block), failed) ?? []);
}

/** Lines "NAME=VALUE". */
function propertiesIn(block: string): Map<string, string> {
  return new Map(
    block.split("\n").flatMap((line): [string, string][] => {
      const equals = line.indexOf("=");
      return equals > 0 ? [[line.slice(0, equals), line.slice(equals + 1)]] : [];
    }),
  );
}

/** Properties of systemd's manager itself; null where it does not tell, or there is none. Those that it does not know are missing. */
export function managerProperties(program: string, names: readonly string[]): Map<string, string> | null {
  const shown = ask(program, ["show", "--no-pager", `--property=${names.join(",")}`]);
  return shown === null ? null : propertiesIn(shown);
}

/** Asks systemd for an orderly reboot. False where it did not take it. */
export function requestReboot(program: string): boolean {
  return ask(program, ["reboot"]) !== null;
}

/**
 * Asks systemd for an orderly shutdown that ends in the kernel which was loaded; in a system without it, starts that at once. False
 * where it did not take it.
 */
export function requestKexec(kernel: Kernel, program: string): boolean {
  if (ask(program, ["kexec"]) !== null) return true;
  if (isAbsent(program)) kernel.reboot("kexec");
  return false;
}

/**
 * Reboots without waiting for any unit to stop: systemd kills all processes, unmounts and restarts. When systemd does not
 * do even that, the kernel is asked.
 */
export function forceReboot(kernel: Kernel, program: string): void {
  if (ask(program, ["--force", "reboot"]) !== null) kernel.poll([], LAST_PAUSE);
  kernel.reboot("restart");
}
