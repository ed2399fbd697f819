/** What a channel says next: what it says now, and what its publisher changes. */
import { BadInput } from "../../state-ops/outcome.ts";
import type { Channel, Release } from "./channel.ts";
import { compareVersions } from "./version-order.ts";

/** What a publisher asks for. Versions are named as the images' seals have them. */
export interface Publication {
  /** Of the channel; null: as it is. */
  channel: string | null;
  /** Images to offer, for all machines unless said. What is offered already may be among them. */
  images: readonly Omit<Release, "rollout" | "minimumVersion">[];
  /** Of `images`, which must all be of one system; null without images. */
  system: string | null;
  /** Versions that are offered no more. */
  withdraw: readonly string[];
  /** How many of the newest stay; null: all. */
  keep: number | null;
  /** Share in percent by version. */
  rollout: ReadonlyMap<string, number>;
  /** By version; null: from any. */
  minimumVersion: ReadonlyMap<string, string | null>;
  /** Null: one more than the last. */
  serial: number | null;
}

/** The channel to publish after `current`, null for a new one, and the releases that it offers no more. Throws BadInput. */
export function nextChannel(current: Channel | null, asked: Publication): { channel: Channel; withdrawn: Release[] } {
  const system = sameOr("the images are for the system", asked.system, current?.system ?? null);
  const name = sameOr("--channel is", asked.channel, current?.channel ?? null);
  if (name === null) throw new BadInput("--channel is missing; it names the new channel: stable");
  if (system === null) throw new BadInput("there is no channel yet; give the images that it is to offer");
  const all = added(current?.releases ?? [], asked.images);
  for (const version of [...asked.withdraw, ...asked.rollout.keys(), ...asked.minimumVersion.keys()]) known(all, version);
  const staying = all.filter(({ version }) => !asked.withdraw.includes(version));
  const doomed = asked.images.find(({ version }) => asked.withdraw.includes(version));
  if (doomed !== undefined) throw new BadInput(`${doomed.version} is to be offered and withdrawn; do one of them`);
  const releases = (asked.keep === null ? staying : staying.slice(0, asked.keep)).map((release) => ({
    ...release,
    rollout: asked.rollout.get(release.version) ?? release.rollout,
    minimumVersion: minimumOf(release, asked.minimumVersion),
  }));
  const dropped = asked.images.find(({ version }) => !releases.some((release) => release.version === version));
  if (dropped !== undefined) throw new BadInput(`${dropped.version} is not among the ${asked.keep} newest that --keep leaves`);
  const withdrawn = (current?.releases ?? []).filter(({ version }) => !releases.some((release) => release.version === version));
  return { channel: { schema: 1, system, channel: name, serial: serialOf(current, asked.serial), releases }, withdrawn };
}

/** Newest first. Throws BadInput where a version would come to mean another image. */
function added(current: readonly Release[], images: Publication["images"]): Release[] {
  const releases = [...current];
  for (const image of images) {
    const same = releases.find(({ version }) => compareVersions(version, image.version) === 0);
    const twin = releases.find(({ rootHash }) => rootHash === image.rootHash);
    if (same === undefined && twin === undefined) releases.push({ ...image, rollout: 100, minimumVersion: null });
    else if (same === undefined) {
      throw new BadInput(`${image.version} has the content of ${twin?.version}, root hash ${image.rootHash}; offer it once`);
    } else if (!isSame(same, image)) {
      const remedy = "a version means one image for ever: build it with a higher version";
      throw new BadInput(`${image.version} is another image than ${same.version}, which is offered already; ${remedy}`);
    }
  }
  return releases.sort((left, right) => compareVersions(right.version, left.version));
}

function isSame(release: Release, image: Publication["images"][number]): boolean {
  const { version, rootHash, imageSize, rollbackIndex } = release;
  return (
    version === image.version &&
    rootHash === image.rootHash &&
    imageSize === image.imageSize &&
    rollbackIndex === image.rollbackIndex
  );
}

function minimumOf({ version, minimumVersion }: Release, asked: Publication["minimumVersion"]): string | null {
  const minimum = asked.get(version);
  const chosen = minimum === undefined ? minimumVersion : minimum;
  if (chosen !== null && compareVersions(chosen, version) >= 0) {
    throw new BadInput(`no machine could ever take ${version}: those that run its minimum ${chosen} have it, or a newer one`);
  }
  return chosen;
}

function serialOf(current: Channel | null, asked: number | null): number {
  const last = current?.serial ?? 0;
  if (asked !== null && asked <= last) throw new BadInput(`--serial ${asked} is not above ${last}, which is published`);
  if (asked === null && last === Number.MAX_SAFE_INTEGER) {
    throw new BadInput(`serial ${last} is the last that there is; begin a channel of another name`);
  }
  return asked ?? last + 1;
}

function known(releases: readonly Release[], version: string): void {
  if (releases.some((release) => release.version === version)) return;
  const offered = releases.map((release) => release.version).join(", ") || "none";
  throw new BadInput(`no release ${JSON.stringify(version)} is offered; there are ${offered}`);
}

function sameOr(what: string, asked: string | null, current: string | null): string | null {
  if (asked !== null && current !== null && asked !== current) {
    throw new BadInput(`${what} ${asked}, the channel in that directory is ${current}; give another directory`);
  }
  return asked ?? current;
}
