/** Sources asked through an HTTP proxy: Debian's tinyproxy, and proxies that a test speaks for. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { fetchSmall, NotThere } from "../../init/network/fetch-small.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN, type SourceOptions } from "../../init/network/options.ts";
import { postJson } from "../../init/network/post.ts";
import { makeAuthority, makeCertificate } from "../../qemu/certificates.ts";
import { startNginx } from "../../qemu/nginx.ts";
import { type ProxyOptions, startProxy } from "../../qemu/proxy.ts";
import { proxiesToTry, proxyFault, proxyUrl } from "../../state-ops/proxy-url.ts";
import { blocks, fetchChecked, IMPATIENT, quickLimits, sampleBytes } from "../samples/fetched.ts";
import { randomNumbers } from "../samples/random.ts";
import { type Handler, type RawServer, startRawServer } from "../samples/raw-server.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-proxy-"));
const { image } = sampleBytes(2000);
writeFileSync(join(directory, "x.img"), image);
const ranges = blocks([0, 1], [3, 20], [30, 1960], [2000, 2004]);
const authority = await makeAuthority(directory, "authority");
const server = await makeCertificate(directory, "server", authority, ["DNS:localhost", "IP:127.0.0.1"]);
const misnamed = await makeCertificate(directory, "misnamed", authority, ["DNS:updates.example"]);
/** For the address that proxies of tests have, and for no name. */
const ofProxy = await makeCertificate(directory, "of-proxy", authority, ["IP:127.0.0.1"]);
const believed: SourceOptions = { ...PLAIN, ca: authority.certificate };
const tls = { certificate: server.certificate, key: server.key };

const errorOf = (work: Promise<unknown>): Promise<string> => work.then(() => "none", String);
const small = (url: string, options: SourceOptions, pauses: number[] = []) =>
  fetchSmall(url, options, image.length, { limits: quickLimits(pauses, IMPATIENT) });

async function fetchAll(url: string, options: SourceOptions): Promise<void> {
  const source = openHttpSource(url, options, { limits: quickLimits() });
  try {
    await fetchChecked(source, image, ranges);
  } finally {
    await source.close();
  }
}

async function withBoth(
  options: { tls?: typeof tls } & ProxyOptions,
  use: (url: string, proxy: Awaited<ReturnType<typeof startProxy>>, port: number) => Promise<void>,
): Promise<void> {
  const nginx = await startNginx({ root: directory, ...(options.tls ? { tls: options.tls } : {}) });
  const proxy = await startProxy(options);
  try {
    await use(nginx.url, proxy, nginx.port);
  } finally {
    await proxy.stop();
    await nginx.stop();
  }
}

test("tinyproxy: http: is asked for by whole URLs", () =>
  withBoth({}, async (url, proxy) => {
    await fetchAll(`${url}/x.img`, { ...PLAIN, proxy: proxy.url });
    const seen = proxy.requests();
    assert.ok(seen.length >= 4);
    assert.ok(
      seen.every((line) => line === `GET ${url}/x.img`),
      seen.join(),
    );
    assert.instance(await small(`${url}/none`, { ...PLAIN, proxy: proxy.url }).catch((error: unknown) => error), NotThere);
  }));

test("tinyproxy: https: goes through tunnels, by name and by address, and TLS is the server's", () =>
  withBoth({ tls }, async (_, proxy, port) => {
    for (const host of ["localhost", "127.0.0.1"]) {
      await fetchAll(`https://${host}:${port}/x.img`, { ...believed, proxy: proxy.url });
      const error = await errorOf(fetchAll(`https://${host}:${port}/x.img`, { ...PLAIN, proxy: proxy.url }));
      assert.match(error, `(through the proxy ${proxy.url}) is not proven to be that server: no authority`);
    }
    const seen = new Set(proxy.requests());
    assert.equal([...seen].sort(), [`CONNECT 127.0.0.1:${port}`, `CONNECT localhost:${port}`]);
  }));

test("a tunnel's server is checked against the URL's name, not the proxy's", async () => {
  await withBoth({ tls: misnamed }, async (_, proxy, port) => {
    for (const host of ["localhost", "127.0.0.1"]) {
      assert.match(await errorOf(small(`https://${host}:${port}/x.img`, { ...believed, proxy: proxy.url })), /for another name/);
    }
  });
  await withBoth({ tls: ofProxy }, async (_, proxy, port) => {
    assert.match(await errorOf(small(`https://localhost:${port}/x.img`, { ...believed, proxy: proxy.url })), /for another name/);
  });
});

test("the environment's proxy is no proxy, and a source's own is", () =>
  withBoth({}, async (url, proxy) => {
    process.env.http_proxy = proxy.url;
    try {
      await small(`${url}/x.img`, PLAIN);
      assert.equal(proxy.requests(), []);
    } finally {
      delete process.env.http_proxy;
    }
  }));

test("in recovery the way's proxy counts, not the source's", () =>
  withBoth({}, async (url, proxy) => {
    const ask = (options: SourceOptions, recovery: { proxy: string | null }) =>
      fetchSmall(`${url}/x.img`, options, image.length, { limits: quickLimits(), recovery });
    await ask({ ...PLAIN, proxy: "http://127.0.0.1:1" }, { proxy: null });
    assert.equal(proxy.requests(), []);
    await ask(PLAIN, { proxy: proxy.url });
    assert.equal(proxy.requests(), [`GET ${url}/x.img`]);
  }));

test("tinyproxy that forbids, and one that wants credentials: told, and not tried again", async () => {
  for (const secure of [false, true]) {
    const options = { ...(secure ? { tls } : {}) };
    const from = secure ? believed : PLAIN;
    await withBoth({ ...options, forbidden: ["^127\\.0\\.0\\.1$"] }, async (url, proxy) => {
      const pauses: number[] = [];
      const error = await errorOf(small(`${url}/x.img`, { ...from, proxy: proxy.url }, pauses));
      assert.match(error, `(through the proxy ${proxy.url})`);
      assert.match(error, secure ? /answers 403: it lets nobody through to that server/ : /answers 403: it forbids that/);
      assert.equal(pauses, []);
    });
    await withBoth({ ...options, user: { name: "me", password: "hunter2" } }, async (url, proxy) => {
      const pauses: number[] = [];
      const error = await errorOf(small(`${url}/x.img`, { ...from, proxy: proxy.url }, pauses));
      assert.match(error, /answers 407: .*wants credentials, which are never sent to proxies/);
      assert.equal(pauses, []);
    });
  }
});

test("tinyproxy that cannot reach the server: tried again, then given up", async () => {
  const proxy = await startProxy();
  for (const [url, message] of [
    ["http://127.0.0.1:1/x.img", /answers 50\d; gave up/],
    ["https://127.0.0.1:1/x.img", /cannot be asked: the proxy answers 50\d.*; gave up/],
  ] as const) {
    const pauses: number[] = [];
    const error = await errorOf(small(url, { ...PLAIN, proxy: proxy.url }, pauses));
    assert.match(error, message, error);
    assert.ok(pauses.length >= 3);
  }
  await proxy.stop();
});

test("a proxy that is not there", async () => {
  for (const url of ["http://127.0.0.1:2/x.img", "https://127.0.0.1:2/x.img"]) {
    const error = await errorOf(small(url, { ...PLAIN, proxy: "http://127.0.0.1:1" }));
    assert.match(
      error,
      `${url} (through the proxy http://127.0.0.1:1) cannot be asked: the proxy refuses connections; gave up after 4`,
    );
  }
  const error = await errorOf(small("https://127.0.0.1/x", { ...PLAIN, proxy: "http://no.such.host.invalid:1" }));
  assert.match(error, /cannot be asked: the proxy cannot be found/);
});

test("posting through a tunnel, and by a whole URL", async () => {
  const lines = ["location = /report { return 204; }"];
  const proxy = await startProxy();
  const [plain, secure] = [await startNginx({ root: directory, lines }), await startNginx({ root: directory, tls, lines })];
  const context = { limits: quickLimits() };
  await postJson(`${plain.url}/report`, { ...PLAIN, proxy: proxy.url }, "{}", context);
  await postJson(`${secure.url}/report`, { ...believed, proxy: proxy.url }, "{}", context);
  assert.equal(proxy.requests(), [`POST ${plain.url}/report`, `CONNECT 127.0.0.1:${secure.port}`]);
  for (const nginx of [plain, secure]) {
    // it writes its log after it answered
    for (let waits = 0; nginx.requests().length === 0 && waits < 250; waits++) await Bun.sleep(20);
    assert.equal(
      nginx.requests().map(({ method, status }) => `${method} ${status}`),
      ["POST 204"],
    );
  }
  for (const one of [proxy, plain, secure]) await one.stop();
});

/** What is said of a proxy that a test speaks for, by https: and by http:. */
async function saidOf(handler: Handler, scheme = "https"): Promise<{ error: string; proxy: RawServer }> {
  const proxy = await startRawServer(handler);
  const error = await errorOf(small(`${scheme}://127.0.0.1:9/x.img`, { ...PLAIN, proxy: proxy.url }));
  await proxy.stop();
  assert.ok(error.startsWith(`SourceError: ${scheme}://127.0.0.1:9/x.img (through the proxy ${proxy.url}) `), error);
  return { error, proxy };
}

const hostile: [string, Handler, RegExp][] = [
  ["speaks no HTTP", (_, reply) => reply.send("SSH-2.0-OpenSSH_9.2\r\n"), /the proxy answers with what begins with "SSH/],
  [
    "is a web server",
    (_, reply) => reply.send("HTTP/1.1 405 x\r\nContent-Length: 0\r\n\r\n"),
    /the proxy answers 405: it is no proxy for https:/,
  ],
  ["wants a login", (_, reply) => reply.send("HTTP/1.1 511 x\r\n\r\n"), /511: the network wants somebody to log in first/],
  ["redirects", (_, reply) => reply.send("HTTP/1.1 302 x\r\nLocation: http://login.example/\r\n\r\n"), /answers 302/],
  [
    "sends an endless header",
    (_, reply) => reply.send(`HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(10_000)}`),
    /header of more than 32768 bytes/,
  ],
  [
    "sends its header byte by byte for ever",
    (_, reply) => reply.sendSlowly(["HTTP/1.1 200 OK\r\n", ...Array(500).fill("A: b\r\n")], 50),
    /sent no whole header/,
  ],
  ["says nothing", () => {}, /the proxy sent nothing for/],
  ["ends the connection", (_, reply) => reply.end(), /what ended before its header did/],
  ["resets the connection", (_, reply) => reply.reset(), /reset the connection|ended before its header did/],
  ["sends more than its header", (_, reply) => reply.send("HTTP/1.1 200 OK\r\n\r\nhello"), /sends more than it was asked for/],
  [
    "sends a body",
    (_, reply) => reply.send("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"),
    /sends more than/,
  ],
  [
    "opens a tunnel to nobody",
    (_, reply) => {
      reply.send("HTTP/1.1 200 OK\r\n\r\n");
      reply.end();
    },
    /ends the (connection|TLS handshake)/,
  ],
  [
    "opens a tunnel to what speaks no TLS",
    async (_, reply) => {
      reply.send("HTTP/1.1 200 OK\r\n\r\n");
      await reply.sendSlowly(["HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"], 50);
    },
    /ends the TLS handshake; is it an https: server\?/,
  ],
];

for (const [name, handler, message] of hostile) {
  test(`a proxy that ${name}: told, and nothing hangs`, async () => {
    const { error, proxy } = await saidOf(handler);
    assert.match(error, message, error);
    assert.ok(proxy.requests.every(({ path }) => path === "127.0.0.1:9"));
  });
}

test("a proxy that answers http: for the server with a login page", async () => {
  const page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
  const { error } = await saidOf((_, reply) => reply.send(page), "http");
  assert.match(error, /answers with a web page \(text\/html\): .* login page in between/);
});

test("proxies that answer at random: an error each time, and nothing hangs", async () => {
  const random = randomNumbers(8);
  const pieces = [
    "HTTP/1.1 ",
    "HTTP/1.0 ",
    "200",
    "407",
    " OK",
    "\r\n",
    "\n",
    "\r\n\r\n",
    ":",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "\0",
    "\xff",
  ];
  const pick = (): string => pieces[Math.floor(random() * pieces.length)] ?? "";
  const proxy = await startRawServer((_, reply) => {
    for (let count = Math.floor(random() * 12); count >= 0; count--) reply.send(pick());
    if (random() < 0.5) reply.end();
    else reply.reset();
  });
  const limits = quickLimits([], { ...IMPATIENT, retry: { ...quickLimits().retry, firstAttempts: 1 } });
  for (let round = 0; round < 200; round++) {
    const work = fetchSmall("https://127.0.0.1:9/x", { ...PLAIN, proxy: proxy.url }, 10, { limits });
    assert.match(await errorOf(work), /^SourceError: https:\/\/127\.0\.0\.1:9\/x \(through the proxy/);
  }
  await proxy.stop();
});

test("what names a proxy, and what does not", () => {
  assert.equal(proxyUrl("http://proxy.example:3128"), { host: "proxy.example", port: 3128, name: "http://proxy.example:3128" });
  assert.equal(proxyUrl("HTTP://[2001:db8::1]:80/"), { host: "2001:db8::1", port: 80, name: "http://[2001:db8::1]:80" });
  const wrong = [
    "",
    "proxy:3128",
    "https://p:1",
    "http://p",
    "http://p:0",
    "http://p:65536",
    "http://p:1/x",
    "http://p:1?x",
    "socks5://p:1",
  ];
  for (const text of [
    ...wrong,
    "http://me:hunter2@p:1",
    "http://[::1:80",
    "http://[zz]:1",
    "http:// p:1",
    "http://p:1\r\nX: y",
    "http://-p:1",
    "http://999.1.1.1:1",
  ]) {
    assert.type(proxyFault(text), "string", text);
    assert.throws(
      () => proxyUrl(text),
      (error: Error) => !error.message.includes("hunter2"),
    );
  }
});

test("proxies are tried first the way's, then the control file's, then none", () => {
  assert.equal(proxiesToTry("http://a:1", "http://b:1"), ["http://a:1", "http://b:1", null]);
  assert.equal(proxiesToTry("http://a:1", "http://a:1"), ["http://a:1", null]);
  assert.equal(proxiesToTry(null, "http://b:1"), ["http://b:1", null]);
  assert.equal(proxiesToTry(null, null), [null]);
  assert.equal(proxiesToTry("no proxy", null), [null]);
});

test.after(() => rmSync(directory, { recursive: true }));
test.run();
