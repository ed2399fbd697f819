/** Fetching from a server that a test speaks for. */
import * as assert from "uvu/assert";
import { SourceError } from "../../init/converge/source.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import type { Limits } from "../../init/network/limits.ts";
import { PLAIN } from "../../init/network/options.ts";
import { blocks, fetchChecked, quickLimits, sampleBytes } from "../samples/fetched.ts";
import {
  type Handler,
  type RawRequest,
  type Reply,
  rightAnswer,
  type ServedFile,
  serveRightly,
  startRawServer,
} from "../samples/raw-server.ts";

export const { image, index } = sampleBytes(900);
export const tag = '"v1"';
export const files = new Map<string, ServedFile>([
  ["/x.img", { bytes: image, etag: tag, modified: "Sat, 28 Nov 2026 11:00:30 GMT" }],
  ["/x.img.idx", { bytes: index, etag: '"i1"' }],
]);
export const right: Handler = (request, reply) => serveRightly(files.get(request.path), request, reply);

/** Small ranges, a long one that is split, and the end. */
export const ranges = blocks([0, 1], [3, 20], [21, 22], [30, 860], [870, 872], [900, 904]);

interface Outcome {
  told: string[];
  pauses: number[];
  requests: RawRequest[];
  most: number;
  transferred: number;
  error: string;
}

/** Fetches everything from a server that `handler` speaks for, and returns how it went; checks are in fetchChecked. */
export async function fetchFrom(handler: Handler, limits: Partial<Limits> = {}): Promise<Outcome> {
  const server = await startRawServer(handler);
  const [told, pauses]: [string[], number[]] = [[], []];
  const context = { told: (line: string) => told.push(line), limits: quickLimits(pauses, limits) };
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, context);
  let error = "";
  try {
    assert.is(await source.size(), image.length);
    await fetchChecked(source, image, ranges);
  } catch (caught) {
    if (!(caught instanceof SourceError)) throw caught;
    error = caught.message;
    assert.ok(error.startsWith(`${server.url}/x.img`), `"${error}" names its source`);
  } finally {
    await source.close();
    await server.stop();
  }
  const { transferred } = source;
  return { told, pauses, requests: server.requests, most: server.connections.most, transferred, error };
}

/** Misbehaves at the requests with these numbers; 1 is the first, which asks for the size. */
export function at(numbers: readonly number[], wrong: (request: RawRequest, reply: Reply) => void | Promise<void>): Handler {
  return (request, reply) => (numbers.includes(request.number) ? wrong(request, reply) : right(request, reply));
}

export const someHead = (request: RawRequest): string => rightAnswer(files.get(request.path), request).head;
export const someBody = (request: RawRequest): Uint8Array => rightAnswer(files.get(request.path), request).body;
export const half = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, bytes.length / 2);
