import { chooseTarget } from "../../boot/converge/choose-target.ts";
import { refuseImage, refuseLarge, withoutQuarantine } from "../../boot/converge/preflight.ts";
import type { ImageLayout, Seal } from "../../boot/image/seal.ts";
import { imageSizeOf } from "../../boot/image/seal.ts";
import { judgeEnvelope, trustOf } from "../../boot/image/trust.ts";
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { activate, refuseNewImage, withdraw } from "../../boot/selection/running.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { offeredRelease } from "../channel/ask-channel.ts";
import { isUrl } from "../channel/place.ts";
import type { Donor } from "../converge/compare.ts";
import { converge, planConvergence, type Wanted } from "../converge/converge.ts";
import { withInstallLock } from "../converge/install-lock.ts";
import type { OpenSlot } from "../converge/open-slot.ts";
import { openSource } from "../converge/open-source.ts";
import { readSourceSeal } from "../converge/read-source-seal.ts";
import { openDonors, openTarget, openToPlan } from "../converge/slots.ts";
import type { ImageSource } from "../converge/source.ts";
import { outputOf, ProgressTeller, type Telling } from "../converge/tell-progress.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { PLAIN, SOURCE_FLAGS, SOURCE_HELP, sourceOptions } from "../network/options.ts";
import { refuseWithoutSpace } from "./activation-space.ts";
import { amountsOf, type ConvergeAnswer, finishConverge, tellingOf } from "./converge-answer.ts";
import {
  type Change,
  changeRecord,
  type Machine,
  PLACES,
  type Places,
  readMachine,
  requireSlot,
  writeRecord,
} from "./machine.ts";
import { flag, text, type Verb } from "./verb.ts";

const WHO = "slipway install";

/** What is asked for. */
export interface InstallOrder {
  source: ImageSource;
  /** Null: the one that is best given up. */
  slot: SlotName | null;
  dryRun: boolean;
  /** In spite of a quarantine. */
  retry: boolean;
  telling: Telling;
}

/** An image that this machine may get, and what it is to know of it. */
interface Judged {
  name: string;
  seal: Seal;
  layout: ImageLayout;
  imageId: string;
  warnings: string[];
}

/**
 * Makes a slot hold the source's image and the next boot choose it. Throws BadInput for a slot that is not there, Refusal where
 * the image or the machine's state forbid it (nothing is written then), SourceError where the source fails: what has come is
 * kept, and the same again goes on with it.
 */
export async function install(kernel: Kernel, places: Places, order: InstallOrder): Promise<ConvergeAnswer> {
  const machine = readMachine(kernel, places);
  const run = () => installInto(kernel, places, machine, order);
  return order.dryRun ? run() : withInstallLock(kernel, places.installLock, WHO, run);
}

async function installInto(kernel: Kernel, places: Places, machine: Machine, order: InstallOrder): Promise<ConvergeAnswer> {
  const { policy, report } = machine;
  const record = changeRecord(kernel, places, WHO, ({ record }) => record);
  const named = order.slot === null ? null : requireSlot(machine, order.slot);
  const image = await judged(machine, order.source);
  refuseImage(image, { system: machine.control.system, record, policy, initrd: report, retry: order.retry });
  if (named === null && report.imageId === image.imageId) return nothingToDo(image, report.slot);
  const others = openDonors(kernel, machine, null);
  try {
    const holders = others.filter(({ manifest }) => manifest.rootHash === image.imageId).map(({ name }) => name);
    const slot = named ?? chooseTarget(record, report.slot, policy, holders);
    refuseNewImage(record, slot, report.slot);
    const target = (order.dryRun ? openToPlan : openTarget)(kernel, machine, slot);
    try {
      const donors = others.filter(({ name }) => name !== slot);
      refuseLarge(image, slot, target.size);
      const before = holders.includes(slot) ? record : withdraw(record, slot, report.slot);
      const armed = activate(before, slot, image.imageId, report.slot, policy);
      const warnings = [...image.warnings, ...refuseWithoutSpace(kernel, places, machine, armed, slot)];
      const job = { kernel, places, machine, order, image: { ...image, warnings }, slot, target, donors };
      return await (order.dryRun ? planned(job) : carriedOut(job, record));
    } finally {
      target.close();
    }
  } finally {
    for (const { slot } of others) slot.close();
  }
}

/** The source's image, with a seal that this machine believes. */
async function judged(machine: Machine, source: ImageSource): Promise<Judged> {
  const { seal, layout } = await readSourceSeal(source);
  const trust = trustOf(machine.control.trust);
  const verdict = await judgeEnvelope("the seal", seal.envelope, trust);
  if (!verdict.trusted) throw new Refusal(`${source.name}: ${verdict.reason}; nothing of it is used`);
  const unsigned = "this machine installs images that nobody signed: its control file says trust: unsigned";
  const { system, version, rootHash } = seal.manifest;
  const warnings = trust.mode === "unsigned" ? [unsigned] : [];
  return { name: `${system} ${version} (${source.name})`, seal, layout, imageId: rootHash, warnings };
}

function nothingToDo(image: Judged, slot: SlotName): ConvergeAnswer {
  const did = [`Slot ${slot} runs ${image.name} already.`];
  return {
    slot,
    changed: false,
    did,
    warnings: image.warnings,
    next: "nothing to do.",
    ...about(image),
    bytes: null,
    networkBytes: 0,
  };
}

function about({ seal, imageId }: Judged): Pick<ConvergeAnswer, "image"> {
  return { image: { version: seal.manifest.version, imageId, size: imageSizeOf(seal.manifest, seal.bytes.length) } };
}

interface Job {
  kernel: Kernel;
  places: Places;
  machine: Machine;
  order: InstallOrder;
  image: Judged;
  slot: SlotName;
  target: OpenSlot;
  donors: readonly Donor[];
}

function wantedOf({ kernel, order, image, slot, target, donors }: Job, withdrawRecord: () => void): [Wanted, ProgressTeller] {
  const { source, telling } = order;
  const teller = new ProgressTeller(kernel, telling, outputOf(telling), slot, source);
  const { seal, layout } = image;
  return [{ seal, layout, source, target, donors, withdraw: withdrawRecord, told: (step) => teller.tell(step) }, teller];
}

async function planned(job: Job): Promise<ConvergeAnswer> {
  const { image, slot, donors, order } = job;
  const [wanted, teller] = wantedOf(job, () => {});
  const plan = await planConvergence(wanted).finally(() => teller.end());
  const { bytes, lines } = amountsOf(plan, donors, slot);
  return {
    slot,
    changed: false,
    did: [`Slot ${slot} would get ${image.name}:`, ...lines],
    warnings: image.warnings,
    next: "run the same without --dry-run.",
    ...about(image),
    bytes,
    networkBytes: order.source.transferred,
  };
}

async function carriedOut(job: Job, before: BootRecord): Promise<ConvergeAnswer> {
  const { kernel, places, machine, image, slot, donors, order } = job;
  let expected = before;
  const change = (make: (facts: Change) => BootRecord) =>
    changeRecord(kernel, places, WHO, (facts) => {
      refuseChanged(facts, machine, slot, expected);
      expected = make(facts);
      if (JSON.stringify(expected) !== JSON.stringify(facts.record)) writeRecord(facts.store, expected);
    });
  const [wanted, teller] = wantedOf(job, () => change(({ record }) => withdraw(record, slot, machine.report.slot)));
  const done = await converge(wanted).finally(() => teller.end());
  const { bytes, lines } = amountsOf(done, donors, slot);
  change(({ record }) => {
    const allowed = order.retry ? withoutQuarantine(record, image.imageId) : record;
    return activate(allowed, slot, image.imageId, machine.report.slot, machine.policy);
  });
  const { state, tries } = slotOf(expected, slot);
  const did = done.changed
    ? [`Slot ${slot} holds ${image.name}, whole and read back:`, ...lines]
    : [`Slot ${slot} holds ${image.name} already, whole: nothing was written.`];
  const as = state === "committed" ? "as a committed slot" : "on trial";
  return {
    slot,
    changed: done.changed || JSON.stringify(expected) !== JSON.stringify(before),
    did: [...did, `The next boot is slot ${slot}, ${as} with ${tries} tries.`],
    warnings: image.warnings,
    next: `reboot (systemctl reboot) to go to slot ${slot}.`,
    ...about(image),
    bytes,
    networkBytes: order.source.transferred,
  };
}

/** An install may take hours, in which the record is everybody's: what it began from must still be so. Throws Refusal. */
function refuseChanged({ machine: now, record }: Change, { report }: Machine, slot: SlotName, expected: BootRecord): void {
  if (now.report.attempt !== report.attempt) throw new Refusal("another boot is under way than the one that began this install");
  const [was, is] = [slotOf(expected, slot), slotOf(record, slot)];
  if (was.state === is.state && was.imageId === is.imageId) return;
  throw new Refusal(
    `slot ${slot} was ${was.state} and is ${is.state} now: somebody else changed it meanwhile; look at slipway status, and run this again`,
  );
}

export const verb: Verb = {
  help: `
Usage: slipway install SOURCE [OPTION]…

Makes a slot hold the image of SOURCE, and the next boot try it. SOURCE is the URL of an image (https:, http:, file:), the path
of one, a device that one was copied to, a directory with one in it; or the URL or directory of a channel, of which it is the
release that "slipway check" tells. What the slot and the other slots hold already is used,
the rest is fetched; each block is checked before it is written. Run it again after an interruption of any kind: it goes on.

The slot is neither the running one nor, where there are more than two, the fallback. Refused before anything is written: while
the running slot is on trial or another one waits for its trial; for a slot in use; for an image that is not signed as this
machine asks for, of another system, older than one that was committed, too large, quarantined, or in need of a newer initrd;
and where the data filesystem has no space for the clone of the state that the slot's first boot makes.

Options:
  --slot SLOT  into this slot, which must not be the running one
  --channel NAME
               the name that the channel must have, where SOURCE is one
  --dry-run    say how many bytes would come from where, and change nothing
  --retry      install an image that is quarantined, and forget its quarantine
  --reboot     reboot once it is installed
  --json       print one JSON object a line: type "progress" while it goes on; at last "result": slot, changed, did, warnings,
               next, image, bytes, networkBytes

${SOURCE_HELP}`,
  options: {
    ...SOURCE_FLAGS,
    slot: { type: "string" },
    channel: { type: "string" },
    "dry-run": { type: "boolean" },
    retry: { type: "boolean" },
    reboot: { type: "boolean" },
    json: { type: "boolean" },
  },
  positionals: ["SOURCE"],
  async run(values, [name = ""]) {
    const kernel = linuxKernel();
    const [json, reboot] = [flag(values, "json"), flag(values, "reboot")];
    const network = isUrl(name) ? sourceOptions(kernel, values, name) : PLAIN;
    const retry = flag(values, "retry");
    const choose = (channel: string, file: Uint8Array) =>
      offeredRelease(kernel, PLACES, channel, file, { who: WHO, channel: text(values, "channel") ?? null, retry });
    const source = await openSource(name, { kernel, network, choose });
    try {
      const order = { source, slot: text(values, "slot") ?? null, dryRun: flag(values, "dry-run"), retry };
      const answer = await install(kernel, PLACES, { ...order, telling: tellingOf(json) });
      return finishConverge(answer, { json, reboot }, PLACES);
    } finally {
      await source.close();
    }
  },
};
