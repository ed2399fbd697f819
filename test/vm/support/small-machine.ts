/** Machines that boot small roots through the whole product: disk build, initrd build, preinit, slipway, the next init. */
import type { BootReport } from "../../../boot/report.ts";
import { consoleWord } from "../../../qemu/architecture.ts";
import { throwAwayCopy } from "../../../qemu/disks.ts";
import { guestKernel } from "../../../qemu/kernel.ts";
import { type Machine, startMachine } from "../../../qemu/machine.ts";
import type { MachineOptions } from "../../../qemu/machine-options.ts";
import { type InitrdOptions, initrdFor, madeOf, slipway } from "../../../qemu/product.ts";
import { writeFiles } from "../../../qemu/tree.ts";
import { type SmallImage, smallControl, smallImage, smallSystem } from "./small-image.ts";

export interface SmallMachineSpec {
  /** Text of system.yaml; default {@link smallSystem} with the slots that are there. */
  system?: string;
  /** What the disk is built by, where that is not `system`: a disk's own definition has partition labels only. */
  diskSystem?: string;
  /** Images by slot, or image files. */
  slots: Record<string, SmallImage | string>;
  /** Default "512M". */
  size?: string;
  /** Default what the largest image needs. */
  slotSize?: string;
  initrd?: InitrdOptions;
  /** Files that system.yaml names, by file name: "fw_env.config". */
  beside?: Record<string, string>;
  /** A loader's own partitions, as `slipway disk build --partition` takes them: "esp:esp=FILE". */
  partitions?: readonly string[];
}

/** Files of a machine. */
export interface SmallMachine {
  kernel: string;
  initrd: string;
  /** A path that works as long as this process lives; the machine's own copy. */
  disk: string;
}

/** Makes everything for a machine, with a disk of its own. */
export async function smallMachine(spec: SmallMachineSpec): Promise<SmallMachine> {
  const system = spec.system ?? smallSystem(Object.keys(spec.slots));
  const { kernel } = await guestKernel(spec.initrd?.flavour);
  const initrd = await smallInitrd(system, spec.initrd, spec.beside);
  return { kernel, initrd, disk: await smallDisk(spec) };
}

/** The initrd for `system`. Kept. */
export async function smallInitrd(
  system: string,
  options: InitrdOptions = {},
  beside: Record<string, string> = {},
): Promise<string> {
  return initrdFor(await smallControl(system, beside), options);
}

/** A throw-away copy of the disk of `spec`. */
export async function smallDisk(spec: SmallMachineSpec): Promise<string> {
  const { beside = {} } = spec;
  const control = await smallControl(spec.system ?? smallSystem(Object.keys(spec.slots)), beside);
  const system = spec.diskSystem ?? spec.system ?? smallSystem(Object.keys(spec.slots));
  const words: string[] = [];
  for (const [name, image] of Object.entries(spec.slots)) {
    words.push("--slot", `${name}=${typeof image === "string" ? image : await smallImage(image, control)}`);
  }
  if (spec.slotSize !== undefined) words.push("--slot-size", spec.slotSize);
  for (const partition of spec.partitions ?? []) words.push("--partition", partition);
  const directory = await madeOf("small-disk", [system, words, spec.size, beside], async (aside) => {
    const files = Object.entries({ ...beside, "system.yaml": system });
    writeFiles(aside, Object.fromEntries(files.map(([name, text]) => [`/${name}`, text])));
    const where = ["--size", spec.size ?? "512M", "-o", `${aside}/disk`];
    await slipway(["disk", "build", "--system", `${aside}/system.yaml`, ...words, ...where]);
  });
  return throwAwayCopy(`${directory}/disk`);
}

/** Default command line: what PID 1 and the kernel say is in the console's log. */
export const consoleWords = consoleWord();

/** Starts `machine` with its disk as vda. `append` comes behind {@link consoleWords}. */
export function startSmall(machine: SmallMachine, options: Partial<MachineOptions> = {}): Promise<Machine> {
  return startMachine({
    memoryMiB: 512,
    noReboot: true,
    timeoutMs: 90_000,
    disks: [{ file: machine.disk }],
    ...options,
    kernel: machine.kernel,
    initrd: options.initrd ?? machine.initrd,
    append: `${consoleWords} ${options.append ?? ""}`.trim(),
  });
}

/** What a boot told. */
export interface Told {
  /** Marker of the root that ran: its facts. */
  root: string;
  console: string;
  /** What the probe and the root's script reported, by name. */
  parts: ReadonlyMap<string, string>;
  /** boot.json. */
  report: BootReport;
}

/** Parts between "<<begin NAME>>" and "<<end NAME>>" lines; of two with one name the later. */
export function partsOf(results: string): Map<string, string> {
  const parts = new Map<string, string>();
  for (const [, name, text] of results.matchAll(/<<begin ([^>]+)>>\n([\s\S]*?)\n?<<end \1>>/g)) {
    if (name !== undefined && text !== undefined) parts.set(name, text.trim());
  }
  return parts;
}

/** The part `name`. Throws where it was not reported. */
export function part(told: Pick<Told, "parts">, name: string): string {
  const text = told.parts.get(name);
  if (text === undefined) throw new Error(`the guest did not report "${name}"; it reported ${[...told.parts.keys()].join(", ")}`);
  return text;
}

/**
 * Waits until a small root ran to its end, and ends the machine: by its own power-off, else by a power cut.
 * @returns what it told
 */
export async function toEnd(machine: Machine): Promise<Told> {
  const [, root = ""] = await machine.expectResult(/small root up: (.*)\n/);
  const [, ending] = await machine.expectResult(/small root ends: (.*)\n/);
  if (ending === "power-off") await machine.exited;
  else await machine.cutPower();
  const parts = partsOf(machine.results.text);
  const report: BootReport = JSON.parse(part({ parts }, "boot"));
  return { root, console: machine.console.text, parts, report };
}

/** Boots `machine` and waits until a small root ran to its end. */
export async function boot(machine: SmallMachine, options: Partial<MachineOptions> = {}): Promise<Told> {
  return toEnd(await startSmall(machine, options));
}
