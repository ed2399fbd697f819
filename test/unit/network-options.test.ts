/** Who is believed and who we are: options, their settings file, the files they name, and where a token goes. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { pinFault, pinOf } from "../../boot/network/public-key-pin.ts";
import { parseSourceSettings } from "../../boot/network/source-settings.ts";
import { linuxKernel } from "../../init/kernel/linux.ts";
import { fetchSmall } from "../../init/network/fetch-small.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN, type SourceOptions, sourceOptions } from "../../init/network/options.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { quickLimits } from "../samples/fetched.ts";
import { startRawServer } from "../samples/raw-server.ts";

const directory = mkdtempSync(join(tmpdir(), "slipway-options-"));
const pin = `sha256//${new Uint8Array(32).fill(7).toBase64()}`;

function file(name: string, text: string, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const source = { origin: "https://u.example" };
const settings = (...sources: unknown[]) => ({ schema: 1, sources });

test("settings: all of them, or the origin alone", () => {
  const whole = { ca: "/ca", pins: [pin], certificate: "/c", privateKey: "/k", tokenFile: "/t", proxy: "http://p.example:3128" };
  const read = parseSourceSettings("f", settings({ ...source, ...whole }, { origin: "https://v.example:8443" }));
  assert.equal(read.get("https://u.example"), whole);
  assert.equal(read.get("https://v.example:8443"), PLAIN);
});

const wrongSettings: [string, unknown, RegExp][] = [
  ["no object", [], /f must be an object, is a list/],
  ["no schema", { sources: [] }, /f\.schema is missing/],
  ["another schema", { schema: 2, sources: [] }, /f\.schema must be 1, is 2/],
  ["an unknown key", { ...settings(), proxy: "x" }, /f\.proxy is not known/],
  ["an unknown key of a source", settings({ ...source, token: "hunter2" }), /sources\[0\]\.token is not known/],
  ["no origin", settings({ ca: "/ca" }), /sources\[0\]\.origin is missing/],
  ["a path in the origin", settings({ origin: "https://u.example/x" }), /must be an origin without a path/],
  ["a password in the origin", settings({ origin: "https://me:hunter2@u.example" }), /no user or password/],
  ["an origin twice", settings(source, source), /https:\/\/u\.example is there twice/],
  ["a relative path", settings({ ...source, ca: "ca.pem" }), /ca must be an absolute path/],
  ["an empty path", settings({ ...source, tokenFile: "" }), /tokenFile must be a text/],
  ["a pin that is none", settings({ ...source, pins: ["sha256//abc"] }), /the pin "sha256\/\/abc" must be/],
  ["pins that are no list", settings({ ...source, pins: pin }), /pins must be a list/],
  ["a certificate without key", settings({ ...source, certificate: "/c" }), /needs its private key/],
  ["a key without certificate", settings({ ...source, privateKey: "/k" }), /needs its private key/],
  ["a token over http:", settings({ origin: "http://u.example", tokenFile: "/t" }), /over https: only/],
  ["a proxy that is none", settings({ ...source, proxy: "p.example:3128" }), /a proxy is http:\/\/HOST:PORT/],
  ["a proxy with a password", settings({ ...source, proxy: "http://me:hunter2@p.example:3128" }), /without user, password/],
  ["a proxy that is no text", settings({ ...source, proxy: null }), /proxy must be a text/],
  ["a pin over http:", settings({ origin: "http://u.example", pins: [pin] }), /for https: only/],
];

for (const [name, value, message] of wrongSettings) {
  test(`settings with ${name} are refused`, () => {
    const read = (): unknown => parseSourceSettings("f", value);
    assert.throws(read, (error: unknown) => error instanceof BadInput && message.test(error.message));
    assert.throws(read, (error: Error) => !error.message.includes("hunter2"));
  });
}

test("options: the command line's before the settings', of the URL's own origin only", () => {
  const kept = { ca: "/ca", pins: [pin], certificate: "/c", privateKey: "/k", tokenFile: "/t", proxy: "http://p.example:3128" };
  const path = file("sources.json", JSON.stringify(settings({ ...source, ...kept })), 0o644);
  const read = (values: Record<string, string | string[]>, url = "https://u.example/x.img") =>
    sourceOptions(linuxKernel(), values, url, path);
  assert.equal(read({}), kept);
  assert.equal(read({}, "https://u.example:444/x.img"), PLAIN);
  assert.equal(read({}, "http://u.example/x.img"), PLAIN);
  assert.equal(read({ ca: "mine.pem", "token-file": "t" }), { ...kept, ca: "mine.pem", tokenFile: "t" });
  assert.equal(read({ certificate: "c", "private-key": "k" }), { ...kept, certificate: "c", privateKey: "k" });
  assert.equal(read({ proxy: "http://[::1]:8080" }), { ...kept, proxy: "http://[::1]:8080" });
  assert.throws(() => read({ proxy: "proxy:3128" }), /a proxy is http:\/\/HOST:PORT/);
  assert.throws(() => read({ certificate: "c" }), /needs its private key/);
  assert.throws(() => read({ ca: "c" }, "http://other/x"), /http:\/\/other\/x: authorities, pins/);
  assert.equal(sourceOptions(linuxKernel(), {}, "https://u.example/", join(directory, "none.json")), PLAIN);
});

test("a settings file that others may write, or that is no JSON, is refused", () => {
  const read = (path: string) => () => sourceOptions(linuxKernel(), {}, "https://u.example/", path);
  assert.throws(read(file("open.json", JSON.stringify(settings()), 0o666)), /has mode 0666; only its owner may write it/);
  assert.throws(read(file("bad.json", "{")), /is not JSON/);
  assert.throws(read(directory), /is no regular file/);
});

const pem = (label: string): string => `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`;
const key = file("key.pem", pem("PRIVATE KEY"));
const certificate = file("certificate.pem", pem("CERTIFICATE"));
const wrongFiles: [string, Partial<SourceOptions>, RegExp][] = [
  ["an authority that is not there", { ca: join(directory, "none") }, /none cannot be read: ENOENT/],
  ["an authority that is a key", { ca: key }, /key\.pem holds no PEM block "CERTIFICATE"/],
  ["a token that others may read", { tokenFile: file("read", "hunter2", 0o644) }, /has mode 0644; it is a secret: chmod o=,g-w/],
  ["a token of several lines", { tokenFile: file("lines", "hunter2\nhunter3\n") }, /holds no bearer token/],
  ["an empty token", { tokenFile: file("empty", "\n") }, /holds no bearer token/],
  ["a token with a space", { tokenFile: file("space", "Bearer hunter2") }, /holds no bearer token/],
  ["a key that others may read", { certificate, privateKey: file("open.key", pem("PRIVATE KEY"), 0o604) }, /mode 0604/],
  ["an encrypted key", { certificate, privateKey: file("e.key", pem("ENCRYPTED PRIVATE KEY")) }, /is encrypted/],
  ["a key that is a certificate", { certificate, privateKey: certificate }, /holds no private key/],
  ["a directory", { ca: directory }, /is no regular file/],
];

for (const [name, options, message] of wrongFiles) {
  test(`files: ${name} is refused before anything is asked`, () => {
    const open = (): unknown => openHttpSource("https://u.example/x.img", { ...PLAIN, ...options });
    assert.throws(open, (error: unknown) => error instanceof BadInput && message.test(error.message));
    assert.throws(open, (error: Error) => !/hunter\d/.test(error.message));
  });
}

test("files: certificates that cannot be read stop at the first request", async () => {
  const ask = fetchSmall("https://127.0.0.1:1/x", { ...PLAIN, ca: certificate }, 10, { limits: quickLimits() });
  assert.match(String(await ask.catch((error: unknown) => error)), /SourceError: .*the certificates of --ca, or .* PEM files\?/);
});

test("redirects are followed, once for all ranges; where one went stale, the URL itself is asked again", async () => {
  let good = "/one";
  const server = await startRawServer(({ path }, reply) => {
    if (path === "/x.img") reply.send(`HTTP/1.1 302 x\r\nLocation: ${good}\r\nContent-Length: 0\r\n\r\n`);
    else if (path !== good) reply.send("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n");
    else reply.send("HTTP/1.1 206 x\r\nContent-Range: bytes 0-0/1\r\nContent-Length: 1\r\n\r\na");
  });
  const image = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  assert.is(await image.size(), 1);
  assert.is((await image.read({ offset: 0, length: 1 })).length, 1);
  assert.is(server.requests.map(({ path }) => path).join(" "), "/x.img /one /one");
  good = "/two";
  assert.is((await image.read({ offset: 0, length: 1 })).length, 1);
  assert.is(server.requests.map(({ path }) => path).join(" "), "/x.img /one /one /one /x.img /two");
  await image.close();
  await server.stop();
});

test("a mirror that fails is left for the one that the URL leads to then", async () => {
  const mirror = () =>
    startRawServer(({ fields }, reply) => {
      const [, first = "", last = ""] = /bytes=(\d+)-(\d+)/.exec(fields.get("range") ?? "") ?? [];
      const body = new Uint8Array(Number(last) - Number(first) + 1).fill(7);
      reply.send(`HTTP/1.1 206 x\r\nContent-Range: bytes ${first}-${last}/40960\r\nContent-Length: ${body.length}\r\n\r\n`);
      reply.send(body);
    });
  const [one, two] = [await mirror(), await mirror()];
  let good = one.url;
  const server = await startRawServer((_, reply) =>
    reply.send(`HTTP/1.1 302 x\r\nLocation: ${good}/y\r\nContent-Length: 0\r\n\r\n`),
  );
  const pauses: number[] = [];
  const image = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits(pauses) });
  assert.is((await image.read({ offset: 0, length: 4096 }))[4095], 7);
  await one.stop();
  good = two.url;
  assert.is((await image.read({ offset: 4096, length: 36864 })).length, 36864);
  assert.equal([server.requests.length, two.requests.length, pauses.length], [2, 1, 1]);
  await image.close();
  await server.stop();
  await two.stop();
});

test("a failure behind a redirect names where it was", async () => {
  const other = await startRawServer((_, reply) => reply.send("HTTP/1.1 403 x\r\nContent-Length: 0\r\n\r\n"));
  const server = await startRawServer((_, reply) =>
    reply.send(`HTTP/1.1 307 x\r\nLocation: ${other.url}/y?secret=hunter2\r\nContent-Length: 0\r\n\r\n`),
  );
  const error = await fetchSmall(`${server.url}/x`, PLAIN, 10, { limits: quickLimits() }).catch((caught: unknown) => caught);
  assert.match(String(error), `${server.url}/x is redirected to ${other.url}/y?…, which answers 403`);
  assert.not.match(String(error), /hunter2/);
  await server.stop();
  await other.stop();
});

test("pins: sound ones, and what is no certificate", () => {
  assert.is(pinFault(pin), null);
  for (const wrong of ["", "sha256//", pin.slice(8), pin.toUpperCase(), `${pin}A`, pin.slice(0, -1), "sha1//AAAA"]) {
    assert.type(pinFault(wrong), "string", wrong);
  }
  for (const bytes of [[], [0x30], [0x30, 0x80], [0x30, 0x84, 1, 1, 1, 1], [0x30, 3, 0x30, 1, 0], Array(100).fill(0x30)]) {
    assert.is(pinOf(Uint8Array.from(bytes)), null);
  }
});

test.after(() => rmSync(directory, { recursive: true }));
test.run();
