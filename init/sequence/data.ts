import type { BlockDevice } from "../../boot/devices/block-device.ts";
import { extErrors, readSuperblock, SUPERBLOCK_BYTES } from "../../boot/devices/superblock.ts";
import type { ControlFile } from "../../state-ops/control.ts";
import { CHECKERS, failureOn, mayBeDamage } from "../../state-ops/data-check.ts";
import { judgeData, type SeenData } from "../../state-ops/data-use.ts";
import { O } from "../kernel/constants.ts";
import { exists, withOpen } from "../kernel/files.ts";
import { type Descriptor, type Kernel, KernelError } from "../kernel/kernel.ts";
import { detachDataFilesystem, layOut, mountDataFilesystem } from "../state/data-filesystem.ts";
import { checkData } from "./data-repair.ts";
import type { Launch } from "./launch.ts";
import type { DataFacts, OpenData } from "./open-data.ts";

/** A device that is larger than its filesystem by less is as large, bytes: partitions end at whole MiB. */
const LEAST_GROWTH = 1024n * 1024n;

/** Where PID 1 alone sees the data filesystem, until the handover. */
export const DATA_PLACE = "/run/slipway/data";

/** The data partition as it was found. */
export type DataDevice = Pick<BlockDevice, "path" | "readOnly" | "sizeBytes">;

export interface DataRequest {
  /** UUID that the boot record knows of the data filesystem. */
  knownData: string | null;
  /** Resolves the data partition's device. Called only where an operator or the slot's own image needs it. */
  findDevice(): Promise<DataDevice>;
  /** It is mounted already, since the slot's image lies on it; null where it is not. */
  opened: OpenData | null;
  /** What its checker said in this boot; null where it was not asked. */
  checked: string | null;
}

/** The data filesystem is damaged under the image that the slot's root is mounted from. */
export class DamagedUnderImage extends Error {
  constructor(
    readonly facts: DataFacts,
    readonly failure: KernelError,
  ) {
    super(failureText(facts.device, failure));
  }
}

/** A data filesystem that cannot be used fails the slot only where an operator says `required`. */
export async function openDataIfPossible(launch: Launch, request: DataRequest) {
  const definition = launch.control.data;
  if (request.opened !== null) return { data: request.opened, missing: null };
  if (definition === null) return { data: null, missing: "the control file has no data:" };
  try {
    return { data: await openData(launch, definition, request), missing: null };
  } catch (error) {
    const missing = error instanceof Error ? error.message : String(error);
    launch.warnOnce(`no data filesystem: ${missing}`);
    return { data: null, missing };
  }
}

/** Whether the filesystem's checker has not looked yet and could help. */
export function mayBeRepaired({ kernel }: Launch, { checked, facts }: OpenData, error: unknown): boolean {
  if (checked !== null || !(error instanceof KernelError) || !mayBeDamage(error)) return false;
  return CHECKERS[facts.filesystem].programs.some((path) => exists(kernel, path));
}

/** Takes the data filesystem's own mount away, which nobody shall see; binds from it stay. */
export function closeData(kernel: Kernel, data: OpenData): void {
  kernel.close(data.root);
  detachDataFilesystem(kernel, DATA_PLACE);
}

/** What a failure on the data filesystem of `device` tells somebody. */
export function failureText(device: string, error: unknown): string {
  if (error instanceof KernelError) return failureOn(device, error);
  return error instanceof Error ? error.message : String(error);
}

async function openData(launch: Launch, definition: NonNullable<ControlFile["data"]>, request: DataRequest): Promise<OpenData> {
  const device = await request.findDevice();
  const { seen, filesystemBytes } = lookOrSay(launch.kernel, device);
  const use = judgeData(seen, { definition, known: request.knownData, adopt: launch.words.adoptData });
  for (const note of use.notes) launch.note(note);
  const facts = { device: device.path, filesystem: definition.filesystem, uuid: seen.uuid };
  launch.loadForFilesystem(facts.filesystem);
  const checked = use.check && request.checked === null ? await checkFirst(launch, facts) : request.checked;
  const open = await mountOrRepair(launch, facts, checked);
  if (definition.grow && device.sizeBytes - filesystemBytes >= LEAST_GROWTH) {
    const { growData } = await import("../disk/grow-data.ts");
    growData(launch, open, { fromBytes: filesystemBytes, deviceBytes: device.sizeBytes });
  }
  return open;
}

async function mountOrRepair(launch: Launch, facts: DataFacts, checked: string | null): Promise<OpenData> {
  try {
    return { root: mountData(launch, facts), facts, checked, holdsImage: false };
  } catch (error) {
    if (!(error instanceof KernelError) || !mayBeDamage(error)) throw new Error(failureText(facts.device, error));
    return repairAndMount(launch, facts, error, checked);
  }
}

function lookOrSay(kernel: Kernel, device: DataDevice): { seen: SeenData; filesystemBytes: bigint } {
  try {
    return lookAtData(kernel, device);
  } catch (error) {
    throw new Error(failureText(device.path, error));
  }
}

/** What is on the data partition, before anything is done to it. Throws KernelError where it cannot be read. */
function lookAtData(kernel: Kernel, device: DataDevice): { seen: SeenData; filesystemBytes: bigint } {
  const bytes = withOpen(kernel, device.path, O.RDONLY, (fd) => kernel.read(fd, SUPERBLOCK_BYTES, 0n));
  const superblock = readSuperblock(bytes);
  const seen = {
    device: device.path,
    readOnly: device.readOnly,
    filesystem: superblock?.type ?? null,
    uuid: superblock?.uuid ?? "unknown",
    errors: superblock?.type === "ext4" && extErrors(bytes),
  };
  return { seen, filesystemBytes: superblock?.size ?? device.sizeBytes };
}

/**
 * The kernel found errors in an earlier boot and says so in the superblock. It would mount the filesystem all the same; where
 * the checker could look and leaves errors, nothing is written there any more.
 */
async function checkFirst(launch: Launch, { device, filesystem }: DataFacts): Promise<string | null> {
  const why = "its superblock tells of errors";
  const { result, text } = await checkData(launch, filesystem, device, why);
  if (result === "left") throw new Error(`${device} is damaged: ${why}; ${text}`);
  launch.note(`${device}: ${why}; ${text}`);
  return result === "absent" ? null : text;
}

function mountData(launch: Launch, { device, filesystem, uuid }: DataFacts): Descriptor {
  const { kernel } = launch;
  const root = mountDataFilesystem(kernel, device, filesystem, DATA_PLACE);
  try {
    for (const warning of layOut(kernel, root, uuid)) launch.warn(warning);
    return root;
  } catch (error) {
    kernel.close(root);
    detachDataFilesystem(kernel, DATA_PLACE);
    throw error;
  }
}

/** After `failure`, which may come of damage: lets the checker repair it and mounts it again, once. */
async function repairAndMount(launch: Launch, facts: DataFacts, failure: KernelError, checked: string | null): Promise<OpenData> {
  const text = await repairData(launch, facts, failure, checked);
  try {
    const root = mountData(launch, facts);
    launch.note(`the data filesystem was repaired: ${failureText(facts.device, failure)}; ${text}`);
    return { root, facts, checked: text, holdsImage: false };
  } catch (error) {
    throw new Error(`${failureText(facts.device, error)}; ${text} before`);
  }
}

/** Lets the checker repair the filesystem, which is not mounted. Returns what it said; throws where it leaves damage. */
export async function repairData(
  launch: Launch,
  { device, filesystem }: DataFacts,
  failure: KernelError,
  checked: string | null,
): Promise<string> {
  const seen = failureText(device, failure);
  if (checked !== null) throw new Error(`${seen}; ${checked} before`);
  const { result, text } = await checkData(launch, filesystem, device, seen);
  if (result === "absent" || result === "left") throw new Error(`${seen}; ${text}`);
  return text;
}

/**
 * Runs `use` with the data filesystem. Where that shows damage, the filesystem is repaired and mounted again, and `use` runs once
 * more. Where this throws, it is mounted no more; {@link DamagedUnderImage} where the repair has to wait for the slot's image.
 */
export async function withRepair<Result>(
  launch: Launch,
  data: OpenData,
  use: (data: OpenData) => Result | Promise<Result>,
): Promise<{ data: OpenData; result: Result }> {
  const attempt = async (open: OpenData) => {
    try {
      return { data: open, result: await use(open) };
    } catch (error) {
      closeData(launch.kernel, open);
      throw error;
    }
  };
  try {
    return await attempt(data);
  } catch (error) {
    if (!(error instanceof KernelError) || !mayBeDamage(error)) throw error;
    if (data.holdsImage) throw mayBeRepaired(launch, data, error) ? new DamagedUnderImage(data.facts, error) : error;
    return attempt(await repairAndMount(launch, data.facts, error, data.checked));
  }
}
