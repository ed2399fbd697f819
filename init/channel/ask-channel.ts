import type { NamedRelease } from "../../boot/channel/channel.ts";
import { becauseText, type Choice, chooseRelease, isOlder, type MachineFacts } from "../../boot/channel/choose-release.ts";
import { trustOf } from "../../boot/image/trust.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { type Places, readMachine } from "../commands/machine.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { type BelievedChannel, believeChannel } from "./believe-channel.ts";
import { machineFacts } from "./machine-facts.ts";
import { noteSerial } from "./note-serial.ts";

/** What is asked of a channel. */
export interface Question {
  /** What to call this command in somebody else's refusal: "slipway check". */
  who: string;
  /** The name that the channel must have; null: any. */
  channel: string | null;
  /** Whether an image that failed here before is taken too. */
  retry: boolean;
  /** Whether nothing is to be changed: the channel's serial is judged then, and not remembered. */
  dryRun: boolean;
}

export interface Reply extends BelievedChannel, Choice {
  facts: MachineFacts;
  /** As it is once the channel's serial is remembered, or would be. */
  record: BootRecord;
}

/**
 * What the channel in a file's bytes has for this machine; `name` is its source's. Remembers the channel's serial, but in a dry run.
 *
 * @throws SourceError for what is no channel; Refusal where it is not believed, older than one that was seen before, or another
 *   one than is meant, and on a machine that slipway did not boot
 */
export async function askChannel(
  kernel: Kernel,
  places: Places,
  name: string,
  bytes: Uint8Array,
  asked: Question,
): Promise<Reply> {
  const machine = readMachine(kernel, places);
  const { system, trust: declared } = machine.control;
  const trust = trustOf(declared);
  const believed = await believeChannel(name, bytes, { trust, system, channel: asked.channel });
  const record = noteSerial(kernel, places, asked, believed.channel, trust);
  const facts = machineFacts(kernel, places, machine, record);
  return { ...believed, ...chooseRelease(believed.channel, facts, { retry: asked.retry }), facts, record };
}

/** A channel has nothing to install for this machine: no fault, where nobody waits for an image. */
export class NothingOffered extends Refusal {}

/** The same, for who wants an image. Throws NothingOffered where there is none. */
export async function offeredRelease(
  kernel: Kernel,
  places: Places,
  name: string,
  bytes: Uint8Array,
  asked: Question,
): Promise<NamedRelease> {
  const { channel, release, passedOver, facts } = await askChannel(kernel, places, name, bytes, asked);
  if (release !== null) return { channel, release };
  const held = passedOver.filter((over) => !isOlder(over)).map((over) => `${over.release.version}: ${becauseText(over)}`);
  const above = facts.running === null ? "for this machine" : `above ${facts.running.version}, which runs`;
  throw new NothingOffered([`channel ${channel.channel} has nothing ${above}`, ...held].join("; "));
}
