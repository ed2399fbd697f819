import { withoutDamage } from "../../boot/converge/preflight.ts";
import { imageSizeOf, layoutOf, type Seal } from "../../boot/image/seal.ts";
import { judgeEnvelope, trustOf } from "../../boot/image/trust.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { heldRelease } from "../channel/held-release.ts";
import { isUrl } from "../channel/place.ts";
import { SourceNeeded } from "../converge/carry-out.ts";
import { type Converged, converge, planConvergence, type Wanted } from "../converge/converge.ts";
import { TreeMissing } from "../converge/image-tree.ts";
import { withInstallLock } from "../converge/install-lock.ts";
import type { OpenSlot } from "../converge/open-slot.ts";
import { openSource } from "../converge/open-source.ts";
import { readSourceSeal } from "../converge/read-source-seal.ts";
import { openDonors, openTarget, openToPlan } from "../converge/slots.ts";
import type { ImageSource } from "../converge/source.ts";
import { outputOf, ProgressTeller, type Telling, tellTrouble } from "../converge/tell-progress.ts";
import { isSameImage, sealOf } from "../converge/withdraw.ts";
import { readSeal, searchSeal } from "../image/read-seal.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { PLAIN, SOURCE_FLAGS, SOURCE_HELP, sourceOptions } from "../network/options.ts";
import { changeRecord, writeRecord } from "./change-record.ts";
import { amountsOf, type ConvergeAnswer, finishConverge, tellingOf } from "./converge-answer.ts";
import { type Machine, PLACES, type Places, readMachine, requireSlot } from "./machine.ts";
import { openSlotPlace } from "./slot-place.ts";
import { flag, type Verb } from "./verb.ts";

const WHO = "slipway repair";

export interface RepairOrder {
  slot: SlotName;
  /** Null: the other slots have to suffice. */
  source: ImageSource | null;
  dryRun: boolean;
  telling: Telling;
}

/**
 * Makes the image that a slot holds whole again, in place, and takes back that it was found damaged. Throws BadInput for a slot
 * that is not there, Refusal for the running one, where nothing tells which image it was, and where blocks are missing that no
 * other slot has; SourceError where the source fails.
 */
export async function repair(kernel: Kernel, places: Places, order: RepairOrder): Promise<ConvergeAnswer> {
  const machine = readMachine(kernel, places);
  const slot = requireSlot(machine, order.slot);
  const run = async () => {
    refuseRunning(kernel, places, machine, slot);
    // A file that is not there must not be made: it would hold nothing to repair.
    if (!order.dryRun) openSlotPlace(kernel, machine, slot).close();
    const target = (order.dryRun ? openToPlan : openTarget)(kernel, machine, slot);
    try {
      return await repairOpen(kernel, places, machine, target, { ...order, slot });
    } finally {
      target.close();
    }
  };
  return order.dryRun ? run() : withInstallLock(kernel, places.installLock, WHO, run);
}

/** Promise P2: not the running slot, whose device the kernel keeps read-only, and none while the running one is on trial. */
function refuseRunning(kernel: Kernel, places: Places, { report }: Machine, slot: SlotName): void {
  if (slot === report.slot) {
    throw new Refusal(
      `slot ${slot} runs, and a running slot is never written; boot another one (slipway rollback), and repair it from there`,
    );
  }
  const record = changeRecord(kernel, places, WHO, ({ record }) => record);
  if (slotOf(record, report.slot).state === "committed") return;
  throw new Refusal(`the running slot ${report.slot} is on trial, and no slot is written meanwhile; run "slipway commit" first`);
}

async function repairOpen(
  kernel: Kernel,
  places: Places,
  machine: Machine,
  target: OpenSlot,
  { slot, source, dryRun, telling }: RepairOrder,
): Promise<ConvergeAnswer> {
  const seal = await sealToRepair(target, slot, source);
  const { manifest } = seal;
  const verdict = await judgeEnvelope("the seal", seal.envelope, trustOf(machine.control.trust));
  if (!verdict.trusted) throw new Refusal(`slot ${slot}: ${verdict.reason}; install a good image there`);
  const donors = openDonors(kernel, machine, slot);
  const teller = new ProgressTeller(kernel, telling, outputOf(telling), slot, source);
  const withdraw = (): never => {
    throw new Refusal(`slot ${slot} holds another image by now; run this again`);
  };
  try {
    const layout = layoutOf(manifest);
    const wanted: Wanted = { seal, layout, source, target, donors, withdraw, told: (step) => teller.tell(step) };
    const run = async (): Promise<Converged> =>
      dryRun ? { ...(await planConvergence(wanted)), changed: false } : converge(wanted);
    const done = await run().catch((error: unknown) => throwMissing(error, slot, source));
    const { bytes, lines } = amountsOf(done, donors, slot);
    const cleared = !dryRun && clearDamage(kernel, places, slot, manifest.rootHash);
    const name = `${manifest.system} ${manifest.version}`;
    const did = dryRun
      ? [`To repair ${name} in slot ${slot}:`, ...lines]
      : done.changed
        ? [`Slot ${slot} holds ${name}, whole again:`, ...lines]
        : [`Slot ${slot} holds ${name}, whole: nothing was written.`];
    return {
      slot,
      changed: done.changed || cleared,
      did: cleared ? [...did, "It counts as damaged no more."] : did,
      warnings: [],
      next: dryRun ? "run the same without --dry-run." : "nothing to do.",
      image: { version: manifest.version, imageId: manifest.rootHash, size: imageSizeOf(manifest, seal.bytes.length) },
      bytes,
      networkBytes: source?.transferred ?? 0,
    };
  } finally {
    teller.end();
    for (const donor of donors) donor.slot.close();
  }
}

/** The seal of the image that the slot holds: its own, or where that is damaged the source's, if the slot's footer names it. */
async function sealToRepair(target: OpenSlot, slot: SlotName, source: ImageSource | null): Promise<Seal> {
  const read = sealOf(target, readSeal);
  const own = read.is === "sealed" ? read : sealOf(target, searchSeal);
  const given = source === null ? null : (await readSourceSeal(source)).seal;
  if (own.is === "sealed" && isSameImage(target, own.seal, own.layout)) {
    if (given === null || given.manifest.rootHash === own.seal.manifest.rootHash) return own.seal;
    const [is, other] = [own.seal, given].map(({ manifest }) => `${manifest.version} (${manifest.rootHash.slice(0, 12)})`);
    throw new Refusal(
      `slot ${slot} holds ${is}, ${source?.name} is ${other}; give the image that the slot holds, or use slipway install`,
    );
  }
  if (given !== null && isSameImage(target, given, layoutOf(given.manifest))) return given;
  const reason = read.is === "sealed" ? "its seal and its footer disagree" : read.reason;
  const remedy = given === null ? "give the image that it held as SOURCE, or run slipway install" : "run slipway install";
  throw new Refusal(`slot ${slot}: ${reason}, and nothing else tells which image it held; ${remedy}`);
}

function throwMissing(error: unknown, slot: SlotName, source: ImageSource | null): never {
  if (source !== null || !(error instanceof SourceNeeded || error instanceof TreeMissing)) throw error;
  throw new Refusal(`slot ${slot}: ${error.message}; run "slipway repair ${slot} SOURCE" with the same image`);
}

/** Whether the record said damaged, and says so no more. */
function clearDamage(kernel: Kernel, places: Places, slot: SlotName, imageId: string): boolean {
  return changeRecord(kernel, places, WHO, ({ record, store }) => {
    const next = withoutDamage(record, slot, imageId);
    if (next !== record) writeRecord(store, next);
    return next !== record;
  });
}

export const verb: Verb = {
  help: `
Usage: slipway repair SLOT [SOURCE] [OPTION]…

Makes the image in SLOT whole again: finds its damaged blocks by its hash tree, takes them from other slots that have them, else
fetches them from SOURCE: the same image (as for slipway install: a URL, a path, a device, a directory), or a channel that offers
it. Seal and footer stay in place all along, and nothing but what is damaged is written. The slot counts as damaged no more
afterwards.

Refused for the running slot: its device is read-only as long as it runs, so boot another slot first. Refused while the running
slot is on trial, and where seal and footer are both lost: then nothing says which image it was, and slipway install is needed.

Options:
  --dry-run  say how many bytes would come from where, and change nothing
  --json     print one JSON object a line: type "progress" while it goes on; at last "result": slot, changed, did, warnings,
             next, image, bytes, networkBytes

${SOURCE_HELP}`,
  options: { ...SOURCE_FLAGS, "dry-run": { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["SLOT", "SOURCE?"],
  async run(values, [slot = "", name]) {
    const kernel = linuxKernel();
    const json = flag(values, "json");
    const network = name !== undefined && isUrl(name) ? sourceOptions(kernel, values, name) : PLAIN;
    const choose = (from: string, file: Uint8Array) => heldRelease(kernel, PLACES, from, file, { who: WHO, slot });
    const source = name === undefined ? null : await openSource(name, { kernel, network, told: tellTrouble, choose });
    try {
      const answer = await repair(kernel, PLACES, { slot, source, dryRun: flag(values, "dry-run"), telling: tellingOf(json) });
      return finishConverge(answer, { json, reboot: false }, PLACES);
    } finally {
      await source?.close();
    }
  },
};
