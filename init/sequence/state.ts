import { readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { checkDataFilesystem, keepsState, otherDataFilesystem, planStateWithout } from "../../state-ops/data-use.ts";
import { type GenerationFacts, planGeneration } from "../../state-ops/generation-plan.ts";
import { generationName } from "../../state-ops/layout.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import type { Descriptor } from "../kernel/kernel.ts";
import { applyState } from "../state/apply.ts";
import { detachDataFilesystem, layOut, mountDataFilesystem, readGenerations } from "../state/data-filesystem.ts";
import { prepareGeneration } from "../state/generations.ts";
import type { Launch } from "./launch.ts";

/** Where PID 1 alone sees the data filesystem, until the handover. */
export const DATA_PLACE = "/run/slipway/data";

/** Whose state is laid, and what the counters know of it. */
export interface StateRequest {
  newRoot: Descriptor;
  /** The image's control file; null where it has none, and so no writable state. */
  imageControl: ControlFile | null;
  slot: string;
  imageId: string;
  attempt: number;
  trial: boolean;
  previousEnd: GenerationFacts["previousEnd"];
  committed: GenerationFacts["committed"];
  /** UUID that the boot record knows of the data filesystem. */
  knownData: string | null;
  /** Resolves the data partition's device. Called only where an operator needs it. */
  findDevice(): Promise<string>;
}

export interface LaidState {
  generation: string | null;
  /** UUID of the data filesystem; null where none was needed. */
  dataFilesystem: string | null;
  /** The data filesystem is still mounted at its own place. */
  dataVisible: boolean;
  degraded: { path: string; reason: string }[];
}

/**
 * Lays the image's declared state over it: mounts the data filesystem, makes the slot's generation, carries out the mount
 * plan. Throws where an operator that is `required` cannot be laid. {@link detachState} undoes what stays visible.
 */
export async function layState(launch: Launch, request: StateRequest): Promise<LaidState> {
  const { imageControl, newRoot, slot } = request;
  if (imageControl === null) {
    launch.warn(`the image in slot ${slot} has no control file: it gets no writable state; compile one into it`);
    return { generation: null, dataFilesystem: null, dataVisible: false, degraded: [] };
  }
  const { operators } = imageControl;
  const onProgress = () => launch.chores();
  const { data, missing } = keepsState(operators) ? await openDataIfPossible(launch, request) : { data: null, missing: null };
  try {
    const generation = data === null ? null : makeGeneration(launch, data, request, imageControl.digest);
    const steps = planStateWithout(operators, { generation: generation?.path ?? null, slot }, missing);
    if (steps.some((step) => step.do === "overlay")) launch.loadForFilesystem("overlay");
    const laid = applyState(launch.kernel, { steps, newRoot, data: data?.root ?? null, onProgress });
    for (const warning of laid.warnings) launch.warn(warning);
    for (const { path, reason } of laid.degraded) launch.warn(`${path} is degraded to memory: ${reason}`);
    const dataFilesystem = data?.uuid ?? null;
    return { generation: generation?.name ?? null, dataFilesystem, dataVisible: data !== null, degraded: laid.degraded };
  } catch (error) {
    if (data !== null) detachDataFilesystem(launch.kernel, DATA_PLACE);
    throw error;
  } finally {
    if (data !== null) launch.kernel.close(data.root);
  }
}

/** Takes the data filesystem's own mount away, where it is; the binds made from it stay. */
export function detachState(launch: Launch, laid: LaidState): void {
  if (!laid.dataVisible) return;
  detachDataFilesystem(launch.kernel, DATA_PLACE);
  laid.dataVisible = false;
}

/** A data filesystem that cannot be used fails the slot only where an operator says `required`. */
async function openDataIfPossible(launch: Launch, request: StateRequest) {
  const definition = launch.control.data;
  if (definition === null) return { data: null, missing: "the control file has no data:" };
  try {
    return { data: await openData(launch, definition, request), missing: null };
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    launch.warn(`no data filesystem: ${missing}`);
    return { data: null, missing };
  }
}

async function openData(launch: Launch, data: NonNullable<ControlFile["data"]>, request: StateRequest) {
  const { kernel } = launch;
  const device = await request.findDevice();
  const superblock = withOpen(kernel, device, O.RDONLY, (fd) => readSuperblock(kernel.read(fd, SUPERBLOCK_BYTES, 0n)));
  checkDataFilesystem(device, superblock?.type ?? null, data);
  const uuid = superblock?.uuid ?? "unknown";
  const other = otherDataFilesystem(uuid, request.knownData);
  if (other !== null) launch.warn(other);
  launch.loadForFilesystem(data.filesystem);
  const root = mountDataFilesystem(kernel, device, data.filesystem, DATA_PLACE);
  try {
    for (const warning of layOut(kernel, root, uuid)) launch.warn(warning);
    return { root, uuid };
  } catch (error) {
    kernel.close(root);
    detachDataFilesystem(kernel, DATA_PLACE);
    throw error;
  }
}

function makeGeneration(launch: Launch, data: { root: Descriptor }, request: StateRequest, controlDigest: string) {
  const { slot, imageId, trial, previousEnd, committed, attempt } = request;
  const slots = launch.control.slots.map((definition) => definition.name);
  const found = readGenerations(launch.kernel, data.root, slots);
  const plan = planGeneration({ slot, imageId, controlDigest, trial, previousEnd, committed, ...found });
  launch.log.info(`state: ${plan.do} generation: ${plan.why}`);
  if (plan.reason !== null) launch.warn(plan.reason);
  const order = { plan, slot, imageId, controlDigest, attempt };
  const prepared = prepareGeneration(launch.kernel, data.root, order, () => launch.chores());
  for (const warning of prepared.warnings) launch.warn(warning);
  return { name: generationName(prepared.number), path: prepared.path };
}
