import { sizeText } from "../../state-ops/size-text.ts";
import { KernelError } from "../kernel/kernel.ts";
import type { Launch } from "../sequence/launch.ts";
import type { OpenData } from "../sequence/open-data.ts";
import { growFilesystem } from "./grow-filesystem.ts";

/** What a filesystem may leave unused at the end of its device, bytes: the rest of an ext4's group, or of an xfs's. */
const USUAL_REST = 16n * 1024n * 1024n;

/** `data: { grow: true }`: makes the mounted data filesystem as large as its device. A failure is told, and the boot goes on. */
export function growData(boot: Launch, { root, facts }: OpenData, sizes: { fromBytes: bigint; deviceBytes: bigint }): void {
  const { kernel } = boot;
  const { device, filesystem } = facts;
  try {
    const before = kernel.filesystemStatus(root).blocks;
    growFilesystem(kernel, root, filesystem, sizes, () => boot.chores());
    if (kernel.filesystemStatus(root).blocks === before) return;
    const [from, to] = [sizeText(Number(sizes.fromBytes)), sizeText(Number(sizes.deviceBytes))];
    boot.note(`the data filesystem on ${device} has grown from ${from} to ${to}`);
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const what = `the data filesystem on ${device} is not made larger (${error.code})`;
    if (sizes.deviceBytes - sizes.fromBytes < USUAL_REST) boot.log.debug(what);
    else boot.warnOnce(`${what}: it has ${sizeText(Number(sizes.fromBytes))}, its device ${sizeText(Number(sizes.deviceBytes))}`);
  }
}
