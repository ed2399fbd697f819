/** Changes on a disk whose machine is switched off: what a running system would have written, and what spoils it. */

import { createHash } from "node:crypto";
import type { BootRecord } from "../../../boot/record/record.ts";
import { encodeRecord, freshRecord, RECORD_LAYOUT } from "../../../boot/record/store.ts";
import type { Policy } from "../../../boot/selection/policy.ts";
import { activate, commitSlot } from "../../../boot/selection/running.ts";
import { partition, readAt, startOf, writeInto } from "../../../qemu/disk-partitions.ts";
import { recordOn } from "./disk-file.ts";

/** SHA-256 over the whole partition `label`. */
export function hashOf(disk: string, label: string): string {
  const end = Number(partition(disk, label).lastLba + 1n) * 512;
  const hash = createHash("sha256");
  const piece = 4 * 1024 * 1024;
  for (let at = startOf(disk, label); at < end; at += piece) hash.update(readAt(disk, at, Math.min(piece, end - at)));
  return hash.digest("hex");
}

/** The boot record on `disk`. Throws unless it is valid. */
export function validRecord(disk: string): BootRecord {
  const { condition, record, reason } = recordOn(disk).reading;
  if (condition !== "valid" || record === null) throw new Error(`the boot record on ${disk} is ${condition}: ${reason}`);
  return record;
}

/** Writes the record that `change` makes of the one on `disk`, or of a fresh one. */
export function changeRecord(disk: string, policy: Policy, change: (record: BootRecord) => BootRecord): void {
  const { reading } = recordOn(disk);
  const changed = change(reading.record ?? freshRecord(policy));
  const offset = RECORD_LAYOUT.copyOffsets[reading.nextCopy];
  writeInto(disk, "boot-record", encodeRecord(changed, reading.sequence + 1), offset);
}

/** Two slots, tries as system.yaml has them when it says nothing. */
export const twoSlots: Policy = { slots: ["a", "b"], tries: { trial: 3, committed: 10 }, trust: { mode: "unsigned" } };

function imageIdIn(disk: string, name: string): string {
  return createHash("sha256")
    .update(readAt(disk, startOf(disk, `root-${name}`), 65536))
    .digest("hex");
}

/** Commits the image in the slot `name`, as `slipway commit` in its system does. */
export function commitOn(disk: string, name: string, policy = twoSlots): void {
  const imageId = imageIdIn(disk, name);
  changeRecord(disk, policy, (record) => commitSlot(record, name, imageId, policy, Date.now()));
}

/** Makes the next boot try the image in the slot `name`, as `slipway activate` does in the slot `running`. */
export function activateOn(disk: string, name: string, running: string, policy = twoSlots): void {
  const imageId = imageIdIn(disk, name);
  changeRecord(disk, policy, (record) => activate(record, name, imageId, running, policy));
}
