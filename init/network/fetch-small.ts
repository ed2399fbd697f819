import { Gathered } from "../../boot/network/gathered.ts";
import { sourceUrl } from "../../boot/network/source-url.ts";
import { beginsAsWebPage, WEB_PAGE } from "../../boot/network/web-page.ts";
import { SourceError } from "../converge/source.ts";
import { Attempts } from "./attempts.ts";
import { Client } from "./client.ts";
import type { NetworkContext } from "./context.ts";
import { readIdentity } from "./identity.ts";
import { LIMITS } from "./limits.ts";
import type { SourceOptions } from "./options.ts";

export { NotThere } from "./attempts.ts";

/**
 * All bytes at `url`, with the same care and retries as an image: a channel, an index.
 *
 * @throws BadInput as openHttpSource does; SourceError where they are more than `limitBytes` or cannot be had; NotThere
 */
export async function fetchSmall(
  url: string,
  options: SourceOptions,
  limitBytes: number,
  context: NetworkContext = {},
): Promise<Uint8Array> {
  const { told = () => {}, limits = LIMITS, signal = new AbortController().signal } = context;
  const place = sourceUrl(url);
  const client = new Client(place, readIdentity(options, place, context), limits, told);
  const stop = (): void => client.interrupt();
  signal.addEventListener("abort", stop);
  try {
    return await new Attempts(client, limits, told).run(place.name, signal, async () => {
      const answer = client.answerIn(await client.ask("", null, null));
      const gathered = new Gathered();
      let length = 0;
      try {
        for (let bytes = await answer.read(); bytes !== null; bytes = await answer.read()) {
          length += bytes.length;
          if (length > limitBytes) throw new SourceError(`${place.name} has more than ${limitBytes} bytes; is the URL right?`);
          gathered.add(bytes);
        }
      } finally {
        client.release(answer);
      }
      const { bytes } = gathered;
      if (beginsAsWebPage(bytes)) throw new SourceError(`${place.name} ${WEB_PAGE}`);
      return bytes;
    });
  } finally {
    signal.removeEventListener("abort", stop);
    client.interrupt();
  }
}
