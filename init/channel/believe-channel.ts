import { type Channel, decodeSignedChannel, type SignedChannel } from "../../boot/channel/channel.ts";
import { refuseOtherSystem } from "../../boot/channel/choose-release.ts";
import { judgeEnvelope, type Trust } from "../../boot/image/trust.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { SourceError } from "../converge/source.ts";

/** Whose channel is believed, and which one is meant. */
export interface Expected {
  trust: Trust;
  /** The machine's own. */
  system: string;
  /** Null: whatever its name is. */
  channel: string | null;
}

/** A channel that is believed: its signatures are right, and it is the one that is meant, of this system. */
export interface BelievedChannel {
  channel: Channel;
  /** Ids of the keys that signed it. */
  signers: string[];
}

/**
 * The channel in the bytes of a file. `name` is its source's. What it says of serials is not judged: see {@link noteSerial}.
 *
 * @throws SourceError for what is no channel; Refusal where it is not signed as it must be, or is another one than is meant
 */
export async function believeChannel(
  name: string,
  bytes: Uint8Array,
  { trust, system, channel: meant }: Expected,
): Promise<BelievedChannel> {
  const { envelope, channel } = decoded(name, bytes);
  const verdict = await judgeEnvelope(`the channel of ${name}`, envelope, trust);
  if (!verdict.trusted) throw new Refusal(`${verdict.reason}; nothing that it says is believed`);
  refuseOtherSystem(channel, system);
  if (meant !== null && channel.channel !== meant) {
    throw new Refusal(`${name} gives the channel ${channel.channel}, meant is ${meant}; was it put in its place?`);
  }
  return { channel, signers: verdict.signers };
}

function decoded(name: string, bytes: Uint8Array): SignedChannel {
  try {
    return decodeSignedChannel(bytes);
  } catch (error) {
    throw error instanceof BadInput ? new SourceError(`${name}: ${error.message}`) : error;
  }
}
