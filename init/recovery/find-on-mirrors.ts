/** Images on servers, by every way to the network, from every source that the control file names. */

import { PLAIN } from "../../boot/network/source-settings.ts";
import type { ImageId } from "../../boot/record/record.ts";
import type { Offered } from "../../boot/recovery/judge-image.ts";
import { proxiesToTry } from "../../state-ops/proxy-url.ts";
import { besideChannel, channelPlace, isChannelUrl } from "../channel/place.ts";
import { requireChannelFile } from "../channel/read-channel.ts";
import { NamedSource } from "../converge/named-source.ts";
import { readSourceSeal } from "../converge/read-source-seal.ts";
import type { ImageSource } from "../converge/source.ts";
import type { NetworkContext } from "../network/context.ts";
import { openHttpSource } from "../network/http-source.ts";
import type { FoundImage } from "./found-image.ts";
import { foundImage, give, type ImageSearch } from "./image-search.ts";
import { mirrorLimits } from "./mirror-limits.ts";
import { releasesIn } from "./releases-in-channel.ts";

/** A way to the network is waited for this long, milliseconds: for a cable, a switch that learns, a server of addresses. */
const LONGEST_WAIT = 60_000;

/** An image that a source has, or says that it has. */
interface Offer extends Offered {
  /** Null where it turns out not to be what it was said to be; that was told. */
  open(): Promise<FoundImage | null>;
  close(): Promise<void>;
}

/** The images of all sources, asked by every way that comes up, through the proxies that there may be and without. */
export async function* findOnMirrors(search: ImageSearch): AsyncGenerator<FoundImage> {
  const { desk } = search;
  const { sources, proxy } = desk.boot.control.recovery;
  if (sources.length === 0) return;
  const network = await desk.network();
  if (network === null) return;
  const mirrors = new Mirrors(search);
  let ways = 0;
  try {
    for await (const way of network.ways(LONGEST_WAIT, desk.signal)) {
      ways++;
      search.advance();
      desk.screen.show({ addresses: network.addresses() });
      for (const through of proxiesToTry(way.proxy, proxy)) yield* mirrors.through(through);
    }
  } finally {
    desk.askedSources(mirrors.reached);
  }
  desk.signal.throwIfAborted();
  if (ways === 0)
    search.refuse(
      "network",
      "no link came up with an address; is the cable plugged in, and is somebody there who gives addresses?",
    );
}

class Mirrors {
  /** The image that was given first, and was of no use: it may have been fetched in part, and another source goes on with it. */
  #begun: ImageId | null = null;
  /** A source gave a channel, or an image, that can be believed. */
  reached = false;

  constructor(readonly search: ImageSearch) {}

  /**
   * What the sources have, through this proxy. The best of the first source that has anything is given at once; whoever asks for more
   * gets what is best of all sources, before all else the image that was begun.
   */
  async *through(proxy: string | null): AsyncGenerator<FoundImage> {
    const { search } = this;
    const { sources, authorities, patience } = search.desk.boot.control.recovery;
    const context: NetworkContext = {
      kernel: search.desk.boot.kernel,
      told: (line) => search.desk.screen.say(line),
      signal: search.desk.signal,
      limits: mirrorLimits(patience),
      recovery: { proxy, authorities },
    };
    let offers: Offer[] = [];
    try {
      for (const source of sources) {
        offers.push(...(await this.#ask(source, context)));
        const first = this.#begun === null ? offers.shift() : undefined;
        if (first === undefined) continue;
        this.#begun = first.imageId;
        yield* this.#give(first);
      }
      const ordered = search.inOrder(offers);
      const isBegun = ({ imageId }: Offer) => imageId === this.#begun;
      offers = [...ordered.filter(isBegun), ...ordered.filter((offer) => !isBegun(offer))];
      for (let offer = offers.shift(); offer !== undefined; offer = offers.shift()) yield* this.#give(offer);
    } finally {
      for (const offer of offers) await offer.close();
    }
  }

  async *#give(offer: Offer): AsyncGenerator<FoundImage> {
    const image = await this.#telling(() => offer.open());
    if (image !== null) yield* give(image);
  }

  /** What a source offers, best first. None, and a line of why, where it has nothing that could be used. */
  async #ask(source: string, context: NetworkContext): Promise<Offer[]> {
    const offers = await this.#telling(() =>
      isChannelUrl(source) ? this.#askChannel(source, context) : this.#askImage(source, context),
    );
    return offers ?? [];
  }

  async #askChannel(source: string, context: NetworkContext): Promise<Offer[]> {
    const { search } = this;
    const place = channelPlace(source);
    const { kernel } = search.desk.boot;
    const bytes = await requireChannelFile(kernel, place, PLAIN, context);
    search.advance();
    const releases = await releasesIn(search, place.name, bytes);
    if (releases === null) return [];
    this.reached = true;
    return releases.map((named) => {
      const { rootHash: imageId, version, image } = named.release;
      const open = async () => {
        const url = besideChannel(place, image);
        return this.#judged(new NamedSource(openHttpSource(url, PLAIN, context), named));
      };
      return { imageId, version, open, close: async () => {} };
    });
  }

  async #askImage(source: string, context: NetworkContext): Promise<Offer[]> {
    const image = await this.#judged(openHttpSource(source, PLAIN, context));
    if (image === null) return [];
    const { rootHash: imageId, version } = image.seal.manifest;
    return [{ imageId, version, open: async () => image, close: () => image.close() }];
  }

  /** The source's image; null, with the source closed, where it is not taken. */
  async #judged(source: ImageSource): Promise<FoundImage | null> {
    const { search } = this;
    try {
      const { seal, layout } = await readSourceSeal(source);
      search.advance();
      this.reached = true;
      if (await search.takes(seal, source.name)) return foundImage({ place: "mirror", name: source.name, source, seal, layout });
    } catch (error) {
      await source.close();
      throw error;
    }
    await source.close();
    return null;
  }

  /** Null, and a line of why, where a source fails in whatever way. There are so many of them, and each has its turn. */
  async #telling<Result>(work: () => Promise<Result>): Promise<Result | null> {
    const { search } = this;
    search.advance();
    try {
      return await work();
    } catch (error) {
      search.desk.signal.throwIfAborted();
      search.tell(error instanceof Error ? error.message : String(error));
      return null;
    }
  }
}
