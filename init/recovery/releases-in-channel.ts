import type { Channel, NamedRelease, Release } from "../../boot/channel/channel.ts";
import { becauseText, recoveryReleases } from "../../boot/channel/choose-release.ts";
import { withSerial } from "../../boot/channel/serial.ts";
import { trustOf } from "../../boot/image/trust.ts";
import { whyTooOld } from "../../boot/recovery/judge-image.ts";
import { installFloor } from "../../boot/selection/floors.ts";
import { Refusal } from "../../state-ops/outcome.ts";
import { believeChannel } from "../channel/believe-channel.ts";
import { SourceError } from "../converge/source.ts";
import type { Counters } from "../sequence/counters.ts";
import type { ImageSearch } from "./image-search.ts";

/**
 * The releases of a channel that are looked for and may be taken, best first, by the bytes of its file; `name` is where they lie. None
 * where the channel is not believed.
 *
 * Where any image will do, a channel whose serial went back is not believed, as in a running system, and what is seen of the serial
 * is remembered first. Where images are asked for by their ids, serials do not matter.
 */
export async function releasesIn(search: ImageSearch, name: string, bytes: Uint8Array): Promise<NamedRelease[] | null> {
  const { desk, record } = search;
  const { system, trust: declared } = desk.boot.control;
  const trust = trustOf(declared);
  try {
    const { channel } = await believeChannel(name, bytes, { trust, system, channel: null });
    if (search.wanted.imageIds === null && trust.mode === "signed") noteSerial(desk.counters, channel);
    const facts = {
      system,
      running: null,
      installFloor: installFloor(record, declared) ?? 0,
      quarantined: record.quarantined,
    };
    const { releases, passedOver } = recoveryReleases(channel, facts, record.lastCommitted?.imageId ?? null);
    const isPutBack = ({ rootHash, rollbackIndex }: Release) => whyTooOld(rootHash, rollbackIndex, search.judge) === null;
    const old = passedOver.filter(({ release, because }) => because.is === "below-floor" && isPutBack(release));
    for (const over of passedOver) {
      if (!old.includes(over) && search.wants(over.release.rootHash)) {
        search.refuse(`${name}: ${over.release.version}`, `it is passed over: ${becauseText(over)}`);
      }
    }
    const taken = [...old.map(({ release }) => release), ...releases].filter(({ rootHash }) => search.wants(rootHash));
    const offers = taken.map((release) => ({ release, channel, imageId: release.rootHash, version: release.version }));
    return search.inOrder(offers);
  } catch (error) {
    if (!(error instanceof SourceError || error instanceof Refusal)) throw error;
    search.refuse(name, error.message);
    return null;
  }
}

/** A channel is believed: its serial is durable before anything that it says is acted on. Throws Refusal where it went back. */
function noteSerial(counters: Pick<Counters, "record" | "change">, channel: Pick<Channel, "channel" | "serial">): void {
  const next = withSerial(counters.record, channel);
  if (next !== counters.record) counters.change(next);
}
