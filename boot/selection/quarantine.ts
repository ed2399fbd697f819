import type { BootRecord, ImageId } from "../record/record.ts";

/**
 * Why nobody should install the image unattended: it proved itself, was handed over to, and used up its trial. Null where nothing
 * is known against it. People may insist, and recovery takes it as a last resort.
 */
export function quarantinedReason(record: BootRecord, imageId: ImageId): string | null {
  const entry = record.quarantined.find((candidate) => candidate.imageId === imageId);
  return entry === undefined ? null : `it is quarantined since attempt ${entry.attempt}: ${entry.reason}`;
}
