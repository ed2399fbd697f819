/** An image fetched from a server that misbehaves for good: an end with a message that says what was seen and what to do. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { SourceError } from "../../init/converge/source.ts";
import { fetchSmall, NotThere } from "../../init/network/fetch-small.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { blocks, IMPATIENT, quickLimits } from "../samples/fetched.ts";
import { type RawRequest, type Reply, serveRightly, startRawServer } from "../samples/raw-server.ts";
import { fetchFrom, files, half, image, right, someBody, someHead, tag } from "./network-server.ts";

type Wrong = (request: RawRequest, reply: Reply) => void | Promise<void>;
const status =
  (code: number, fields = "", body = "no"): Wrong =>
  (_, reply) =>
    reply.send(`HTTP/1.1 ${code} x\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`);
const gaveUp = /; gave up after [49] attempts without progress; is the URL right\? Then run it again later$/;

/** From the second request on. The pattern is of the message behind the URL; where pauses are told, how many there are. */
const stops: [string, Wrong, RegExp, number?][] = [
  ["401", status(401), /answers 401: it wants credentials, or others; give --token-file/],
  ["403", status(403), /answers 403: it forbids that/],
  ["404", status(404), /answers 404: there is nothing of that name/],
  ["410", status(410), /answers 410: there is nothing of that name/],
  ["400", status(400), /answers 400: is it an http: server\?/],
  ["407", status(407), /answers 407: a proxy/],
  ["418", status(418), /answers 418$/],
  ["501", status(501), /answers 501$/],
  ["511", status(511), /answers 511: the network wants somebody to log in first/],
  ["300", status(300, "Location: /y\r\n"), /answers 300$/],
  [
    "a web page",
    status(200, "Content-Type: text/html\r\n", "<html>"),
    /answers with a web page \(text\/html\): .* login page in between\?/,
  ],
  ["gzip", status(206, "Content-Encoding: gzip\r\n"), /Content-Encoding "gzip", though it was asked not to encode/],
  [
    "a redirect to itself",
    (request, reply) => status(302, `Location: ${request.path}\r\n`)(request, reply),
    /redirects more than 5 times/,
  ],
  ["a redirect to no place", status(301), /redirects to no place/],
  ["a redirect to another protocol", status(301, "Location: ftp://h/x\r\n"), /redirects to "ftp:"/],
  [
    "a redirect with a password",
    status(301, "Location: http://me:hunter2@127.0.0.1/\r\n"),
    /http:\/\/127.0.0.1\/ with a password/,
  ],
  [
    "another ETag",
    (request, reply) => reply.send(someHead(request).replace(tag, '"v2"')),
    /changed while it was read: it had ETag "v1" and has "v2"; run it again/,
  ],
  [
    "another date",
    (request, reply) =>
      reply.send(
        someHead(request)
          .replace(/ETag.*\r\n/, "")
          .replace("Sat, 28", "Sun, 29"),
      ),
    /changed while it was read: it had the date "Sat/,
  ],
  [
    "another size",
    (request, reply) => reply.send(someHead(request).replace(/\/\d+\r/, "/4096000\r")),
    /changed while it was read: it had 3702784 bytes and has 4096000/,
  ],
  ["another whole file", status(200, 'ETag: "v2"\r\n'), /changed while it was read/],
  ["412", status(412), /changed while it was read/],
  [
    "416 for good",
    (request, reply) => (/-0$/.test(request.fields.get("range") ?? "") ? right(request, reply) : status(416)(request, reply)),
    gaveUp,
    8,
  ],
  [
    "a truncated file",
    (request, reply) => serveRightly({ bytes: half(image), etag: tag }, request, reply),
    /had 3702784 bytes and has 1851392/,
  ],
  ["503 for good", status(503, "Retry-After: 1000000\r\n"), gaveUp, 8],
  [
    "the whole file for good",
    (request, reply) =>
      reply.send(`HTTP/1.1 200 x\r\nETag: ${tag}\r\nContent-Length: ${someBody(request).length && image.length}\r\n\r\n`),
    gaveUp,
    8,
  ],
  ["silence", () => {}, gaveUp, 3],
  ["a body without a byte", (request, reply) => reply.send(someHead(request)), gaveUp, 3],
  [
    "a byte, then the end",
    (request, reply) => {
      reply.send(someHead(request));
      reply.send(someBody(request).subarray(0, 1));
      reply.end();
    },
    gaveUp,
    8,
  ],
  ["endless headers", (_, reply) => reply.sendSlowly(Array(100).fill(`A: ${"b".repeat(2000)}\r\n`), 1), gaveUp, 8],
  ["the end at once", (_, reply) => reply.end(), gaveUp, 8],
  ["a reset at once", (_, reply) => reply.reset(), gaveUp, 8],
];

const patience = (name: string) => (/^silence|without a byte/.test(name) ? IMPATIENT : {});

for (const [name, wrong, message, pausesOfOne] of stops) {
  test(`from then on ${name}: stops, and says why`, async () => {
    const { error, pauses, most } = await fetchFrom((request, reply) => (request.number === 1 ? right : wrong)(request, reply), {
      ...patience(name),
      connections: 1,
    });
    assert.match(error, message);
    assert.not.match(error, /hunter2/);
    assert.is(pauses.length, pausesOfOne ?? 0);
    assert.ok(Math.max(0, ...pauses) <= 126_000, `pauses are bounded: ${pauses}`);
    assert.is(most, 1);
  });
}

for (const [name, wrong, message] of stops) {
  test(`from then on ${name}, four requests at a time: stops all the same`, async () => {
    const { error } = await fetchFrom((request, reply) => (request.number === 1 ? right : wrong)(request, reply), patience(name));
    assert.match(error, message);
  });
}

test("a server that never answers is given up sooner", async () => {
  const pauses: number[] = [];
  const source = openHttpSource("http://127.0.0.1:1/x.img", PLAIN, { limits: quickLimits(pauses) });
  const error = await source.size().catch((caught: unknown) => caught);
  assert.instance(error, SourceError);
  assert.match(String(error), /http:\/\/127.0.0.1:1\/x.img refuses connections; gave up after 4 attempts/);
  assert.is(pauses.length, 3);
  await source.close();
});

test("a sink that throws ends the fetch with its own error, and nothing is given any more", async () => {
  const server = await startRawServer(right);
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  let calls = 0;
  const fetching = source.fetch(blocks([0, 900]), () => {
    calls += 1;
    if (calls === 3) throw new Error("the disk is full");
  });
  assert.match(String(await fetching.catch((error: unknown) => error)), /^Error: the disk is full$/);
  await Bun.sleep(50);
  assert.is(calls, 3);
  assert.is((await source.read({ offset: 0, length: 4096 })).length, 4096, "the source is of use still");
  await source.close();
  await server.stop();
});

test("close ends a fetch at once, wherever it is", async () => {
  for (const wrong of [() => {}, (request: RawRequest, reply: Reply) => reply.send(someHead(request)), status(503)]) {
    const server = await startRawServer((request, reply) => (request.number === 1 ? right : wrong)(request, reply));
    const limits = {
      ...quickLimits(),
      headMs: 60_000,
      stallMs: 60_000,
      sleep: (_: number, signal: AbortSignal) => aborted(signal),
    };
    const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits });
    await source.size();
    const fetching = source.fetch(blocks([0, 900]), () => {}).catch((error: unknown) => error);
    await Bun.sleep(30);
    await source.close();
    assert.match(String(await fetching), /SourceError: .*\/x.img was given up/);
    assert.match(String(await source.read({ offset: 0, length: 4096 }).catch((error: unknown) => error)), /was given up/);
    await server.stop();
  }
});

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve()));
}

test("ranges that are not in the image, or not in order, are refused before anything is asked", async () => {
  const server = await startRawServer(right);
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  for (const wrong of [blocks([900, 905]), blocks([3, 4], [0, 1]), blocks([0, 3], [2, 4])]) {
    assert.match(
      String(await source.fetch(wrong, () => {}).catch((error: unknown) => error)),
      /SourceError: .* has 3702784 bytes/,
    );
  }
  assert.is(server.requests.length, 1);
  await source.fetch([], () => {});
  await source.close();
  await server.stop();
});

test("fetchSmall: whole files, however they come; not one that is too long; and what is not there", async () => {
  const server = await startRawServer(async (request, reply) => {
    const head = someHead({ ...request, path: "/x.img.idx" });
    if (request.path === "/cut" && request.number % 2 === 1) {
      reply.send(head);
      reply.send(half(someBody({ ...request, path: "/x.img.idx" })));
      reply.end();
    } else if (request.path === "/endless") {
      reply.send("HTTP/1.1 200 x\r\n\r\n");
      await reply.sendSlowly(Array(1000).fill(new Uint8Array(65536)), 1);
    } else if (request.path === "/page") status(200, "Content-Type: text/html\r\n")(request, reply);
    else if (request.path === "/part") status(206, "Content-Range: bytes 0-1/9\r\n")(request, reply);
    else if (request.path === "/gone") status(410)(request, reply);
    else serveRightly(files.get("/x.img.idx"), request, reply);
  });
  const whole = files.get("/x.img.idx")?.bytes ?? new Uint8Array(0);
  const small = (path: string, limit = 1 << 20) => fetchSmall(server.url + path, PLAIN, limit, { limits: quickLimits() });
  assert.is(Buffer.compare(await small("/whole"), whole), 0);
  assert.is(Buffer.compare(await small("/whole", whole.length), whole), 0);
  assert.is(Buffer.compare(await small("/cut"), whole), 0);
  for (const [path, message, limit] of [
    ["/whole", /has more than 16383 bytes/, whole.length - 1],
    ["/endless", /has more than 1048576 bytes; is the URL right\?/],
    ["/page", /answers with a web page/],
    ["/part", /a part where the whole was asked for; gave up/],
    ["/gone", /answers 410/],
  ] as const) {
    const error = await small(path, limit).catch((caught: unknown) => caught);
    assert.instance(error, path === "/gone" ? NotThere : SourceError);
    assert.match(String(error), message);
  }
  await server.stop();
});

test.run();
