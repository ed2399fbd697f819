/** The table of a dm-verity device: Linux, Documentation/admin-guide/device-mapper/verity.rst. It comes from the seal alone. */
import { DM_FLAG, type DmRequest, type DmTarget } from "./device-mapper.ts";
import { layoutOf, type Manifest } from "./seal.ts";
import { BLOCK } from "./verity.ts";

/**
 * `look`: a bad block is an I/O error. While PID 1 looks at a slot it can leave it for the next one without a restart.
 * `armed`: a bad block restarts the machine, and the try counts: a system that lost a part of itself must not limp on.
 */
export type VerityMode = "look" | "armed";

/** What is proven block by block: a seal says it, or for partitions of their own (boot/dps/) the signed root hash and what it binds. */
export interface VerityShape extends Pick<Manifest, "rootHash" | "salt" | "filesystemSize"> {
  /** Where the tree lies, and in blocks of how many bytes; left out where it lies behind the data as in an image of ours. */
  tree?: { device: { major: number; minor: number }; dataBlock: number; hashBlock: number; start: number };
}

export interface VerityTable {
  /** Number of the slot's device, which holds the data. */
  device: { major: number; minor: number };
  manifest: VerityShape;
  mode: VerityMode;
  /** Whether a failing device restarts the machine as well, where the table is `armed`. */
  restartOnError: boolean;
  /** Name of the key (add_key(2)) that holds the root hash's signature; null where the kernel is not to check one. */
  signatureKey: string | null;
}

/** From this version of the target on, the kernel knows `restart_on_error` (Linux 6.13). */
const RESTART_ON_ERROR_SINCE = [1, 11] as const;

/** Whether a target of that version can restart the machine where its device fails. */
export function canRestartOnError([major, minor]: readonly [number, number, number]): boolean {
  const [sinceMajor, sinceMinor] = RESTART_ON_ERROR_SINCE;
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
}

/** The options of a table, as the kernel is given them. */
export function verityOptions({ mode, restartOnError, signatureKey }: Omit<VerityTable, "device" | "manifest">): string[] {
  return [
    ...(mode === "armed" ? ["restart_on_corruption"] : []),
    ...(mode === "armed" && restartOnError ? ["restart_on_error"] : []),
    ...(signatureKey === null ? [] : ["root_hash_sig_key_desc", signatureKey]),
  ];
}

/** The table's one target. */
export function verityTarget(table: VerityTable): DmTarget {
  const { device, manifest } = table;
  const { filesystemSize, tree } = manifest;
  const node = (at: { major: number; minor: number }) => `${at.major}:${at.minor}`;
  const [data, hash] = [tree?.dataBlock ?? BLOCK, tree?.hashBlock ?? BLOCK];
  const options = verityOptions(table);
  const hashType = 1;
  return {
    length: filesystemSize / 512,
    type: "verity",
    parameters: [
      ...[hashType, node(device), node(tree?.device ?? device), data, hash],
      ...[filesystemSize / data, tree?.start ?? layoutOf(manifest).treeOffset / BLOCK],
      ...["sha256", manifest.rootHash, manifest.salt || "-"],
      ...(options.length === 0 ? [] : [options.length, ...options]),
    ].join(" "),
  };
}

/** A request to device-mapper, by the name of its ioctl. */
export interface DmStep {
  call: "DM_DEV_CREATE" | "DM_DEV_REMOVE" | "DM_DEV_SUSPEND" | "DM_TABLE_LOAD";
  request: DmRequest;
}

/** Makes the device `name` for that image. Its UUID is as cryptsetup gives them, so that its tools show this device. */
export function createStep(name: string, { rootHash }: Pick<Manifest, "rootHash">): DmStep {
  return { call: "DM_DEV_CREATE", request: { name, uuid: `CRYPT-VERITY-${rootHash.slice(0, 32)}-${name}` } };
}

/** Gives it a table. */
export function loadStep(name: string, table: VerityTable): DmStep {
  return { call: "DM_TABLE_LOAD", request: { name, flags: DM_FLAG.READONLY, target: verityTarget(table) } };
}

/** Puts the table that was loaded into effect. What is mounted of it is read-only: there is no journal to be frozen. */
export function resumeStep(name: string): DmStep {
  return { call: "DM_DEV_SUSPEND", request: { name, flags: DM_FLAG.SKIP_LOCKFS } };
}

/** Takes it away; where something still holds it, as soon as that lets go. */
export function removeStep(name: string): DmStep {
  return { call: "DM_DEV_REMOVE", request: { name, flags: DM_FLAG.DEFERRED_REMOVE } };
}

/** Name of the device over a slot. */
export function verityName(slot: string): string {
  return `slipway-${slot}`;
}

/** Name of the key that holds the root hash's signature of the device `name`. */
export function signatureKeyName(name: string): string {
  return `${name}-root-hash`;
}

/** What a table's parameters say: for those who answer the request, or show it. Null for what is no such table. */
export function readVerityParameters(parameters: string) {
  const [type, device, tree, dataBlock, hashBlock, dataBlocks, treeStart, algorithm, rootHash, salt, count, ...options] =
    parameters.split(" ");
  const known = type === "1" && device !== undefined && device === tree && dataBlock === String(BLOCK) && hashBlock === dataBlock;
  if (!known || algorithm !== "sha256" || rootHash === undefined || salt === undefined) return null;
  if (Number(count ?? 0) !== options.length) return null;
  return { device, dataBlocks: Number(dataBlocks), treeStart: Number(treeStart), rootHash, salt, options };
}
