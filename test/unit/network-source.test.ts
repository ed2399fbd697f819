/** An image fetched from a server that misbehaves in one way for a while. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { blocks, IMPATIENT, quickLimits } from "../samples/fetched.ts";
import { type RawRequest, type Reply, startRawServer } from "../samples/raw-server.ts";
import { at, fetchFrom, half, image, ranges, right, someBody, someHead, tag } from "./network-server.ts";

test("a good server: every byte once, four requests at a time on connections that are kept", async () => {
  const { told, error, most, transferred, requests } = await fetchFrom(right);
  assert.equal([error, told], ["", []]);
  assert.is(transferred, 1 + ranges.reduce((sum, { length }) => sum + length, 0));
  assert.is(requests.length, 1 + 5 + 4, "the long range takes four requests of a MiB at most");
  assert.is(most, 4);
  assert.is(new Set(requests.map(({ connection }) => connection)).size, 4);
  assert.equal(new Set(requests.map(({ fields }) => fields.get("accept-encoding"))), new Set(["identity"]));
  assert.equal(new Set(requests.slice(1).map(({ fields }) => fields.get("if-range"))), new Set([tag]));
});

test("a slow sink holds the server back, and is not called again before it returned", async () => {
  const server = await startRawServer(right);
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  let [given, inside, most] = [0, 0, 0];
  await source.fetch(blocks([0, 900]), async (_, bytes) => {
    inside += 1;
    most = Math.max(most, inside);
    await Bun.sleep(2);
    given += bytes.length;
    inside -= 1;
  });
  assert.equal([given, most], [900 * 4096, 1]);
  await source.close();
  await server.stop();
});

test("read gives one range whole", async () => {
  const server = await startRawServer(right);
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  for (const range of blocks([903, 904], [0, 1], [10, 800])) {
    const bytes = await source.read(range);
    assert.is(Buffer.compare(bytes, image.subarray(range.offset, range.offset + range.length)), 0);
  }
  await source.close();
  await server.stop();
});

/** Wrong at some requests, then right: everything arrives, after a retry that is told. */
const passing: [string, (request: RawRequest, reply: Reply) => void | Promise<void>, RegExp][] = [
  [
    "ends the connection instead of answering",
    (_, reply) => reply.end(),
    /ended before its header|ended the connection|ends the/,
  ],
  ["resets the connection instead of answering", (_, reply) => reply.reset(), /reset|ended/],
  [
    "ends in the middle of the header",
    (request, reply) => {
      reply.send(someHead(request).slice(0, 40));
      reply.end();
    },
    /ended before its header did/,
  ],
  [
    "cuts the body off",
    (request, reply) => {
      reply.send(someHead(request));
      reply.send(half(someBody(request)));
      reply.end();
    },
    /was cut off/,
  ],
  [
    "resets in the middle of the body",
    async (request, reply) => {
      reply.send(someHead(request));
      reply.send(half(someBody(request)));
      await Bun.sleep(30);
      reply.reset();
    },
    /reset|cut off/,
  ],
  [
    "stops in the middle of the body and stays silent",
    (request, reply) => {
      reply.send(someHead(request));
      reply.send(half(someBody(request)));
    },
    /sent nothing for \d s/,
  ],
  ["never answers", () => {}, /sent nothing for \d s/],
  [
    "sends a body a byte at a time",
    (request, reply) => {
      reply.send(someHead(request));
      const bytes = [...someBody(request).subarray(0, 60)].map((byte) => Uint8Array.of(byte));
      return reply.sendSlowly(bytes, 100);
    },
    /sent \d+ bytes in \d s/,
  ],
  [
    "sends a header a byte at a time",
    (request, reply) => reply.sendSlowly([...someHead(request)], 100),
    /no whole header in \d s/,
  ],
  ["answers in another protocol", (_, reply) => reply.send("220 mail ESMTP\r\n"), /begins with "220 mai"/],
  ["sends an endless header", (_, reply) => reply.send(`HTTP/1.1 206 x\r\n${"A: b\r\n".repeat(20000)}`), /header of more than/],
  ["sends interim answers only", (_, reply) => reply.send("HTTP/1.1 100 Continue\r\n\r\n".repeat(100)), /never comes/],
  [
    "answers with another range",
    (_, reply) => reply.send("HTTP/1.1 206 x\r\nContent-Range: bytes 5-6/3702784\r\nContent-Length: 2\r\n\r\nab"),
    /"bytes 5-6\/3702784" where bytes \d+-\d+ were asked for/,
  ],
  [
    "answers with several parts",
    (_, reply) => reply.send("HTTP/1.1 206 x\r\nContent-Type: multipart/byteranges; boundary=b\r\nContent-Length: 3\r\n\r\n--b"),
    /multipart\/byteranges/,
  ],
  [
    "answers with the whole file",
    (_, reply) => {
      reply.send(`HTTP/1.1 200 OK\r\nETag: ${tag}\r\nContent-Length: ${image.length}\r\n\r\n`);
      reply.send(image);
    },
    /whole file where a range was asked for/,
  ],
  [
    "sends more than it says",
    (request, reply) => {
      reply.send(someHead(request).replace(/Content-Length: \d+\r\n/, "Transfer-Encoding: chunked\r\n"));
      for (const bytes of [someBody(request), new Uint8Array(1 << 20), new Uint8Array(1 << 20)]) {
        reply.send(`${bytes.length.toString(16)}\r\n`);
        reply.send(bytes);
        reply.send("\r\n");
      }
    },
    /sends more than was asked for/,
  ],
  [
    "says a length that is not the range's",
    (request, reply) => reply.send(someHead(request).replace(/Content-Length: \d+/, "Content-Length: 99")),
    /Content-Length 99 where/,
  ],
  ["answers 416 to a range that is there", (_, reply) => reply.send("HTTP/1.1 416 x\r\nContent-Length: 0\r\n\r\n"), /416/],
  ...[408, 425, 429, 500, 502, 503, 504].map((status): [string, (_: RawRequest, reply: Reply) => void, RegExp] => [
    `answers ${status}`,
    (_, reply) => reply.send(`HTTP/1.1 ${status} x\r\nContent-Length: 2\r\n\r\nno`),
    new RegExp(`answers ${status}; trying again in 0\\.`),
  ]),
];

for (const [name, wrong, told] of passing) {
  test(`a server that ${name} twice: goes on by itself, nothing lost, nothing twice`, async () => {
    const outcome = await fetchFrom(at([3, 8], wrong), /silent|never answers|at a time/.test(name) ? IMPATIENT : {});
    assert.is(outcome.error, "");
    assert.match(outcome.told.join("\n"), told);
    // a kept connection that ends before it answers is no failure, and after a 416 the size is asked: the second may be one of these
    assert.ok(
      outcome.pauses.length >= (/^(ends|resets) the connection|416/.test(name) ? 1 : 2),
      `${outcome.pauses.length} pauses`,
    );
  });
}

test("a server that ends kept connections without a word: no failure, no pause", async () => {
  const { error, told, pauses } = await fetchFrom(async (request, reply) => {
    await right(request, reply);
    setTimeout(() => reply.end(), 1);
  });
  assert.equal([error, told, pauses], ["", [], []]);
});

test("a server that answers each request and then closes, HTTP/1.0 without lengths", async () => {
  const { error, told } = await fetchFrom((request, reply) => {
    reply.send(
      someHead(request)
        .replace("HTTP/1.1", "HTTP/1.0")
        .replace(/Content-Length: \d+\r\n/, ""),
    );
    reply.send(someBody(request));
    reply.end();
  });
  assert.equal([error, told], ["", []]);
});

test("a server that sends ranges in chunks, after interim answers, cut anywhere", async () => {
  const { error, told } = await fetchFrom((request, reply) => {
    reply.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n");
    reply.send(someHead(request).replace(/Content-Length: \d+/, "Transfer-Encoding: chunked"));
    const body = someBody(request);
    for (let at = 0; at < body.length; at += 77_777) {
      const chunk = body.subarray(at, at + 77_777);
      reply.send(`${chunk.length.toString(16)};x=y\r\n`);
      reply.send(chunk);
      reply.send("\r\n");
    }
    reply.send("0\r\nTrailer: z\r\n\r\n");
  });
  assert.equal([error, told], ["", []]);
});

test("Retry-After holds everybody back", async () => {
  const { error, pauses, told } = await fetchFrom(
    at([4], (_, reply) => reply.send("HTTP/1.1 503 x\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n")),
  );
  assert.is(error, "");
  assert.equal(pauses, [31_500]);
  assert.match(told.join("\n"), /answers 503; trying again in 31\.5 s/);
});

test("a server that cuts off each answer, but later than the last time: goes on as long as there is progress", async () => {
  const { error, requests, transferred } = await fetchFrom((request, reply) => {
    const body = someBody(request);
    reply.send(someHead(request));
    reply.send(body.subarray(0, 100_000));
    if (body.length > 100_000) reply.end();
  });
  assert.is(error, "");
  assert.ok(requests.length > 34, `${requests.length} requests`);
  assert.is(transferred, 1 + ranges.reduce((sum, { length }) => sum + length, 0), "nothing is fetched twice");
});

test.run();
