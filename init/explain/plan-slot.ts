import { removeStep } from "../../boot/image/verity-table.ts";
import type { Stage } from "../../boot/record/record.ts";
import { wishOf } from "../../boot/recovery/changes.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { endOfLastTry } from "../../boot/selection/begin.ts";
import { whyLeft } from "../../boot/selection/left.ts";
import type { Selection } from "../../boot/selection/select.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { checkRoot, imageMount } from "../../boot/slot-image.ts";
import { readControl } from "../../state-ops/read-control.ts";
import { isDpsSlot } from "../dps/read-partitions.ts";
import { MNT, MS } from "../kernel/constants.ts";
import { checkImageControl, NEW_ROOT } from "../sequence/image.ts";
import { chooseInit, foreignAmong } from "../sequence/next-init.ts";
import type { ImageFacts, RootFacts } from "./facts.ts";
import { attachFile, dataOrder, openFile, openPartition } from "./plan-place.ts";
import { planProof } from "./plan-proof.ts";
import type { SlotPlan, StatePlan } from "./plan-shape.ts";
import { planSlotState } from "./plan-state.ts";
import type { FoundData } from "./planned-data.ts";
import type { Planning } from "./planning.ts";

/** A slot whose image nobody could look into is taken to hold what the record says, and a usual init. */
const PRESUMED_INIT = "/sbin/init";

/** Plans the attempt on the selected slot: counted, looked at, mounted, its state laid, as far as it comes. */
export async function planSlot(planning: Planning, selection: Selection, slot: string): Promise<SlotPlan> {
  const { record } = planning;
  const triesBefore = slotOf(record.record, slot).tries;
  record.count(slot);
  const plan: SlotPlan = {
    slot,
    why: selection.why,
    skipped: selection.skipped,
    attempt: {
      number: record.attempt,
      trial: record.trial,
      triesBefore,
      triesAfter: slotOf(record.record, slot).tries,
      counted: record.writable,
    },
    device: null,
    imageId: null,
    proof: null,
    checks: [],
    init: null,
    state: null,
    failure: null,
    effects: { count: record.takeEffects(), image: [], state: [], leave: [] },
  };
  let stage: Stage = "counted";
  let opened: FoundData | null = null;
  try {
    const onImage = () => {
      stage = "image";
    };
    const onData = (found: FoundData) => {
      opened = found;
    };
    const root = await openImage(planning, plan, onImage, onData);
    plan.init = checkImage(planning, plan, root);
    stage = "state";
    plan.state = layState(planning, plan, root, opened);
  } catch (error) {
    leave(planning, plan, stage, error);
  }
  return plan;
}

/** Finds the slot's image and mounts it. Returns what is known of its root; null where nothing is. */
async function openImage(
  planning: Planning,
  plan: SlotPlan,
  onImage: () => void,
  onData: (data: FoundData) => void,
): Promise<RootFacts | null> {
  const { control, search, record, facts } = planning;
  const { slot } = plan;
  const definition = control.slots.find(({ name }) => name === slot);
  if (definition === undefined) throw new Error(`slot ${slot} is not in the control file`);
  const { path, key, number } =
    "file" in definition ? openFile(planning, plan, definition, onData) : openPartition(search, plan, definition);
  const image = facts.images[key] ?? presumed(planning, slot, path);
  if (image.fault !== null) throw new SlotFailure(image.fault.kind, image.fault.reason);
  plan.device = path;
  if ("file" in definition) plan.effects.image.push(...attachFile(definition, path));
  const dps = isDpsSlot(definition);
  if (dps) planning.unknown.push(`whether slot ${slot} proves itself: nobody looked at its partitions for tree and signature`);
  plan.proof = dps
    ? { proof: "none", signers: [], manifest: null, verity: null }
    : await planProof(planning, plan, { path, number }, image);
  plan.imageId = (dps ? slotOf(record.record, slot).imageId : image.imageId) ?? image.imageId ?? "";
  const note = record.identify(slot, plan.imageId);
  plan.effects.image.push(...record.takeEffects());
  if (note !== null) planning.warnings.push(note);
  onImage();
  plan.effects.image.push({ do: "set-read-only", device: path, readOnly: true });
  const { type, options } = imageMount(path, image.filesystem);
  const source = plan.proof.verity?.device ?? path;
  plan.effects.image.push({ do: "mount", source, target: NEW_ROOT, type, flags: MS.RDONLY, data: options });
  plan.checks.push(`${path} holds image ${plan.imageId.slice(0, 12)}, ${type}`);
  if (image.root === null) {
    planning.unknown.push(`what is in slot ${slot} (${path}): ${image.unknown ?? "nobody looked"}; taken to be sound`);
  }
  return image.root;
}

/** The facts do not speak of a device: it is taken to hold what the record says. */
function presumed(planning: Planning, slot: string, path: string): ImageFacts {
  const imageId = slotOf(planning.record.record, slot).imageId ?? "0".repeat(64);
  const unknown = `the facts do not speak of ${path}`;
  const seal = { is: "unsealed" as const, reason: unknown };
  return { fault: null, imageId, filesystem: "erofs", seal, root: null, unknown };
}

/** The checks before the state. Returns the path of the init. */
function checkImage(planning: Planning, plan: SlotPlan, root: RootFacts | null): string {
  const { facts, words, record, warnings, control, unknown } = planning;
  const ownKernel = control.kernel === "slot";
  if (ownKernel) {
    const what = `which kernel slot ${plan.slot} runs on: its image's own is started by kexec where another one runs`;
    unknown.push(`${what} (kernel: slot); the plan is that of the stage which runs on it`);
  }
  if (root === null) return words.init ?? PRESUMED_INIT;
  const foreignModules = ownKernel ? null : foreignAmong(facts.machine.kernelRelease, root.modules);
  const foreign = checkRoot({ missing: root.missingMountPoints, foreignModules }, record.trial);
  plan.checks.push("the root has the directories that the handover needs");
  if (foreign === null && !ownKernel) plan.checks.push(modulesSentence(facts.machine.kernelRelease, root));
  else if (foreign !== null) warnings.push(`slot ${plan.slot}: ${foreign}`);
  const { path, warnings: passedOver } = chooseInit(words.init, (place) => whyNot(planning, root, place));
  warnings.push(...passedOver);
  plan.checks.push(`${path} can be executed`);
  return path;
}

function modulesSentence(release: string, root: RootFacts): string {
  const own = root.modules.find(({ names }) => names.includes(release));
  return own === undefined ? "the root has no kernel modules" : `${own.directory} has modules for the kernel ${release}`;
}

function whyNot(planning: Planning, root: RootFacts, path: string): string | null {
  if (Object.hasOwn(root.inits, path)) return root.inits[path] ?? null;
  planning.unknown.push(`whether ${path} can be executed: the facts do not speak of it; taken to be so`);
  return null;
}

function layState(planning: Planning, plan: SlotPlan, root: RootFacts | null, opened: FoundData | null): StatePlan | null {
  const { control, unknown } = planning;
  const { record, attempt, trial, previous } = planning.record;
  if (root === null) {
    unknown.push(`the state of slot ${plan.slot}: its image's control file is unknown`);
    return null;
  }
  return planSlotState({
    ...dataOrder(planning, plan.effects.state),
    opened,
    imageControl: root.control === null ? null : checkImageControl(readControl(root.control), control),
    slot: plan.slot,
    imageId: plan.imageId ?? "",
    attempt,
    trial,
    previousEnd: endOfLastTry(previous, plan.slot, plan.imageId ?? ""),
    committed: record.lastCommitted,
    memory: planning.facts.machine.memory ?? null,
    wish: wishOf(record, plan.slot, plan.imageId),
    left: whyLeft(record, planning.record.failed, control.trust),
  });
}

/** The slot failed: nothing of it stays mounted or read-only, and the record says why. */
function leave(planning: Planning, plan: SlotPlan, stage: Stage, error: unknown): void {
  const reason = error instanceof Error ? error.message : String(error);
  const kind = error instanceof SlotFailure ? error.kind : "boot";
  plan.effects.image.push(...planning.record.takeEffects());
  for (const effect of plan.effects.image.toReversed()) {
    if (effect.do === "mount") {
      const flags = effect.target === NEW_ROOT ? MNT.DETACH : MNT.DETACH | MNT.NOFOLLOW;
      plan.effects.leave.push({ do: "unmount", target: effect.target, flags });
    }
    if (effect.do === "set-read-only") plan.effects.leave.push({ ...effect, readOnly: false });
    if (effect.do === "device-mapper" && effect.call === "DM_DEV_CREATE") {
      plan.effects.leave.push({ do: "device-mapper", ...removeStep(effect.request.name) });
    }
  }
  planning.record.fail(plan.slot, { kind, reason }, stage);
  plan.effects.leave.push(...planning.record.takeEffects());
  plan.failure = { stage, kind, reason };
  plan.init = null;
}
