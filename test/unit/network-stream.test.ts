/** An image from a server without range requests: seal and tree from its index, the rest from one pass over it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeFooter, footerOf } from "../../boot/image/footer.ts";
import { Gathered } from "../../boot/network/gathered.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { blocks, fetchChecked, quickLimits, sampleBytes } from "../samples/fetched.ts";
import { type Handler, type RawRequest, type Reply, type ServedFile, startRawServer } from "../samples/raw-server.ts";
import { fetchFrom, files, image, tag } from "./network-server.ts";

/** Answers with the whole file, whatever is asked; `cut` bytes of it, then the end. */
function whole(request: RawRequest, reply: Reply, served: ReadonlyMap<string, ServedFile> = files, cut?: number): void {
  const file = served.get(request.path);
  if (file === undefined) throw new Error(`nothing of the test is at ${request.path}`);
  reply.send(`HTTP/1.1 200 OK\r\nETag: ${file.etag}\r\nContent-Length: ${file.bytes.length}\r\n\r\n`);
  reply.send(file.bytes.subarray(0, cut));
  if (cut !== undefined) reply.end();
}

const pathsOf = (requests: readonly RawRequest[]): string =>
  requests.map(({ path }) => path.slice("/x.img".length) || "image").join(" ");

/** Answers requests for a range with `answer`, others with the whole file. */
const toRange =
  (answer: string): Handler =>
  (request, reply) =>
    request.fields.has("range") ? reply.send(answer) : whole(request, reply);

const withoutRanges: [string, Handler][] = [
  ["ignores them", whole],
  [
    "answers with several parts",
    toRange("HTTP/1.1 206 x\r\nContent-Type: multipart/byteranges; boundary=b\r\nContent-Length: 3\r\n\r\n--b"),
  ],
  ["does not say the size in them", toRange("HTTP/1.1 206 x\r\nContent-Range: bytes 0-0/*\r\nContent-Length: 1\r\n\r\na")],
  ["answers them with another range", toRange("HTTP/1.1 206 x\r\nContent-Range: bytes 1-1/9\r\nContent-Length: 1\r\n\r\na")],
  [
    "says no length at all",
    (request, reply) => {
      reply.send("HTTP/1.0 200 OK\r\n\r\n");
      reply.send(files.get(request.path)?.bytes ?? "");
      reply.end();
    },
  ],
];

for (const [name, handler] of withoutRanges) {
  test(`a server without ranges that ${name}: index, and one pass over the image`, async () => {
    const { error, told, requests } = await fetchFrom(handler);
    assert.equal([error, told], ["", []]);
    assert.is(pathsOf(requests), "image .idx image");
  });
}

test("an index that is longer than its image is not read to its end, which may never come", async () => {
  const { error } = await fetchFrom(async (request, reply) => {
    if (request.path === "/x.img") return whole(request, reply);
    reply.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const piece = Buffer.alloc(65_536);
    for (let sent = 0; sent < 4 * image.length; sent += piece.length) {
      reply.send(Buffer.concat([Buffer.from("10000\r\n"), piece, Buffer.from("\r\n")]));
      await Bun.sleep(1);
    }
    reply.send("0\r\n\r\n");
  });
  assert.match(error, new RegExp(`\\.idx has more than ${image.length} bytes, and no index of its image has`));
});

test("bytes that come one by one are held together, and the end of many of them", () => {
  const gathered = new Gathered();
  const size = 600 * 1024;
  const sent = new Uint8Array(size).map((_, index) => (index * 7 + (index >> 9)) & 255);
  for (let at = 0; at < size; at++) gathered.add(sent.subarray(at, at + 1));
  assert.is(Buffer.compare(gathered.bytes, sent), 0);
  gathered.keepLast(80 * 1024);
  const { bytes } = gathered;
  assert.ok(bytes.length >= 80 * 1024 && bytes.length <= 80 * 1024 + 256 * 1024, `${bytes.length} bytes are left`);
  assert.is(Buffer.compare(bytes, sent.subarray(-bytes.length)), 0);
  gathered.add(sent);
  assert.is(Buffer.compare(gathered.bytes.subarray(-size), sent), 0);
});

test("the pass ends with the last wanted byte, and reading seal or tree needs none", async () => {
  const server = await startRawServer(async (request, reply) => {
    if (request.path !== "/x.img" || request.number === 1) return whole(request, reply);
    reply.send(`HTTP/1.1 200 OK\r\nContent-Length: ${image.length}\r\n\r\n`);
    await reply.sendSlowly([image.subarray(0, 25 * 4096), "not the image's byte"], 1);
  });
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  const end = blocks([903, 904])[0] ?? { offset: 0, length: 0 };
  assert.is(Buffer.compare(await source.read(end), image.subarray(end.offset)), 0);
  assert.is(Buffer.compare(await source.read({ offset: 900 * 4096, length: 4 * 4096 }), image.subarray(900 * 4096)), 0);
  assert.is(pathsOf(server.requests), "image .idx");
  await fetchChecked(source, image, blocks([1, 2], [5, 24], [900, 902]));
  assert.is(pathsOf(server.requests), "image .idx image");
  await source.close();
  await server.stop();
});

test("several fetches that go on where the last one ended share a pass; going back begins another", async () => {
  const server = await startRawServer(async (request, reply) => {
    if (request.path !== "/x.img") return whole(request, reply);
    reply.send(`HTTP/1.1 200 OK\r\nETag: ${tag}\r\nContent-Length: ${image.length}\r\n\r\n`);
    for (let at = 0; at < image.length; at += 99_999) await reply.sendSlowly([image.subarray(at, at + 99_999)], 0);
  });
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  for (let at = 0; at < 880; at += 7) await fetchChecked(source, image, blocks([at, at + 2], [at + 3, at + 4]));
  assert.is(pathsOf(server.requests), "image .idx image");
  await fetchChecked(source, image, blocks([880, 902]));
  await fetchChecked(source, image, blocks([5, 6]));
  assert.is(pathsOf(server.requests), "image .idx image image");
  await source.close();
  await server.stop();
});

test("a pass that was ended between two fetches begins anew", async () => {
  const server = await startRawServer(async (request, reply) => {
    if (request.path !== "/x.img" || request.number !== 3) return whole(request, reply);
    reply.send(`HTTP/1.1 200 OK\r\nETag: ${tag}\r\nContent-Length: ${image.length}\r\n\r\n`);
    reply.send(image.subarray(0, 30 * 4096));
    await Bun.sleep(20);
    reply.reset();
  });
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  await fetchChecked(source, image, blocks([3, 9]));
  await Bun.sleep(40);
  await fetchChecked(source, image, blocks([9, 800]));
  assert.is(pathsOf(server.requests), "image .idx image image");
  await source.close();
  await server.stop();
});

test("a pass that is cut off begins anew, further each time: nothing is given twice", async () => {
  let cut = 0;
  const { error, requests } = await fetchFrom((request, reply) => {
    if (request.path !== "/x.img" || request.number === 1) return whole(request, reply);
    cut += 777_777;
    return whole(request, reply, files, cut);
  });
  assert.is(error, "");
  assert.ok(requests.length >= 6, `${requests.length} requests`);
});

test("a pass that is cut off at the same place each time is given up", async () => {
  const { error } = await fetchFrom((request, reply) => whole(request, reply, files, request.number < 3 ? undefined : 777_777));
  assert.match(error, /x\.img sent what was cut off; gave up after 9 attempts/);
});

test("an index that is cut off is fetched again", async () => {
  const { error, told } = await fetchFrom((request, reply) =>
    whole(request, reply, files, request.number === 2 ? 5000 : undefined),
  );
  assert.is(error, "");
  assert.match(told.join(), /x\.img\.idx sent what was cut off; trying again/);
});

const other = sampleBytes(800);
const wrongIndex: [string, (request: RawRequest, reply: Reply) => void, RegExp][] = [
  [
    "is not there",
    (_, reply) => reply.send("HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n"),
    /x\.img is on a server without range requests, and .*x\.img\.idx answers 404.*slipway publish/,
  ],
  [
    "is a web page",
    (_, reply) => reply.send("HTTP/1.1 200 x\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nno"),
    /x\.img\.idx answers with a web page/,
  ],
  [
    "is empty",
    (_, reply) => reply.send("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n"),
    /x\.img\.idx is no index of an image: no footer at its end/,
  ],
  [
    "is damaged",
    (request, reply) => whole(request, reply, new Map([["/x.img.idx", { bytes: damaged(), etag: '"i"' }]])),
    /is no index of an image: the footer is damaged/,
  ],
  [
    "belongs to another image",
    (request, reply) => whole(request, reply, new Map([["/x.img.idx", { bytes: other.index, etag: '"i"' }]])),
    /x\.img has 3702784 bytes, and .*x\.img\.idx belongs to an image of 3293184 bytes; publish both anew/,
  ],
  [
    "is longer than its image",
    (request, reply) => whole(request, reply, new Map([["/x.img.idx", { bytes: tooLong(), etag: '"i"' }]])),
    /which an index of an image of 16384 bytes cannot have/,
  ],
];

function damaged(): Uint8Array {
  const bytes = (files.get("/x.img.idx")?.bytes ?? new Uint8Array(0)).slice();
  bytes[bytes.length - 4096 + 20] = 0x5a;
  return bytes;
}

function tooLong(): Uint8Array {
  const bytes = new Uint8Array(20 * 4096);
  bytes.set(encodeFooter(footerOf(new Uint8Array(100), 2 * 4096)), 19 * 4096);
  return bytes;
}

for (const [name, index, message] of wrongIndex) {
  test(`a server without ranges whose index ${name}: stops, and says why`, async () => {
    const { error } = await fetchFrom((request, reply) =>
      request.path === "/x.img" ? whole(request, reply) : index(request, reply),
    );
    assert.match(error, message);
  });
}

test("an image that changes between two passes stops", async () => {
  const changed = new Map([...files, ["/x.img", { bytes: image, etag: '"v2"' }] as const]);
  const { error } = await fetchFrom((request, reply) => whole(request, reply, request.number < 3 ? files : changed));
  assert.match(error, new RegExp(`x\\.img changed while it was read: it had ETag ${tag} and has "v2"; run it again`));
});

test("an index too long to be held: its end is, and the tree comes from a pass over it", async () => {
  const long = sampleBytes(100, 9000);
  const served = new Map([
    ["/x.img", { bytes: long.image, etag: tag }],
    ["/x.img.idx", { bytes: long.index, etag: '"i"' }],
  ]);
  const server = await startRawServer((request, reply) => whole(request, reply, served));
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits: quickLimits() });
  assert.is(await source.size(), long.image.length);
  const end = { offset: long.image.length - 17 * 4096, length: 17 * 4096 };
  assert.is(Buffer.compare(await source.read(end), long.image.subarray(end.offset)), 0, "seal and footer are held");
  assert.is(server.requests.length, 2);
  await fetchChecked(source, long.image, blocks([3, 9], [90, 110], [5000, 5001], [9000, 9100]));
  assert.is(pathsOf(server.requests), "image .idx image .idx");
  await source.close();
  await server.stop();
});

test.run();
