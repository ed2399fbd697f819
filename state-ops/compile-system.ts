import { storeDevices } from "./boot-record-rules.ts";
import { bootloaderFaults } from "./bootloader-rules.ts";
import { bootRecordProblems, compileBootRecord, type ReadText } from "./compile-boot-record.ts";
import { compileInstall } from "./compile-install.ts";
import { compileRecovery, type ReadAuthorities } from "./compile-recovery.ts";
import { compileSlots } from "./compile-slots.ts";
import { compileTrust, type ReadCertificate, type ReadKey } from "./compile-trust.ts";
import type { ControlFile, PartitionSlot } from "./control.ts";
import { deviceFault } from "./device-reference.ts";
import { problemAt } from "./problems.ts";
import type { Problem, SourceDocument } from "./schema/document.ts";
import type { SystemDefinition } from "./schema/system.ts";
import { parseDuration } from "./schema/words.ts";

/** Longest time that a control file may ask for, in seconds. */
const day = 86_400;

/** Reads the files that a system definition names. */
export interface ReadBeside {
  key: ReadKey;
  certificate: ReadCertificate;
  authorities: ReadAuthorities;
  text: ReadText;
}

type SystemPart = Omit<ControlFile, "accounts" | "operators" | "digest">;

/** The control file's part that system.yaml rules, with every default filled in. */
export function compileSystem(
  definition: SystemDefinition,
  document: SourceDocument,
  read: ReadBeside,
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
  const { trust, ...said } = compileTrust(definition.trust, document, read);
  const { recovery, ...saidOfRecovery } = compileRecovery(definition.recovery, {
    document,
    trust,
    data: definition.data?.device ?? null,
    readAuthorities: read.authorities,
  });
  problems.push(...said.problems, ...saidOfRecovery.problems);
  const { bootRecord, problems: wrongRecord } = compileBootRecord(definition["boot-record"], document, read.text);
  problems.push(...wrongRecord);
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
            grow: data.grow ?? false,
            create: data.create ?? definition.install !== undefined,
          },
    bootRecord: bootRecord ?? { store: "record", device: definition["boot-record"].device ?? null },
    chooser: definition.chooser ?? "slipway",
    tries: { trial: tries?.trial ?? 3, committed: tries?.committed ?? 10 },
    trialDeadline: seconds(["trial-deadline"], definition["trial-deadline"] ?? 600),
    deviceTimeout: seconds(["device-timeout"], definition["device-timeout"] ?? 30),
    watchdog:
      watchdog === undefined
        ? null
        : { timeout: seconds(["watchdog", "timeout"], watchdog.timeout), after: watchdog.after ?? "systemd" },
    ...(definition.kernel === "slot" ? { kernel: "slot" } : {}),
    ...(definition.delegate === true ? { delegate: true } : {}),
    commandLine: definition["command-line"] ?? (trust.mode === "signed" ? "locked" : "open"),
    trust,
    recovery,
    install: null,
    ...(definition.bootloader === undefined ? {} : { bootloader: definition.bootloader }),
  };
  const { install, ...saidOfInstall } = compileInstall(definition, system, document);
  problems.push(...saidOfInstall.problems, ...deviceProblems(system, document));
  if (bootRecord !== null) problems.push(...bootRecordProblems(system, document));
  if (system.bootloader !== undefined) {
    const faults = bootloaderFaults(system.bootloader, system);
    problems.push(...faults.map(({ at, text }) => problemAt(document, [...at], text)));
  }
  const warnings = [...said.warnings, ...saidOfRecovery.warnings, ...saidOfInstall.warnings];
  return { system: { ...system, install }, problems, warnings };
}

/** The partitions that a slot is, and the keys that name them. */
function partitionsOf({ device, verity, signature }: PartitionSlot): { key: string; device: string }[] {
  return Object.entries({ device, verity, signature }).flatMap(([key, named]) =>
    named === undefined ? [] : [{ key, device: named }],
  );
}

function deviceProblems(system: SystemPart, document: SourceDocument): Problem[] {
  const uses = [
    ...system.slots.flatMap((slot) =>
      "device" in slot
        ? partitionsOf(slot).map(({ key, device }) => ({ path: ["slots", slot.name, key], device, shared: true }))
        : [],
    ),
    ...(system.bootRecord.device === null
      ? []
      : [{ path: ["boot-record", "device"], device: system.bootRecord.device, shared: true }]),
    ...(system.data === null ? [] : [{ path: ["data", "device"], device: system.data.device, shared: true }]),
    ...(system.recovery.factory === null
      ? []
      : [{ path: ["recovery", "factory"], device: system.recovery.factory, shared: true }]),
    ...(system.disk === null ? [] : [{ path: ["disk"], device: system.disk, shared: false }]),
    ...storeDevices(system.bootRecord).map(({ at, device }) => ({ path: [...at], device, shared: false })),
  ];
  const twice = uses.flatMap(({ path, device, shared }, index) => {
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
  return [...twice, ...creationProblem(system, document), ...requestProblem(system, document)];
}

/** What is made has a place that is there before. */
function creationProblem({ data }: SystemPart, document: SourceDocument): Problem[] {
  const byContent = data?.create === true && /^(LABEL|UUID)=/.test(data.device);
  if (!byContent) return [];
  const text = `"create": ${data.device} names a filesystem, and the one that is to be made is not there yet; write PARTLABEL=…`;
  return [problemAt(document, ["data", "device"], text)];
}

/** A slot and the boot record are no filesystems that a file could be removed from. */
function requestProblem({ recovery, slots, bootRecord }: SystemPart, document: SourceDocument): Problem[] {
  const { request } = recovery;
  if (request === null) return [];
  const path = ["recovery", "request", "device"];
  const wrong = deviceFault(request.device);
  if (wrong !== null) return [problemAt(document, path, wrong)];
  const slot = slots.find((candidate) => "device" in candidate && candidate.device === request.device);
  const what = slot !== undefined ? `slot ${slot.name}` : request.device === bootRecord.device ? "the boot record" : null;
  if (what === null) return [];
  return [problemAt(document, path, `${request.device} is ${what}, where nobody can put a file; name another filesystem`)];
}
