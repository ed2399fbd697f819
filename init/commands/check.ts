import type { Release } from "../../boot/channel/channel.ts";
import { type Because, becauseText, isOlder } from "../../boot/channel/choose-release.ts";
import type { BootRecord, ImageId, SlotName } from "../../boot/record/record.ts";
import { pendingTrial } from "../../boot/selection/running.ts";
import { visible } from "../../state-ops/problems.ts";
import { sizeText } from "../../state-ops/size-text.ts";
import { askChannel } from "../channel/ask-channel.ts";
import { type Asked, askedOf } from "../channel/asked.ts";
import { channelPlace } from "../channel/place.ts";
import { requireChannelFile } from "../channel/read-channel.ts";
import { UPDATE_FILE } from "../channel/settings.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { linuxKernel } from "../kernel/linux.ts";
import type { NetworkContext } from "../network/context.ts";
import { SOURCE_FLAGS, SOURCE_HELP } from "../network/options.ts";
import { whyUnheard } from "./loader-facts.ts";
import { PLACES, type Places, readMachine } from "./machine.ts";
import { flag, type Verb } from "./verb.ts";

/** What a channel has for this machine. */
export interface Checked {
  source: string;
  channel: string;
  system: string;
  serial: number;
  /** Ids of the keys that signed the channel; empty where anybody's word counts. */
  signers: string[];
  /** `version` is null where the image has no seal. */
  running: { slot: SlotName; version: string | null; imageId: ImageId };
  /** What "slipway install" would install; null where there is nothing for this machine. */
  offered: Release | null;
  /** The slot that holds that image already, and boots it next. */
  waitsIn: SlotName | null;
  passedOver: { version: string; because: Because; text: string }[];
  warnings: string[];
  next: string;
}

/**
 * Compares this machine with a channel. Remembers the channel's serial, and changes nothing else.
 *
 * @throws BadInput for a source that is none; SourceError where it cannot be had; Refusal where it is not believed, is older than
 *   one that was seen before, or is another system's, and on a machine that slipway did not boot
 */
export async function checkChannel(kernel: Kernel, places: Places, asked: Asked, context: NetworkContext = {}): Promise<Checked> {
  const machine = readMachine(kernel, places);
  const place = channelPlace(asked.source);
  const bytes = await requireChannelFile(kernel, place, asked.options, context);
  const question = { who: "slipway check", channel: asked.channel, retry: false, dryRun: false };
  const {
    channel,
    signers,
    record,
    facts,
    release: offered,
    passedOver,
  } = await askChannel(kernel, places, place.name, bytes, question);
  const { slot, imageId } = machine.report;
  const waitsIn = offered === null ? null : waiting(record, slot, offered);
  const unsigned = machine.control.trust.mode === "unsigned";
  return {
    source: place.name,
    channel: channel.channel,
    system: channel.system,
    serial: channel.serial,
    signers,
    running: { slot, version: facts.running?.version ?? null, imageId },
    offered,
    waitsIn,
    passedOver: passedOver.map((over) => ({
      version: over.release.version,
      because: over.because,
      text: becauseText(over),
    })),
    warnings: [
      ...(unsigned ? ["this machine believes any channel and any image: its control file says trust: unsigned"] : []),
      ...[whyUnheard(kernel, places, machine)].filter((why) => why !== null),
    ],
    next: nextOf(offered, waitsIn),
  };
}

/** The slot that waits for its trial, where that is of the release. */
function waiting(record: BootRecord, running: SlotName, { rootHash }: Release): SlotName | null {
  const pending = pendingTrial(record, running);
  return pending !== null && record.slots[pending]?.imageId === rootHash ? pending : null;
}

function nextOf(offered: Release | null, waitsIn: SlotName | null): string {
  if (offered === null) return "nothing to do.";
  return waitsIn === null
    ? `run "slipway install" with the same source to install ${offered.version}.`
    : `reboot (systemctl reboot) to try ${offered.version}, which slot ${waitsIn} holds already.`;
}

/** As people read it, one line each; of what is passed over, what they may wonder about. */
export function checkedText(checked: Checked): string[] {
  const { channel, system, serial, signers, running, offered, passedOver } = checked;
  const by = signers.length === 0 ? "" : `, signed by ${signers.map((id) => id.slice(0, 12)).join(", ")}`;
  const held = passedOver.filter((over) => !isOlder(over));
  return [
    `Channel ${channel} of ${system}, serial ${serial}${by}.`,
    `Slot ${running.slot} runs ${running.version ?? `image ${running.imageId.slice(0, 12)}, without a version`}.`,
    offered === null
      ? "Nothing newer is offered to this machine."
      : `Offered: ${offered.version} (${offered.image}, ${sizeText(offered.imageSize)}).`,
    ...held.map(({ version, text: why }) => `Not ${version}: ${why}.`),
  ].map(visible);
}

export const verb: Verb = {
  help: `
Usage: slipway check [SOURCE] [OPTION]…

Compares this machine with a channel: says which release "slipway install" would install, and why not the others. SOURCE is the
URL of a channel's directory (https: or http:), or that directory itself; if it is left out, ${UPDATE_FILE} says which.
Remembers the highest serial that it saw of each channel, so that an old list is refused later; changes nothing else.

Ends with 0 whether or not there is something to install, unless --exit-code is given. Ends with 3 where the channel is not
believed: not signed as this machine asks for, an older list than it has seen, another channel or another system's.

${UPDATE_FILE}, which only root may write:
  { "schema": 1, "source": "https://updates.example/gateway/stable", "channel": "stable", "window": "02:00-04:00" }
where "window" is for "slipway install", and may be left out.

Options:
  --channel NAME      the name that the channel must have
  --exit-code         end with 3 instead of 0 where nothing is offered to this machine
  --json              print one JSON object: source, channel, system, serial, signers, running, offered, waitsIn, passedOver,
                      warnings, next

${SOURCE_HELP}`,
  options: { ...SOURCE_FLAGS, channel: { type: "string" }, "exit-code": { type: "boolean" }, json: { type: "boolean" } },
  positionals: ["SOURCE?"],
  async run(values, [source]) {
    const kernel = linuxKernel();
    const told = (line: string): void => console.error(line);
    const checked = await checkChannel(kernel, PLACES, askedOf(kernel, values, source), { told });
    if (flag(values, "json")) console.log(JSON.stringify({ schema: 1, ...checked }));
    else {
      for (const line of checkedText(checked)) console.log(line);
      for (const warning of checked.warnings) console.error(`Warning: ${warning}`);
      console.log(`Next: ${checked.next}`);
    }
    return checked.offered === null && flag(values, "exit-code") ? 3 : 0;
  },
};
