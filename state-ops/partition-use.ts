import type { ControlFile } from "./control.ts";

/** What slipway itself uses a partition for: "slot a"; null where `device` names none of its own. */
export function partitionUse(
  device: string,
  { slots, data, bootRecord }: Pick<ControlFile, "slots" | "data" | "bootRecord">,
): string | null {
  const slot = slots.find((candidate) => "device" in candidate && candidate.device === device);
  if (slot !== undefined) return `slot ${slot.name}`;
  if (device === bootRecord.device) return "slipway's own boot record";
  return device === data?.device ? "the data filesystem" : null;
}
