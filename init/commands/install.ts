import { bootloaderRecord, refuseDuringTrial } from "../../boot/bootloader/record.ts";
import { chooseTarget } from "../../boot/converge/choose-target.ts";
import { refuseImage, refuseLarge, withoutQuarantine } from "../../boot/converge/preflight.ts";
import type { BootRecord, SlotName } from "../../boot/record/record.ts";
import { activate, refuseNewImage, withdraw } from "../../boot/selection/running.ts";
import { byPriority, slotOf } from "../../boot/selection/slots.ts";
import { canonicalJson } from "../../state-ops/canonical-json.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { NothingOffered, offeredRelease } from "../channel/ask-channel.ts";
import { type Asked, askedOf } from "../channel/asked.ts";
import { refuseOutside, UPDATE_FILE } from "../channel/settings.ts";
import type { Donor } from "../converge/compare.ts";
import { converge, planConvergence, type Wanted } from "../converge/converge.ts";
import { withInstallLock } from "../converge/install-lock.ts";
import type { OpenSlot } from "../converge/open-slot.ts";
import { openSource } from "../converge/open-source.ts";
import { openDonors, openTarget, openToPlan, slotSize } from "../converge/slots.ts";
import type { ImageSource } from "../converge/source.ts";
import { outputOf, ProgressTeller, type Telling, tellTrouble } from "../converge/tell-progress.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import { SOURCE_FLAGS, SOURCE_HELP } from "../network/options.ts";
import { refuseWithoutSpace } from "./activation-space.ts";
import { type Change, changeRecord, writeRecord } from "./change-record.ts";
import { amountsOf, type ConvergeAnswer, finishConverge, printConverged, tellingOf } from "./converge-answer.ts";
import { about, type Judged, judged, nothingOffered, nothingToDo } from "./judged-image.ts";
import { finishByKexec, KEXEC_HELP, refuseTwoWays, requireKexec } from "./kexec.ts";
import { refuseUnheard } from "./loader-facts.ts";
import { type Machine, PLACES, type Places, readMachine, requireSlot } from "./machine.ts";
import { bringUki } from "./slot-uki.ts";
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
  refuseUnheard(kernel, places, machine);
  const record = changeRecord(kernel, places, WHO, ({ record }) => record);
  refuseDuringTrial(bootloaderRecord(record.bootloader));
  const named = order.slot === null ? null : requireSlot(machine, order.slot);
  const image = await judged(machine, order.source);
  refuseImage(image, { system: machine.control.system, record, policy, initrd: report, retry: order.retry });
  if (named === null && report.imageId === image.imageId) return nothingToDo(image, report.slot);
  const others = openDonors(kernel, machine, null);
  try {
    const holders = others.filter(({ manifest }) => manifest.rootHash === image.imageId).map(({ name }) => name);
    const slot = named ?? chooseTarget(record, report.slot, policy, holders);
    refuseNewImage(record, slot, report.slot);
    refuseLarge(image, slot, slotSize(kernel, machine, slot));
    const target = (order.dryRun ? openToPlan : openTarget)(kernel, machine, slot);
    try {
      const donors = others.filter(({ name }) => name !== slot);
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

/** The same from the source that was asked for, inside of its window. A channel that has nothing for this machine is no fault. */
export async function installFrom(
  kernel: Kernel,
  places: Places,
  { source: name, channel, window, options }: Asked,
  order: Omit<InstallOrder, "source">,
): Promise<ConvergeAnswer> {
  const { slot } = readMachine(kernel, places).report;
  refuseOutside(kernel, window);
  const choose = (from: string, file: Uint8Array) =>
    offeredRelease(kernel, places, from, file, { who: WHO, channel, retry: order.retry, dryRun: order.dryRun });
  let source: ImageSource;
  try {
    source = await openSource(name, { kernel, network: options, told: tellTrouble, choose, mustBeChannel: channel !== null });
  } catch (error) {
    if (!(error instanceof NothingOffered)) throw error;
    return nothingOffered(slot, error.message);
  }
  try {
    return await install(kernel, places, { ...order, source });
  } finally {
    await source.close();
  }
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
  const { kernel, places, machine, image, slot, target, donors, order } = job;
  let expected = before;
  const change = (make: (facts: Change) => BootRecord) =>
    changeRecord(kernel, places, WHO, (facts) => {
      refuseChanged(facts, machine, slot, expected);
      expected = make(facts);
      if (!isSame(expected, facts.record)) writeRecord(facts.store, expected);
    });
  const [wanted, teller] = wantedOf(job, () => change(({ record }) => withdraw(record, slot, machine.report.slot)));
  const done = await converge(wanted).finally(() => teller.end());
  const { bytes, lines } = amountsOf(done, donors, slot);
  // Nobody else gets a device that is open to be written: neither a mount nor dm-verity.
  target.close();
  const brought = (await bringUki(kernel, machine, slot))(image.imageId);
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
    changed: done.changed || !isSame(expected, before),
    did: [...did, ...brought.did, `The next boot is slot ${slot}, ${as} with ${tries} tries.`],
    warnings: [...image.warnings, ...brought.warnings],
    next: `reboot (systemctl reboot) to go to slot ${slot}.`,
    ...about(image),
    bytes,
    networkBytes: order.source.transferred,
  };
}

/** Whether two records say the same, in whatever order. */
function isSame(left: BootRecord, right: BootRecord): boolean {
  return canonicalJson(left) === canonicalJson(right);
}

/** An install may take hours, in which the record is everybody's: what it began from must still be so. Throws Refusal. */
function refuseChanged({ machine: now, record }: Change, { report }: Machine, slot: SlotName, expected: BootRecord): void {
  if (now.report.attempt !== report.attempt) throw new Refusal("another boot is under way than the one that began this install");
  const [order, newOrder] = [byPriority(expected).join(", "), byPriority(record).join(", ")];
  // Whoever rolls back meanwhile wants to boot what he chose, and not to lose it.
  if (order !== newOrder) {
    throw new Refusal(
      `slots booted in the order ${order} and do in the order ${newOrder} now: somebody else chose one meanwhile; look at slipway status, and run this again if it is still wanted`,
    );
  }
  const [was, is] = [slotOf(expected, slot), slotOf(record, slot)];
  if (was.state === is.state && was.imageId === is.imageId) return;
  throw new Refusal(
    `slot ${slot} was ${was.state} and is ${is.state} now: somebody else changed it meanwhile; look at slipway status, and run this again`,
  );
}

export const verb: Verb = {
  help: `
Usage: slipway install [SOURCE] [OPTION]…

Makes a slot hold the image of SOURCE, and the next boot try it. SOURCE is the URL of an image (https:, http:, file:), the path
of one, a device that one was copied to, a directory with one in it; or the URL or directory of a channel, of which it is the
release that "slipway check" tells, if there is one. A URL whose last part has a dot is an image's, any other is a channel's.
Without SOURCE it is the channel that ${UPDATE_FILE} names.

What the slot and the other slots hold already is used, the rest is fetched; each block is checked before it is written. Run it
again after an interruption of any kind: it goes on.

Where systemd-boot starts unified kernel images (boot-record: bls in EFI/Linux), the one that the image brings for the slot, at
/usr/lib/slipway/uki/BOOTNAME.efi, is put beside the one that the slot has before the next boot is chosen, and takes its place
then.

The slot is neither the running one nor, where there are more than two, the fallback. Refused before anything is written: while
the running slot is on trial or another one waits for its trial; while the bootloader is on trial; where the bootloader reads
another store than slipway writes; for a slot in use; for an image that is not signed as this machine asks for, of another
system, older than one that was committed, too large, quarantined, or in need of a newer initrd; and where the data filesystem
has no space for the clone of the state that the slot's first boot makes.

Options:
  --slot SLOT  into this slot, which must not be the running one
  --channel NAME
               SOURCE must be the channel of that name
  --window HH:MM-HH:MM
               refuse to begin outside of these hours, in local time (default: as ${UPDATE_FILE} says where SOURCE is left out)
  --dry-run    say how many bytes would come from where, and change nothing
  --retry      install an image that is quarantined, and forget its quarantine
  --reboot     reboot once it is installed, or was before
  ${KEXEC_HELP}
  --json       print one JSON object a line: type "progress" while it goes on; at last "result": slot, changed, did, warnings,
               next, image, bytes, networkBytes

${SOURCE_HELP}`,
  options: {
    ...SOURCE_FLAGS,
    slot: { type: "string" },
    channel: { type: "string" },
    window: { type: "string" },
    "dry-run": { type: "boolean" },
    retry: { type: "boolean" },
    reboot: { type: "boolean" },
    kexec: { type: "boolean" },
    json: { type: "boolean" },
  },
  positionals: ["SOURCE?"],
  async run(values, [name]) {
    const kernel = linuxKernel();
    const output = { json: flag(values, "json"), reboot: flag(values, "reboot") };
    const kexec = flag(values, "kexec");
    refuseTwoWays({ ...output, kexec });
    if (kexec) requireKexec(kernel);
    const asked = askedOf(kernel, values, name);
    const order = { slot: text(values, "slot") ?? null, dryRun: flag(values, "dry-run"), retry: flag(values, "retry") };
    const answer = await installFrom(kernel, PLACES, asked, { ...order, telling: tellingOf(output.json) });
    // Also an image that waits since an earlier install: whoever says --reboot wants it to run.
    const waits = !order.dryRun && answer.image !== null && answer.slot !== readMachine(kernel, PLACES).report.slot;
    if (kexec && waits) return finishByKexec(kernel, PLACES, answer, (told) => printConverged(told, output.json));
    return finishConverge(answer, { ...output, reboot: output.reboot && waits }, PLACES);
  },
};
