/** The system's log of one boot: in the journal of the system that runs, or in a generation that a failed boot left. */
import { spawnSync } from "node:child_process";
import { GENERATION, generationPath } from "../../state-ops/layout.ts";
import { rulingOperator, storePaths } from "../../state-ops/operator-tree.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { O } from "../kernel/constants.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { openBeneath, withDescriptor } from "../state/beneath.ts";
import { readGenerations } from "../state/data-filesystem.ts";
import { withDataFilesystem } from "./data-access.ts";
import type { Machine, Places } from "./machine.ts";
import { operatorsIfDeclared } from "./state/declared.ts";

/** Where journald keeps what outlives a boot (systemd-journald(8)). */
const JOURNAL = "/var/log/journal";
/** Longest wait for journalctl to find out whether it knows a boot, milliseconds. */
const PATIENCE = 60_000;

export interface FoundLogs {
  /** "the system's journal", "gens/000005/tree/var/log/journal" */
  from: string;
  /** Prints them. Returns journalctl's exit code. */
  print(): number;
}

/**
 * Hands `use` the log of the boot with that id, or null where it is nowhere. It can be printed until `use` returns. Throws
 * Refusal where there is no journalctl, naming where else logs are.
 */
export function withBootLogs<Result>(
  kernel: Kernel,
  places: Places,
  machine: Machine,
  bootId: string,
  use: (logs: FoundLogs | null) => Result,
): Result {
  const ask = (place: string[], ...args: string[]) =>
    spawnSync(places.journalctl, ["--no-pager", "--quiet", ...place, ...args, `_BOOT_ID=${bootId}`], {
      encoding: "utf8",
      timeout: PATIENCE,
      stdio: ["ignore", "pipe", "ignore"],
    });
  const print = (place: string[]) => () =>
    spawnSync(places.journalctl, ["--no-pager", "--quiet", ...place, `_BOOT_ID=${bootId}`], {
      stdio: ["ignore", "inherit", "inherit"],
    }).status ?? 1;
  const holds = (place: string[]): boolean => {
    const { error, stdout } = ask(place, "--lines=1", "--output=cat");
    if (error !== undefined && "code" in error && error.code === "ENOENT") throw new Refusal(withoutJournald(kernel, places));
    return (stdout ?? "") !== "";
  };
  if (holds([])) return use({ from: "the system's journal", print: print([]) });
  if (machine.report.data === null) return use(null);
  return withDataFilesystem(kernel, machine, (data) => {
    for (const path of journalStores(kernel, places, machine, data)) {
      const directory = openIfThere(kernel, data, path);
      if (directory === null) continue;
      const found = withDescriptor(
        kernel,
        () => directory,
        (fd): { result: Result } | null => {
          // Another process cannot see the mount, but can open what we have open.
          const place = [`--directory=/proc/${kernel.processId()}/fd/${fd}`];
          return holds(place) ? { result: use({ from: path, print: print(place) }) } : null;
        },
      );
      if (found !== null) return found.result;
    }
    return use(null);
  });
}

/** Where a generation may hold a journal, newest first: other images may have laid their state in another way. */
function journalStores(kernel: Kernel, places: Places, machine: Machine, data: Descriptor): string[] {
  const { generations } = readGenerations(kernel, data, machine.policy.slots);
  const operator = rulingOperator(operatorsIfDeclared(kernel, places), JOURNAL);
  const usual = ["var-log-journal", "var-log", "var"].flatMap((id, index) => {
    const below = ["", "/journal", "/log/journal"][index] ?? "";
    return [`${GENERATION.tree}/${id}${below}`, `${GENERATION.overlays}/${id}/upper${below}`];
  });
  return generations
    .map(({ number }) => number)
    .sort((left, right) => right - left)
    .flatMap((number) => {
      const generation = generationPath(number);
      const own =
        operator === null ? [] : storePaths(operator, generation).map((store) => store + JOURNAL.slice(operator.path.length));
      return [...new Set([...own, ...usual.map((path) => `${generation}/${path}`)])];
    });
}

function openIfThere(kernel: Kernel, data: Descriptor, path: string): Descriptor | null {
  try {
    return openBeneath(kernel, data, path, O.RDONLY | O.DIRECTORY);
  } catch (error) {
    if (error instanceof KernelError) return null;
    throw error;
  }
}

function withoutJournald(kernel: Kernel, places: Places): string {
  const kept = operatorsIfDeclared(kernel, places).filter(({ path, state }) => {
    const logs = path === "/var" || path === "/var/log" || path.startsWith("/var/log/");
    return logs && state !== null && state !== "ephemeral";
  });
  const where = kept.map(({ path, state }) => `${path} (${state})`).join(", ");
  const look =
    kept.length === 0 ? "no operator of this image keeps anything below /var/log" : `logs that are kept are in ${where}`;
  return `this system has no journalctl, so logs are not sorted by boot; ${look}`;
}
