/**
 * A channel's serial never goes back: whoever can answer for the server could else hand out an old list, in which a release
 * that was withdrawn is still offered. What a machine saw is kept in its boot record.
 */
import { Refusal } from "../../state-ops/outcome.ts";
import type { BootRecord } from "../record/record.ts";
import { MOST_CHANNELS } from "../record/shape.ts";
import type { Channel } from "./channel.ts";

/**
 * The record once `channel`, whose signatures are right, was seen: the same where its serial was seen before. The same serial is
 * the same publication, since a publisher counts up each time: what it says is not compared. Throws Refusal for an older one.
 */
export function withSerial(record: BootRecord, channel: Pick<Channel, "channel" | "serial">): BootRecord {
  const serials = record.channelSerials ?? {};
  const seen = Object.hasOwn(serials, channel.channel) ? serials[channel.channel] : undefined;
  if (seen !== undefined && channel.serial < seen) {
    throw new Refusal(
      `channel ${channel.channel} has serial ${channel.serial}, and ${seen} was seen before: this is an old list, by mistake or on purpose; if the publisher lost count, publish with --serial ${seen + 1}`,
    );
  }
  if (channel.serial === seen) return record;
  const names = Object.keys(serials);
  if (seen === undefined && names.length >= MOST_CHANNELS) {
    throw new Refusal(
      `channel ${channel.channel} is the ${names.length + 1}th of this machine, the boot record keeps ${MOST_CHANNELS} (${names.join(", ")}); follow one of these`,
    );
  }
  return { ...record, channelSerials: { ...serials, [channel.channel]: channel.serial } };
}
