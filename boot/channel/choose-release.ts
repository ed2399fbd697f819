/** Which of a channel's releases a machine takes, and why not the others. */
import { Refusal } from "../../state-ops/outcome.ts";
import type { ImageId, Quarantine } from "../record/record.ts";
import type { Channel, Release } from "./channel.ts";
import { isOffered, rolloutPlace } from "./rollout.ts";
import { compareVersions, isNewer } from "./version-order.ts";

/** What a machine knows of itself. */
export interface MachineFacts {
  system: string;
  /** The image that runs, by its seal; null where none does, or it has no seal and so no version. */
  running: { version: string; imageId: ImageId } | null;
  /** What a release's rollback index must not be below. */
  installFloor: number;
  quarantined: readonly Quarantine[];
  /** Null where it has none: a release that is not for all is not for it. */
  machineId: string | null;
}

/** Why a release is not taken, with what was compared. */
export type Because =
  | { is: "runs" }
  | { is: "not-newer"; running: string }
  | { is: "below-floor"; floor: number }
  | { is: "minimum-version"; minimum: string; running: string | null }
  | { is: "quarantined"; reason: string }
  | { is: "rollout"; share: number; place: number | null }
  | { is: "not-newest"; taken: string };

export interface PassedOver {
  release: Release;
  because: Because;
}

export interface Choice {
  /** What to install; null where there is nothing for this machine. */
  release: Release | null;
  /** All others, newest first. */
  passedOver: PassedOver[];
}

/**
 * The newest release above what runs that the machine may take. Where what runs has no version, any counts as newer. Throws
 * Refusal for another system's channel.
 *
 * @param retry take a quarantined image too
 */
export function chooseRelease(channel: Channel, facts: MachineFacts, { retry }: { retry: boolean }): Choice {
  refuseOtherSystem(channel, facts.system);
  const newestFirst = [...channel.releases].sort((left, right) => compareVersions(right.version, left.version));
  let taken: Release | null = null;
  const passedOver: PassedOver[] = [];
  for (const release of newestFirst) {
    const because = updateFault(release, facts, retry);
    if (because !== null) passedOver.push({ release, because });
    else if (taken !== null) passedOver.push({ release, because: { is: "not-newest", taken: taken.version } });
    else taken = release;
  }
  return { release: taken, passedOver };
}

/**
 * What a machine that has nothing to boot tries, in this order: the image that was committed last, then the newest. Rollout shares
 * do not count, and a quarantined image is tried last of all. A minimum version counts only where it is known which version the
 * state is of (`facts.running`: the last committed image). Throws Refusal for another system's channel.
 */
export function recoveryReleases(
  channel: Channel,
  facts: Omit<MachineFacts, "machineId">,
  lastCommitted: ImageId | null,
): { releases: Release[]; passedOver: PassedOver[] } {
  refuseOtherSystem(channel, facts.system);
  const releases: Release[] = [];
  const passedOver: PassedOver[] = [];
  for (const release of channel.releases) {
    const because = floorFault(release, facts) ?? (facts.running === null ? null : minimumFault(release, facts));
    if (because === null) releases.push(release);
    else passedOver.push({ release, because });
  }
  const rank = ({ rootHash }: Release) => {
    if (quarantineFault(rootHash, facts) !== null) return 2;
    return rootHash === lastCommitted ? 0 : 1;
  };
  releases.sort((left, right) => rank(left) - rank(right) || compareVersions(right.version, left.version));
  return { releases, passedOver };
}

/** Throws Refusal: one key may sign the channels of several systems. */
export function refuseOtherSystem(channel: Channel, system: string): void {
  if (channel.system === system) return;
  throw new Refusal(
    `channel ${channel.channel} is for the system ${channel.system}, this machine is ${system}; give the source of its own channel`,
  );
}

/** The first reason that stands, those that never change before those that may. */
function updateFault(release: Release, facts: MachineFacts, retry: boolean): Because | null {
  const { running } = facts;
  if (running !== null && running.imageId === release.rootHash) return { is: "runs" };
  if (running !== null && !isNewer(release.version, running.version)) return { is: "not-newer", running: running.version };
  return (
    floorFault(release, facts) ??
    minimumFault(release, facts) ??
    (retry ? null : quarantineFault(release.rootHash, facts)) ??
    rolloutFault(release, facts)
  );
}

function floorFault({ rollbackIndex }: Release, { installFloor }: Pick<MachineFacts, "installFloor">): Because | null {
  return rollbackIndex < installFloor ? { is: "below-floor", floor: installFloor } : null;
}

function minimumFault({ minimumVersion }: Release, { running }: Pick<MachineFacts, "running">): Because | null {
  if (minimumVersion === null || (running !== null && !isNewer(minimumVersion, running.version))) return null;
  return { is: "minimum-version", minimum: minimumVersion, running: running?.version ?? null };
}

function quarantineFault(rootHash: ImageId, { quarantined }: Pick<MachineFacts, "quarantined">): Because | null {
  const found = quarantined.find(({ imageId }) => imageId === rootHash);
  return found === undefined ? null : { is: "quarantined", reason: found.reason };
}

function rolloutFault({ rollout, rootHash }: Release, { machineId }: MachineFacts): Because | null {
  const place = machineId === null ? null : rolloutPlace(machineId, rootHash);
  return rollout === 100 || (place !== null && isOffered(place, rollout)) ? null : { is: "rollout", share: rollout, place };
}

/** Whether it is passed over for its age alone, which nobody wonders about. */
export function isOlder({ because }: Pick<PassedOver, "because">): boolean {
  return because.is === "runs" || because.is === "not-newer" || because.is === "not-newest";
}

/** The reason as half a sentence: "2.1 is passed over: …". */
export function becauseText({ release, because }: PassedOver): string {
  switch (because.is) {
    case "runs":
      return "it is what runs";
    case "not-newer":
      return `it is not above ${because.running}, which runs`;
    case "below-floor":
      return `its rollback index ${release.rollbackIndex} is below ${because.floor}, which was committed here`;
    case "minimum-version":
      return because.running === null
        ? `it is for machines that run ${because.minimum} at least, and what runs here has no version`
        : `it is for machines that run ${because.minimum} at least, ${because.running} runs here`;
    case "quarantined":
      return `it failed here before (${because.reason}); --retry takes it all the same`;
    case "rollout":
      return because.place === null
        ? `it is offered to ${because.share} % of the machines, and this one has no machine id to tell whether it is among them`
        : `it is offered to ${because.share} % of the machines, this one comes in above ${because.place.toFixed(1)} %`;
    case "not-newest":
      return `${because.taken} is newer`;
  }
}
