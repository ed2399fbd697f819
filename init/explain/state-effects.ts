import { needsMount, type StateStep, type TmpfsStep } from "../../state-ops/state-plan.ts";
import { MNT, MS } from "../kernel/constants.ts";
import { DATA_PLACE } from "../sequence/data.ts";
import { NEW_ROOT } from "../sequence/image.ts";
import { flagsOf } from "../state/lay-context.ts";
import { layersOptions, tmpfsOptions } from "../state/lay-memory.ts";
import { overlayOptions } from "../state/lay-store.ts";
import { ROOM, ROOM_FLAGS, ROOMS } from "../state/memory-room.ts";
import type { Effect } from "./plan-shape.ts";

const memoryPlace = `/run/${ROOMS}/${ROOM.files}`;
const layersPlace = `/run/${ROOMS}/${ROOM.layers}`;

/** The mounts that lay `steps`, as init/state/apply.ts makes them where nothing fails. Links are not told. */
export function stateEffects(steps: readonly StateStep[]): Effect[] {
  const first = steps.find(usesMemoryRoom);
  const laid = steps.flatMap((step) => [...(step === first ? [mountRoom(memoryPlace, "mode=0700")] : []), ...stepEffects(step)]);
  return first === undefined ? laid : [...laid, leaveRoom(memoryPlace)];
}

/** Whether the step's file lies on the tmpfs that all files in memory share. */
function usesMemoryRoom(step: StateStep): boolean {
  if (step.kind !== "file") return false;
  return step.do === "mask" || (step.do === "tmpfs" && !hasLimits(step));
}

function hasLimits({ size, inodes }: TmpfsStep): boolean {
  return size !== null || inodes !== null;
}

function mountRoom(target: string, data: string): Effect {
  return { do: "mount", source: "tmpfs", target, type: "tmpfs", flags: ROOM_FLAGS, data };
}

function leaveRoom(target: string): Effect {
  return { do: "unmount", target, flags: MNT.DETACH | MNT.NOFOLLOW };
}

function targetOf(step: StateStep): string {
  return step.onRun ? `/${step.path}` : `${NEW_ROOT}/${step.path}`;
}

function stepEffects(step: StateStep): Effect[] {
  const target = targetOf(step);
  switch (step.do) {
    case "tmpfs":
      return step.kind === "file" ? memoryFileEffects(step) : tmpfsEffects(step);
    case "bind":
      return bindEffects(`${DATA_PLACE}/${step.store}`, step);
    case "overlay":
      return [overlayEffect(step, `${DATA_PLACE}/${step.upper}`, `${DATA_PLACE}/${step.work}`)];
    case "memory-overlay":
      return [
        mountRoom(layersPlace, layersOptions(step)),
        overlayEffect(step, `${layersPlace}/upper`, `${layersPlace}/work`),
        leaveRoom(layersPlace),
      ];
    case "symlink":
      return [];
    case "mask":
      return step.kind === "file" ? bindEffects(`${memoryPlace}/${step.id}`, step, MS.RDONLY) : maskEffects(step);
    case "readonly":
      return bindEffects(target, step, MS.RDONLY);
  }
}

function tmpfsEffects(step: TmpfsStep): Effect[] {
  const target = targetOf(step);
  if (!needsMount(step)) return [{ do: "make-directory", path: target }];
  const flags = flagsOf(step);
  const mount: Effect = { do: "mount", source: "tmpfs", target, type: "tmpfs", flags, data: tmpfsOptions(step) };
  return step.readOnly ? [mount, remountEffect(target, MS.RDONLY | flags)] : [mount];
}

function memoryFileEffects(step: TmpfsStep): Effect[] {
  const more = step.readOnly ? MS.RDONLY : 0;
  if (!hasLimits(step)) return bindEffects(`${memoryPlace}/${step.id}`, step, more);
  return [
    mountRoom(layersPlace, tmpfsOptions(step)),
    ...bindEffects(`${layersPlace}/${step.id}`, step, more),
    leaveRoom(layersPlace),
  ];
}

function maskEffects(step: StateStep): Effect[] {
  const target = targetOf(step);
  const flags = flagsOf(step);
  const mount = (early: number): Effect => ({
    ...{ do: "mount", source: "tmpfs", target, type: "tmpfs" },
    flags: early,
    data: "mode=0000",
  });
  if (step.context === null) return [mount(flags | MS.RDONLY)];
  return [mount(flags), remountEffect(target, flags | MS.RDONLY)];
}

function bindEffects(source: string, step: StateStep, more = 0): Effect[] {
  const target = targetOf(step);
  const flags = MS.BIND | MS.RELATIME | flagsOf(step) | more;
  return [{ do: "mount", source, target, type: "", flags: MS.BIND, data: "" }, remountEffect(target, flags)];
}

function remountEffect(target: string, flags: number): Effect {
  return { do: "mount", source: "none", target, type: "", flags: MS.REMOUNT | flags, data: "" };
}

function overlayEffect(step: StateStep, upper: string, work: string): Effect {
  const target = targetOf(step);
  const data = `lowerdir=${target},upperdir=${upper},workdir=${work},${overlayOptions}`;
  return { do: "mount", source: "overlay", target, type: "overlay", flags: flagsOf(step), data };
}
