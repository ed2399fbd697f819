import type { NamedRelease } from "../../boot/channel/channel.ts";
import { trustOf } from "../../boot/image/trust.ts";
import type { SlotName } from "../../boot/record/record.ts";
import { slotOf } from "../../boot/selection/slots.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { changeRecord } from "../commands/change-record.ts";
import { type Places, requireSlot } from "../commands/machine.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { believeChannel } from "./believe-channel.ts";

/** Which slot's image is wanted, and for whom. */
export interface Holder {
  /** What to call this command in somebody else's refusal: "slipway repair". */
  who: string;
  slot: SlotName;
}

/**
 * The release of a channel that a slot holds, to repair it from. Serials do not matter: which image it is, is known.
 *
 * @throws SourceError for what is no channel; BadInput for a slot that is not there; Refusal where the channel is not believed, or
 *   does not offer that image
 */
export async function heldRelease(
  kernel: Kernel,
  places: Places,
  name: string,
  bytes: Uint8Array,
  { who, slot }: Holder,
): Promise<NamedRelease> {
  const { machine, record } = changeRecord(kernel, places, who, (facts) => facts);
  const { system, trust } = machine.control;
  const { channel } = await believeChannel(name, bytes, { trust: trustOf(trust), system, channel: null });
  const { imageId } = slotOf(record, requireSlot(machine, slot));
  const release = channel.releases.find(({ rootHash }) => rootHash === imageId);
  if (release !== undefined) return { channel, release };
  const held = imageId === null ? `slot ${slot} holds no image` : `slot ${slot} holds image ${imageId.slice(0, 12)}`;
  const offered = channel.releases.map(({ version }) => version).join(", ") || "none";
  throw new Refusal(`${held}, and channel ${channel.channel} offers others (${offered}); give the URL of the image that it held`);
}
