/** Slots of the Discoverable Partitions Specification: data, hash tree and signature in partitions of their own. */
import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { decodeSignaturePartition, SIGNATURE_BYTES, type SignedRootHash } from "../../boot/dps/signature-partition.ts";
import { boundRootHash } from "../../boot/dps/tree-partition.ts";
import type { PartitionSlot, SlotDefinition } from "../../state-ops/control.ts";
import { BadInput, Refusal } from "../../state-ops/outcome.ts";
import { scanBlockDevices } from "../devices/scan.ts";
import { O } from "../kernel/constants.ts";
import { withOpen } from "../kernel/files.ts";
import type { Kernel } from "../kernel/kernel.ts";

/** A slot with a tree of its own. */
export type DpsSlot = PartitionSlot & { verity: string };

export function isDpsSlot(slot: SlotDefinition): slot is DpsSlot {
  return "device" in slot && slot.verity !== undefined;
}

/** Throws Refusal where slipway writes no image into the slot. */
export function refuseDpsTarget(slot: SlotDefinition): void {
  if (!isDpsSlot(slot)) return;
  const what = `slot ${slot.name} is partitions of the Discoverable Partitions Specification (${slot.device}, ${slot.verity})`;
  throw new Refusal(
    `${what}, which slipway boots and does not write; put the image there with systemd-repart or systemd-sysupdate`,
  );
}

/** What the signature partition at `path` says. Throws BadInput, KernelError. */
export function readSignature(kernel: Kernel, path: string): SignedRootHash {
  return decodeSignaturePartition(withOpen(kernel, path, O.RDONLY, (fd) => kernel.read(fd, SIGNATURE_BYTES, 0n)));
}

/** The root hash that the UUIDs of the partitions at these paths say; null where they say none. */
export function rootHashInUuids(kernel: Kernel, data: string, tree: string): string | null {
  const { devices } = scanBlockDevices(kernel, { partuuids: true });
  const uuidOf = (path: string) => devices.find((device: BlockDevice) => device.path === path)?.partuuid ?? null;
  return boundRootHash(uuidOf(data), uuidOf(tree));
}

/**
 * The root hash of the image in partitions at these paths, which stands for it everywhere. Nothing is proven by that.
 *
 * @param signature null where no partition has one
 * @throws BadInput where nothing says it
 */
export function rootHashOf(kernel: Kernel, paths: { data: string; tree: string; signature: string | null }): string {
  if (paths.signature !== null) return readSignature(kernel, paths.signature).rootHash;
  const bound = rootHashInUuids(kernel, paths.data, paths.tree);
  if (bound !== null) return bound;
  throw new BadInput("the UUIDs of its partitions say no root hash; make them with systemd-repart");
}
