import type { Channel } from "../../boot/channel/channel.ts";
import { withSerial } from "../../boot/channel/serial.ts";
import type { Trust } from "../../boot/image/trust.ts";
import type { BootRecord } from "../../boot/record/record.ts";
import { changeRecord, writeRecord } from "../commands/change-record.ts";
import type { Places } from "../commands/machine.ts";
import type { Kernel } from "../kernel/kernel.ts";

/**
 * Remembers the serial of a channel that is believed, durably, before anything that it says is acted on. Where anybody's word
 * counts there is nothing to remember: somebody could say the highest serial of all.
 *
 * @param who what to call this command in somebody else's refusal: "slipway check"; with `dryRun` nothing is written
 * @returns the boot record as it is then
 * @throws Refusal for a serial below one that was seen before; Error where the record cannot be written
 */
export function noteSerial(
  kernel: Kernel,
  places: Places,
  { who, dryRun }: { who: string; dryRun: boolean },
  channel: Channel,
  trust: Trust,
): BootRecord {
  return changeRecord(kernel, places, who, ({ store, record }) => {
    const next = trust.mode === "unsigned" ? record : withSerial(record, channel);
    if (next !== record && !dryRun) writeRecord(store, next);
    return next;
  });
}
