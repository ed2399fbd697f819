/** Posting JSON: to servers that take it, and to those that do not. */
import { createServer, type Socket } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type SourceUrl, sourceUrl } from "../../boot/network/source-url.ts";
import { SourceError } from "../../init/converge/source.ts";
import { Connection } from "../../init/network/connection.ts";
import { readIdentity } from "../../init/network/identity.ts";
import type { Limits } from "../../init/network/limits.ts";
import { PLAIN } from "../../init/network/options.ts";
import { postJson } from "../../init/network/post.ts";
import { Trouble } from "../../init/network/trouble.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { IMPATIENT, quickLimits } from "../samples/fetched.ts";
import { type Handler, type RawRequest, startRawServer } from "../samples/raw-server.ts";

interface Posted {
  error: string;
  pauses: number[];
  requests: RawRequest[];
}

async function postTo(handler: Handler, path = "/r", body = "{}"): Promise<Posted> {
  const server = await startRawServer(handler);
  const pauses: number[] = [];
  const work = postJson(server.url + path, PLAIN, body, { limits: quickLimits(pauses, IMPATIENT) });
  const error = await work.then(
    () => "none",
    (caught: unknown) => {
      assert.instance(caught, SourceError);
      return String(caught);
    },
  );
  await server.stop();
  return { error, pauses, requests: server.requests };
}

const answer =
  (status: number, fields = "", body = ""): Handler =>
  (_, reply) =>
    reply.send(`HTTP/1.1 ${status} x\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`);

for (const status of [200, 201, 202, 204, 299]) {
  test(`${status} takes it`, async () => {
    const { error, requests } = await postTo(answer(status));
    assert.is(error, "none");
    assert.is(requests.length, 1);
    const { fields, path } = requests[0] ?? { fields: new Map(), path: "" };
    assert.equal([path, fields.get("content-type"), fields.get("content-length")], ["/r", "application/json", "2"]);
    assert.is(fields.get("authorization"), undefined);
  });
}

test("what the answer says besides is not waited for", async () => {
  assert.is((await postTo((_, reply) => reply.send("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nx"))).error, "none");
  assert.is(
    (await postTo((_, reply) => reply.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"))).error,
    "none",
  );
});

const refused: [string, Handler, RegExp][] = [
  ["400", answer(400), /answers 400/],
  ["401", answer(401), /answers 401: it wants credentials/],
  ["404", answer(404), /answers 404/],
  ["410", answer(410), /answers 410/],
  ["412", answer(412), /answers 412/],
  ["413", answer(413), /answers 413/],
  ["416", answer(416), /answers 416/],
  ["a login page", answer(200, "Content-Type: text/html\r\n", "<html>"), /answers with a web page \(text\/html\): .* login page/],
  [
    "a redirect that makes it a GET",
    answer(302, "Location: /login?secret=1\r\n"),
    /redirects to http:\S+\/login\?… with 302, after which/,
  ],
  ["a redirect to nowhere", answer(307), /redirects to no place/],
  ["a redirect for ever", answer(308, "Location: /r\r\n"), /redirects more than 5 times/],
];

for (const [name, handler, message] of refused) {
  test(`${name}: told, and not tried again`, async () => {
    const { error, pauses } = await postTo(handler);
    assert.match(error, message);
    assert.equal(pauses, []);
  });
}

const passing: [string, Handler, RegExp][] = [
  ["500", answer(500), /answers 500; gave up after/],
  [
    "a cut header",
    (_, reply) => {
      reply.send("HTTP/1.1 20");
      reply.end();
    },
    /ended before its header did; gave up/,
  ],
  ["a reset", (_, reply) => reply.reset(), /(reset the connection|ended before its header did); gave up/],
  ["silence", () => {}, /sent nothing for .*; gave up/],
  ["no HTTP", (_, reply) => reply.send("hello\r\n"), /begins with "hello/],
];

for (const [name, handler, message] of passing) {
  test(`${name}: tried again, then given up`, async () => {
    const { error, pauses } = await postTo(handler);
    assert.match(error, message);
    assert.is(pauses.length, 3);
  });
}

test("taken at the third attempt, with the whole body each time", async () => {
  const { error, requests } = await postTo((request, reply) =>
    request.number < 3 ? reply.reset() : answer(204)(request, reply),
  );
  assert.is(error, "none");
  assert.equal(
    requests.map(({ fields }) => fields.get("content-length")),
    ["2", "2", "2"],
  );
});

test("307 and 308 are followed, with the body", async () => {
  const bodies: string[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      bodies.push(`${request.method} ${await request.text()}`);
      const { pathname } = new URL(request.url);
      if (pathname === "/r") return new Response(null, { status: 307, headers: { location: "/s" } });
      return pathname === "/s" ? new Response(null, { status: 308, headers: { location: "/t" } }) : new Response("taken");
    },
  });
  await postJson(`http://127.0.0.1:${server.port}/r`, PLAIN, `{"a":1}`, { limits: quickLimits() });
  assert.equal(bodies, [`POST {"a":1}`, `POST {"a":1}`, `POST {"a":1}`]);
  server.stop(true);
});

/** More than a kernel's buffers take. */
const MUCH = 16 * 1024 * 1024;

/** A server that reads nothing until it is told to. */
async function lazyServer() {
  let came = 0;
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    socket.pause();
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      came += bytes.length;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const read = (): void => {
    for (const socket of sockets) socket.resume();
  };
  const stop = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: sourceUrl(`http://127.0.0.1:${address.port}/`), read, stop, came: () => came };
}

async function connected(url: SourceUrl, limits: Partial<Limits> = {}): Promise<Connection> {
  const connection = new Connection(url.origin, quickLimits([], limits));
  await connection.open(url, readIdentity(PLAIN, url, {}), true, () => {});
  return connection;
}

test("what the kernel does not take at once is sent on as soon as there is room", async () => {
  const server = await lazyServer();
  const connection = await connected(server.url);
  let sent = false;
  const work = connection.send(new Uint8Array(MUCH)).then(() => {
    sent = true;
  });
  await Bun.sleep(300);
  assert.not.ok(sent, "nobody read it");
  server.read();
  await work;
  for (let waits = 0; server.came() < MUCH && waits < 500; waits++) await Bun.sleep(10);
  assert.is(server.came(), MUCH);
  connection.destroy();
  server.stop();
});

test("a server that reads nothing is not waited for for ever, and one that goes away not at all", async () => {
  const server = await lazyServer();
  const patient = await connected(server.url);
  const impatient = await connected(server.url, { stallMs: 200 });
  const errorOf = (work: Promise<void>): Promise<string> =>
    work.then(
      () => "none",
      (error: unknown) => (error instanceof Trouble ? error.reason : String(error)),
    );
  assert.match(await errorOf(impatient.send(new Uint8Array(MUCH))), /took no more of the request for/);
  const work = errorOf(patient.send(new Uint8Array(MUCH)));
  await Bun.sleep(100);
  server.stop();
  assert.match(await work, /reset the connection|ended the connection/);
  patient.destroy();
  impatient.destroy();
});

test("given up by its signal", async () => {
  const server = await startRawServer(() => {});
  const controller = new AbortController();
  const work = postJson(`${server.url}/r`, PLAIN, "{}", { limits: quickLimits(), signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  assert.match(String(await work.catch((error: unknown) => error)), /was given up/);
  await server.stop();
});

test("what is no URL, and what is too long, is not sent", async () => {
  assert.instance(await postJson("ftp://h/", PLAIN, "{}").catch((error: unknown) => error), BadInput);
  const long = await postJson("http://127.0.0.1:1/", PLAIN, "x".repeat(1024 * 1024 + 1)).catch((error: unknown) => error);
  assert.match(String(long), /not asked to take 1048577 bytes/);
});

test.run();
