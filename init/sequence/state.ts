import type { BootReport } from "../../boot/report.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { isKept, keepsState, planStateWithout, whyNoPrevious } from "../../state-ops/data-use.ts";
import type { StateWish } from "../../state-ops/recovery.ts";
import { inSafeMode, memoryIn, planSafeMode, SAFE_MODE } from "../../state-ops/safe-mode.ts";
import { needsOverlay } from "../../state-ops/state-plan.ts";
import { readText } from "../kernel/files.ts";
import { type Kernel, KernelError } from "../kernel/kernel.ts";
import { applyState } from "../state/apply.ts";
import { detachDataFilesystem } from "../state/data-filesystem.ts";
import {
  closeData,
  DATA_PLACE,
  DamagedUnderImage,
  type DataRequest,
  failureText,
  openDataIfPossible,
  withRepair,
} from "./data.ts";
import { type GenerationRequest, type MadeGeneration, makeGeneration } from "./generation.ts";
import type { Launch } from "./launch.ts";
import type { OpenData } from "./open-data.ts";

/** Whose state is laid, and what the counters know of it. */
export interface StateRequest extends DataRequest, Omit<GenerationRequest, "wish"> {
  /** The image's control file; null where it has none, and so no writable state. */
  imageControl: ControlFile | null;
  /** How it is laid. */
  wish: StateWish;
}

export interface LaidState {
  generation: string | null;
  /** The data filesystem; null where none was needed or could be used. */
  data: BootReport["data"];
  /** For {@link BootReport.stateNotes}. */
  notes: string[];
  /** The data filesystem is still mounted at its own place. */
  dataVisible: boolean;
  degraded: { path: string; reason: string }[];
  /** Persistent state is in memory, since a recovery wanted it so. */
  safeMode: boolean;
}

/**
 * Lays the image's declared state over it: mounts the data filesystem, makes the slot's generation, carries out the mount
 * plan. Throws where an operator that is `required` cannot be laid. {@link detachState} undoes what stays visible. A data
 * filesystem that is `opened` already belongs to this function, and is mounted no more where it throws. What a recovery wishes
 * is had, or this throws.
 */
export async function layState(launch: Launch, request: StateRequest): Promise<LaidState> {
  const { imageControl, newRoot, slot, opened, wish } = request;
  const unkept = wish === "previous" ? whyNoPrevious(imageControl?.operators ?? [], slot) : null;
  if (unkept !== null) {
    if (opened !== null) closeData(launch.kernel, opened);
    throw new Error(unkept);
  }
  const safeMode = wish === "memory";
  if (imageControl === null) {
    launch.warn(`the image in slot ${slot} has no control file: it gets no writable state; compile one into it`);
    if (opened !== null) launch.kernel.close(opened.root);
    return { generation: null, data: opened?.facts ?? null, notes: [], dataVisible: opened !== null, degraded: [], safeMode };
  }
  const { operators } = imageControl;
  const onProgress = () => launch.chores();
  const keeps = keepsState(operators);
  const { data, generation, missing } = keeps ? await openState(launch, request, imageControl) : { ...NO_STATE, data: opened };
  try {
    const steps = safeMode
      ? planSafeMode(operators, { missing, memory: readMemory(launch.kernel) })
      : planStateWithout(operators, { generation: generation?.path ?? null }, missing);
    if (needsOverlay(steps)) launch.loadForFilesystem("overlay");
    const laid = applyState(launch.kernel, { steps, newRoot, data: data?.root ?? null, onProgress });
    for (const warning of laid.warnings) launch.warn(warning);
    const planned = new Set(steps.flatMap((step) => (step.do === "tmpfs" && step.degraded ? [`/${step.path}`] : [])));
    const failed = laid.degraded.map(({ path, reason }) => ({
      path,
      reason: planned.has(path) ? (missing ?? reason) : reason,
    }));
    const degraded = safeMode ? inSafeMode(operators, failed) : failed;
    if (safeMode) launch.note(SAFE_MODE);
    for (const { path, reason } of degraded) launch.warn(`${path} is degraded to memory: ${reason}`);
    return {
      generation: generation?.name ?? null,
      data: (data ?? opened)?.facts ?? null,
      notes: generation?.notes ?? [],
      dataVisible: data !== null,
      degraded,
      safeMode,
    };
  } catch (error) {
    if (data !== null) detachDataFilesystem(launch.kernel, DATA_PLACE);
    throw error;
  } finally {
    if (data !== null) launch.kernel.close(data.root);
  }
}

function readMemory(kernel: Kernel): number | null {
  try {
    return memoryIn(readText(kernel, "/proc/meminfo"));
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    return null;
  }
}

/** Takes the data filesystem's own mount away, where it is; the binds made from it stay. */
export function detachState(launch: Launch, laid: LaidState): void {
  if (!laid.dataVisible) return;
  detachDataFilesystem(launch.kernel, DATA_PLACE);
  laid.dataVisible = false;
}

interface OpenState {
  data: OpenData | null;
  generation: MadeGeneration | null;
  /** Why there is no generation; null where there is one, or none is needed. */
  missing: string | null;
}

const NO_STATE: OpenState = { data: null, generation: null, missing: null };

/**
 * Mounts the data filesystem and makes the slot's generation. A committed slot whose stores may all be degraded goes on without;
 * a trial that cannot have its generation fails, and leaves the committed one alone.
 */
async function openState(launch: Launch, request: StateRequest, imageControl: ControlFile): Promise<OpenState> {
  const { wish } = request;
  const { data, missing } = await openDataIfPossible(launch, request);
  if (data === null && wish === "previous") throw new Error(`recovery cannot go back to the state before: ${missing}`);
  if (data === null) return { data, generation: null, missing };
  if (wish === "memory") return { data, generation: null, missing: null };
  try {
    const opened = await withRepair(launch, data, (open) => makeGeneration(launch, open, { ...request, wish }, imageControl));
    return { data: opened.data, generation: opened.result, missing: null };
  } catch (error) {
    if (error instanceof DamagedUnderImage) throw error;
    const required = imageControl.operators.some((operator) => isKept(operator) && operator.onFailure === "required");
    const reason = failureText(data.facts.device, error);
    if (request.trial || required || wish !== "ordinary") throw error instanceof KernelError ? new Error(reason) : error;
    launch.warn(`no generation: ${reason}`);
    return { ...NO_STATE, missing: reason };
  }
}
