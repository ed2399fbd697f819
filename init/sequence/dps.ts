/** Proves slots whose hash tree and signature are partitions of their own. Loaded only where the control file has such slots. */

import { decodeTreePartition, shapeOf, VERITY_HEAD } from "../../boot/dps/tree-partition.ts";
import { checkSignature } from "../../boot/dps/verify.ts";
import { needsKernelSignature } from "../../boot/image/judge-seal.ts";
import { verityName } from "../../boot/image/verity-table.ts";
import { SlotFailure } from "../../boot/selection/attempt.ts";
import { whyBelowFloor } from "../../boot/selection/floors.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { type DpsSlot, readSignature, rootHashInUuids, rootHashOf } from "../dps/read-partitions.ts";
import { CORRUPTED, VerityDevice, VerityUnavailable } from "../image/verity-device.ts";
import { O } from "../kernel/constants.ts";
import { sizeOf, withOpen } from "../kernel/files.ts";
import { KernelError } from "../kernel/kernel.ts";
import type { Counters } from "./counters.ts";
import type { Devices } from "./devices.ts";
import type { Launch } from "./launch.ts";
import type { ProvenImage } from "./proof.ts";

/** Read at once, bytes. */
const PIECE = 1 << 20;

/**
 * Proves the image on `device`: who signed its root hash, and puts dm-verity over the partitions. It has no version and no rollback
 * index, which counts as 0. Throws SlotFailure where the slot has to be left.
 */
export async function proveDps(
  boot: Launch,
  devices: Devices,
  counters: Counters,
  slot: DpsSlot,
  device: string,
): Promise<ProvenImage> {
  const { control } = boot;
  const find = async (what: string, reference: string) => (await devices.find(`${what} of slot ${slot.name}`, reference)).path;
  const tree = await find("the hash tree", slot.verity);
  const signature = slot.signature === undefined ? null : await find("the signature", slot.signature);
  const { rootHash, signers } = await signedRootHash(boot, { data: device, tree, signature });
  const tooOld = whyBelowFloor(counters.record, 0, control.trust);
  if (tooOld !== null) throw new SlotFailure("boot", `an image of a slot with verity: has no rollback index: ${tooOld}`);
  const verity = makeVerity(boot, slot, { data: device, tree, signature }, rootHash);
  const wholeSince = counters.whyReadWhole;
  if (wholeSince !== null) {
    boot.log.notice(`slot ${slot.name} is read whole, ${wholeSince}`);
    await boot
      .part("read-whole", () => readWhole(boot, verity))
      .catch((error) => {
        verity.remove();
        throw error;
      });
    counters.wholeSlotRead();
  }
  return { imageId: rootHash, proof: control.trust.mode, signers, manifest: null, verity };
}

interface Partitions {
  data: string;
  tree: string;
  /** Null where none is declared. */
  signature: string | null;
}

/** The root hash, and whose signature makes it believed. Throws SlotFailure of the kind `proof`. */
async function signedRootHash(boot: Launch, partitions: Partitions) {
  const { kernel, control } = boot;
  try {
    const rootHash = rootHashOf(kernel, partitions);
    const bound = rootHashInUuids(kernel, partitions.data, partitions.tree);
    if (bound !== null && bound !== rootHash) {
      boot.warnOnce(`the UUIDs of ${partitions.data} and ${partitions.tree} are not of the root hash ${rootHash.slice(0, 12)}`);
    }
    if (control.trust.mode === "unsigned") return { rootHash, signers: [] };
    if (partitions.signature === null) throw new BadInput("nobody signed its root hash: the slot has no signature partition");
    const signed = readSignature(kernel, partitions.signature);
    await checkSignature(signed, control.trust.certificates ?? []);
    return { rootHash: signed.rootHash, signers: [signed.fingerprint] };
  } catch (error) {
    throw error instanceof BadInput ? new SlotFailure("proof", error.message) : error;
  }
}

function makeVerity(boot: Launch, slot: DpsSlot, { data, tree, signature }: Partitions, rootHash: string): VerityDevice {
  const { kernel, control } = boot;
  const size = (path: string) => withOpen(kernel, path, O.RDONLY, (fd) => sizeOf(kernel, fd));
  const head = withOpen(kernel, tree, O.RDONLY, (fd) => kernel.read(fd, VERITY_HEAD, 0n));
  const decoded = decodeTreePartition(head);
  const shaped =
    "fault" in decoded
      ? decoded
      : shapeOf(rootHash, decoded.parameters, { size: size(data) }, { size: size(tree), device: kernel.statusAt(tree).node });
  if ("fault" in shaped) throw new SlotFailure("proof", `the hash tree on ${tree} ${shaped.fault}`);
  boot.loadForVerity();
  const kernelSignature = needsKernelSignature(control.trust);
  const pkcs7 = kernelSignature && signature !== null ? readSignature(kernel, signature).signature.toBase64() : null;
  const manifest = { ...shaped.shape, kernelSignature: pkcs7 };
  try {
    return VerityDevice.create(kernel, {
      name: verityName(slot.name),
      manifest,
      number: kernel.statusAt(data).node,
      kernelSignature,
    });
  } catch (error) {
    if (error instanceof VerityUnavailable) throw new SlotFailure("device", `the image cannot be checked: ${error.message}`);
    throw error;
  }
}

/** Through dm-verity: a block that it refuses is damage, and so is one that cannot be read. */
async function readWhole(boot: Launch, verity: VerityDevice): Promise<void> {
  const { kernel } = boot;
  const fd = kernel.open(verity.path, O.RDONLY);
  try {
    for (let at = 0n; ; at += BigInt(PIECE)) {
      if (kernel.read(fd, PIECE, at).length < PIECE) return;
      await boot.breathe();
    }
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new SlotFailure("proof", verity.isCorrupted() ? CORRUPTED : `the slot cannot be read whole (${error.code})`);
  } finally {
    kernel.close(fd);
  }
}
