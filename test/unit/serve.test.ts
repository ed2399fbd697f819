/** slipway serve: what it serves, what it does not, and the network source against it. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { serveDirectory, verb } from "../../init/builder/serve.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { blocks, fetchChecked, quickLimits, sampleBytes } from "../samples/fetched.ts";

const parent = mkdtempSync(join(tmpdir(), "slipway-serve-"));
const root = join(parent, "root");
const { image } = sampleBytes(500);
mkdirSync(join(root, "deep"), { recursive: true });
mkdirSync(join(parent, "root-beside"));
writeFileSync(join(root, "x.img"), image);
writeFileSync(join(root, "deep/a b.json"), "{}");
writeFileSync(join(root, "empty"), "");
writeFileSync(join(parent, "secret"), "secret");
writeFileSync(join(parent, "root-beside/secret"), "secret");
symlinkSync("../secret", join(root, "out"));
symlinkSync("x.img", join(root, "latest.img"));
symlinkSync("..", join(root, "up"));

const lines: string[] = [];
const server = serveDirectory(root, "127.0.0.1", 0, (line) => lines.push(line));
const port = Number(new URL(server.url).port);

/** The whole answer to a request written by hand. */
function ask(target: string, fields: string[] = [], method = "GET"): Promise<{ head: string; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("latin1").on("data", (piece) => {
      text += piece;
    });
    socket.on("error", reject).on("close", () => {
      const end = text.indexOf("\r\n\r\n");
      resolve({ head: text.slice(0, end), body: text.slice(end + 4) });
    });
    socket.write([`${method} ${target} HTTP/1.1`, "Host: h", "Connection: close", ...fields, "\r\n"].join("\r\n"));
  });
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

test("files: whole, in directories below, through links that stay inside", async () => {
  const { head, body } = await ask("/x.img");
  assert.match(head, /^HTTP\/1.1 200 [\s\S]*accept-ranges: bytes/i);
  assert.is(body, latin1(image));
  assert.is((await ask("/latest.img")).body, latin1(image));
  const json = await ask("/deep/a%20b.json?query");
  assert.match(json.head, /content-type: application\/json/i);
  assert.is(json.body, "{}");
  assert.match((await ask("/empty")).head, /^HTTP\/1.1 200 [\s\S]*content-length: 0/i);
});

test("ranges: first, last, from on, clipped; and what cannot be had", async () => {
  for (const [range, first, last] of [
    ["0-0", 0, 0],
    ["5-9", 5, 9],
    ["-3", image.length - 3, image.length - 1],
    [`${image.length - 2}-`, image.length - 2, image.length - 1],
    [`100-${image.length + 100}`, 100, image.length - 1],
  ] as const) {
    const { head, body } = await ask("/x.img", [`Range: bytes=${range}`]);
    assert.match(head, /^HTTP\/1.1 206 /);
    assert.match(head.toLowerCase(), `content-range: bytes ${first}-${last}/${image.length}`);
    assert.is(body, latin1(image.subarray(first, last + 1)), range);
  }
  const beyond = await ask("/x.img", [`Range: bytes=${image.length}-`]);
  assert.match(beyond.head, /^HTTP\/1.1 416 /);
  assert.match(beyond.head.toLowerCase(), `content-range: bytes */${image.length}`);
  for (const range of ["bytes=5-4", "lines=0-1", "bytes=0-0,2-2"]) {
    assert.match((await ask("/x.img", [`Range: ${range}`])).head, /^HTTP\/1.1 200 /, range);
  }
});

test("If-Range: the range of the same file, the whole of another", async () => {
  const etag = /etag: (.*)/i.exec((await ask("/x.img")).head)?.[1] ?? "";
  assert.match((await ask("/x.img", ["Range: bytes=0-0", `If-Range: ${etag}`])).head, /^HTTP\/1.1 206 /);
  assert.match((await ask("/x.img", ["Range: bytes=0-0", 'If-Range: "other"'])).head, /^HTTP\/1.1 200 /);
});

test("HEAD: the head of GET and no body; other methods are not there", async () => {
  const { head, body } = await ask("/x.img", ["Range: bytes=0-9"], "HEAD");
  assert.match(head, /^HTTP\/1.1 206 [\s\S]*content-length: 10/i);
  assert.is(body, "");
  for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) {
    assert.match((await ask("/x.img", ["Content-Length: 0"], method)).head, /^HTTP\/1.1 405 [\s\S]*allow: GET, HEAD/i);
  }
});

test("nothing outside, no list of a directory, nothing that is not there", async () => {
  const outside = ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/deep/..%2f..%2fsecret", "/%2fetc%2fpasswd", "//etc/passwd"];
  const links = ["/out", "/up/secret", "/up/root-beside/secret", "/..%2froot-beside%2fsecret"];
  const odd = ["/", "/deep", "/deep/", "/none", "/%00", "/x.img%00", "/%ff", "/%", `/${"a".repeat(5000)}`, "/x.img/"];
  for (const target of [...outside, ...links, ...odd]) {
    const { head, body } = await ask(target);
    assert.match(head, /^HTTP\/1.1 4\d\d /, target);
    assert.not.match(body, /secret|root:/, target);
  }
});

test("one line for each request, with nothing in it that a terminal would obey", async () => {
  lines.length = 0;
  await ask("/x.img", ["Range: bytes=0-9"]);
  await ask("/%1b[2Jnone");
  assert.equal(lines, ["127.0.0.1 GET /x.img 206 10 bytes bytes=0-9", "127.0.0.1 GET /%1b[2Jnone 404 0 bytes"]);
});

test("the network source reads from it, also past 4 GiB", async () => {
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  await fetchChecked(source, image, blocks([0, 3], [10, 490], [503, 504]));
  await source.close();
  const size = 5 * 2 ** 30;
  writeFileSync(join(root, "big.img"), "");
  truncateSync(join(root, "big.img"), size);
  const big = openHttpSource(`${server.url}/big.img`, PLAIN, { limits: quickLimits() });
  assert.is(await big.size(), size);
  assert.is((await big.read({ offset: size - 4096, length: 4096 })).length, 4096);
  await big.close();
});

test("the verb refuses what it cannot serve or listen on", async () => {
  for (const [directory, listen, message] of [
    [join(root, "none"), undefined, /none is no directory/],
    [join(root, "x.img"), undefined, /x\.img is no directory/],
    [root, "8080", /--listen 8080 is no ADDRESS:PORT/],
    [root, "127.0.0.1:99999", /is no ADDRESS:PORT/],
    [root, "::1:80", /is no ADDRESS:PORT/],
    [root, `127.0.0.1:${port}`, /cannot be listened on/],
  ] as const) {
    const error = await verb.run({ listen }, [directory]).catch((caught: unknown) => caught);
    assert.instance(error, BadInput);
    assert.match(String(error), message);
  }
});

test.after(async () => {
  await server.stop();
  rmSync(parent, { recursive: true });
});
test.run();
