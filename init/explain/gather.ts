import { type DeviceReference, parseReference } from "../../boot/devices/reference.ts";
import { matching } from "../../boot/devices/resolve.ts";
import { applyLadder, applyLock, parseCommandLine } from "../../boot/kernel-command-line.ts";
import { RUN } from "../../boot/report.ts";
import { storeDevices } from "../../state-ops/boot-record-rules.ts";
import type { ControlFile, FileSlot } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { memoryIn } from "../../state-ops/safe-mode.ts";
import { deviceUnderRecord } from "../../state-ops/slot-file.ts";
import { readReport } from "../commands/read-facts.ts";
import { needsOf, scanBlockDevices } from "../devices/scan.ts";
import { verityVersion } from "../image/verity-device.ts";
import { exists, readText, readTextIfThere } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { kernelRelease } from "../sequence/next-init.ts";
import { WATCHDOG } from "../sequence/watchdog.ts";
import { type BootFacts, fileKey, type MachineFacts } from "./facts.ts";
import { gatherData } from "./gather-data.ts";
import { gatherFileImage, gatherImage } from "./gather-image.ts";
import { conditionOf, gatherRecord } from "./gather-record.ts";
import { ReadOnlyMounts } from "./read-only-mounts.ts";
import { Search } from "./search.ts";

/** What the caller says instead of the machine. */
export interface GatherOptions {
  /** Path of the control file; null: the one that this boot was by, else the one of an initrd's own tree. */
  control: string | null;
  /** Null: /proc/cmdline. */
  commandLine: string | null;
}

const CONTROLS = [RUN.control, "/etc/slipway/control.json"];

/**
 * The facts of this machine, read without changing anything: no device is opened for writing, and what is mounted is
 * mounted read-only where nobody else sees it.
 *
 * @throws BadInput for a control file that is none, Refusal where there is none or the devices may not be read
 */
export function gatherFacts(kernel: Kernel, options: GatherOptions): BootFacts {
  const text = readControlText(kernel, options.control);
  const control = readControl(text);
  const commandLine = options.commandLine ?? readText(kernel, "/proc/cmdline");
  try {
    return { control: text, commandLine, ...gatherMachine(kernel, control, commandLine) };
  } catch (error) {
    if (!(error instanceof KernelError) || (error.code !== "EACCES" && error.code !== "EPERM")) throw error;
    throw new Refusal(`${error.message}; run this as root, or give captured facts with --facts DIR`);
  }
}

function readControlText(kernel: Kernel, path: string | null): string {
  for (const candidate of path === null ? CONTROLS : [path]) {
    const text = readTextIfThere(kernel, candidate);
    if (text !== null) return text;
  }
  if (path !== null) throw new BadInput(`cannot read the control file ${path}`);
  throw new Refusal(`there is no control file at ${CONTROLS.join(" or ")}; name one with --control FILE`);
}

function gatherMachine(kernel: Kernel, control: ControlFile, commandLine: string): Omit<BootFacts, "control" | "commandLine"> {
  const running = readRunning(kernel);
  const recordReference = parseReference(deviceUnderRecord(control));
  const { devices } = scanBlockDevices(kernel, needsOf(references(control)));
  const candidates = matching(devices, recordReference);
  const asked = applyLock(parseCommandLine(commandLine), control.commandLine === "locked");
  const words = applyLadder(asked, control.recovery.ladder);
  const mounts = new ReadOnlyMounts(kernel);
  const looks = { kernel, control, devices, mounts, words };
  const records = Object.fromEntries(candidates.map((device) => [device.name, gatherRecord(looks, device)]));
  const conditions = new Map(candidates.map((device) => [device.name, conditionOf(control, device, records[device.name])]));
  const search = new Search(control, devices, conditions);
  const found = search.findRecord();
  const facts: Omit<BootFacts, "control" | "commandLine"> = {
    machine: machineFacts(kernel, running),
    devices,
    records,
    images: {},
    data: {},
  };
  if (found.ambiguous !== null) return facts;
  const files: FileSlot[] = [];
  for (const slot of control.slots) {
    if ("file" in slot) {
      files.push(slot);
      continue;
    }
    const resolution = search.find(slot.name, slot.device);
    if (!("found" in resolution)) continue;
    const device = resolution.found;
    facts.images[device.name] = gatherImage(kernel, mounts, device, device.path === running?.device, words.init);
  }
  const runs = files.find(({ name }) => name === running?.slot);
  if (runs !== undefined && running !== null) {
    facts.images[fileKey(runs.file)] = gatherImage(kernel, mounts, { path: running.device }, true, words.init);
  }
  const data = control.data === null ? null : search.find("data", control.data.device);
  if (data !== null && "found" in data) {
    const slots = control.slots.map(({ name }) => name);
    facts.data[data.found.name] = gatherData(kernel, mounts, data.found, slots, (root) => {
      for (const slot of files.filter(({ name }) => name !== running?.slot)) {
        facts.images[fileKey(slot.file)] = gatherFileImage(kernel, mounts, root, slot, words.init);
      }
    });
  }
  return facts;
}

function references(control: ControlFile): DeviceReference[] {
  const texts = [
    deviceUnderRecord(control),
    ...control.slots.flatMap((slot) => ("device" in slot ? [slot.device] : [])),
    ...(control.disk === null ? [] : [control.disk]),
    ...(control.data === null ? [] : [control.data.device]),
    ...storeDevices(control.bootRecord).map(({ device }) => device),
  ];
  return texts.map(parseReference);
}

interface Running {
  attempt: number;
  slot: string;
  device: string;
}

/** Null where slipway did not boot this machine, or its report cannot be read. */
function readRunning(kernel: Kernel): Running | null {
  const text = readTextIfThere(kernel, RUN.report);
  if (text === null) return null;
  try {
    const { attempt, slot, slotDevice } = readReport(text);
    return { attempt, slot, device: slotDevice };
  } catch {
    return null;
  }
}

function machineFacts(kernel: Kernel, running: Running | null): MachineFacts {
  const memory = memoryIn(readTextIfThere(kernel, "/proc/meminfo") ?? "");
  return {
    kernelRelease: kernelRelease(kernel),
    unixMs: kernel.now().unixMs,
    watchdog: exists(kernel, WATCHDOG),
    ...(memory === null ? {} : { memory }),
    verity: verityVersion(kernel),
    running: running === null ? null : { attempt: running.attempt, slot: running.slot },
  };
}
