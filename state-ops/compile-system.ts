import { compileSlots } from "./compile-slots.ts";
import { compileTrust, type ReadKey } from "./compile-trust.ts";
import type { ControlFile } from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import { problemAt } from "./problems.ts";
import { DEFAULT_RECOVERY } from "./recovery.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";
import { parseDuration } from "./schema/words.ts";

/** Longest time that a control file may ask for, in seconds. */
const day = 86_400;

type SystemPart = Omit<ControlFile, "accounts" | "operators" | "digest">;

/** The control file's part that system.yaml rules, with every default filled in. */
export function compileSystem(
  definition: SystemDefinition,
  document: SourceDocument,
  readKey: ReadKey,
): { system: SystemPart; problems: Problem[]; warnings: Problem[] } {
  const problems: Problem[] = [];
  const seconds = (path: string[], value: string | number): number => {
    const result = parseDuration(value);
    if (result > day) {
      problems.push(problemAt(document, path, `"${path.at(-1)}" is ${value}; the longest is one day (24h)`));
    }
    return result;
  };
  const { slots, problems: wrongSlots } = compileSlots(definition, document);
  problems.push(...wrongSlots);
  const { trust, ...said } = compileTrust(definition.trust, document, readKey);
  problems.push(...said.problems);
  const { watchdog, data, tries } = definition;
  const system: SystemPart = {
    schema: 1,
    system: definition.system,
    slots,
    disk: definition.disk ?? null,
    data:
      data === undefined
        ? null
        : {
            device: data.device,
            filesystem: data.filesystem,
            whenReplaced: data["when-replaced"] ?? "refuse",
            grow: false,
            create: false,
          },
    bootRecord: definition["boot-record"],
    chooser: definition.chooser ?? "slipway",
    tries: { trial: tries?.trial ?? 3, committed: tries?.committed ?? 10 },
    trialDeadline: seconds(["trial-deadline"], definition["trial-deadline"] ?? 600),
    deviceTimeout: seconds(["device-timeout"], definition["device-timeout"] ?? 30),
    watchdog:
      watchdog === undefined
        ? null
        : { timeout: seconds(["watchdog", "timeout"], watchdog.timeout), after: watchdog.after ?? "systemd" },
    commandLine: definition["command-line"] ?? (trust.mode === "signed" ? "locked" : "open"),
    trust,
    recovery: DEFAULT_RECOVERY,
    install: null,
  };
  problems.push(...deviceProblems(system, document));
  return { system, problems, warnings: said.warnings };
}

function deviceProblems(system: SystemPart, document: SourceDocument): Problem[] {
  const uses = [
    ...system.slots.flatMap((slot) =>
      "device" in slot ? [{ path: ["slots", slot.name, "device"], device: slot.device, shared: true }] : [],
    ),
    { path: ["boot-record", "device"], device: system.bootRecord.device, shared: true },
    ...(system.data === null ? [] : [{ path: ["data", "device"], device: system.data.device, shared: true }]),
    ...(system.disk === null ? [] : [{ path: ["disk"], device: system.disk, shared: false }]),
  ];
  return uses.flatMap(({ path, device, shared }, index) => {
    const wrong = deviceFault(device);
    if (wrong !== null) {
      return [problemAt(document, path, wrong)];
    }
    const other = uses.slice(0, index).find((earlier) => shared && earlier.device === device);
    if (other === undefined) {
      return [];
    }
    const { line, column } = document.position(other.path);
    const text = `${device} is used twice, here and at ${document.file}:${line}:${column}; give each its own partition`;
    return [problemAt(document, path, text)];
  });
}
