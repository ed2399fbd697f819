import { sourceUrl } from "../../boot/network/source-url.ts";
import { SourceError } from "../converge/source.ts";
import { Attempts } from "./attempts.ts";
import { Client } from "./client.ts";
import type { NetworkContext } from "./context.ts";
import { readIdentity } from "./identity.ts";
import { LIMITS } from "./limits.ts";
import type { SourceOptions } from "./options.ts";

/** Bytes of the largest body. */
const LARGEST_BODY = 1024 * 1024;

/**
 * Posts `body`, a JSON text, to `url`, with the same care and retries as everything that is fetched: who takes it may get it
 * twice. Any 2xx takes it; of redirects only those are followed that leave the request as it is.
 *
 * @throws BadInput as openHttpSource does; SourceError where nobody takes it
 */
export async function postJson(url: string, options: SourceOptions, body: string, context: NetworkContext = {}): Promise<void> {
  const { told = () => {}, limits = LIMITS, signal = new AbortController().signal } = context;
  const place = sourceUrl(url);
  const bytes = new TextEncoder().encode(body);
  if (bytes.length > LARGEST_BODY) {
    throw new SourceError(`${place.name} is not asked to take ${bytes.length} bytes, the most are ${LARGEST_BODY}`);
  }
  const client = new Client(place, readIdentity(options, place, context), limits, told);
  const stop = (): void => client.interrupt();
  signal.addEventListener("abort", stop);
  try {
    await new Attempts(client, limits, told).run(place.name, signal, () => client.post(bytes));
  } finally {
    signal.removeEventListener("abort", stop);
    client.interrupt();
  }
}
