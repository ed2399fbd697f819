import { test } from "uvu";
import * as assert from "uvu/assert";
import { fieldOf, framingOf, parseHead } from "../../boot/network/answer-head.ts";
import { type AnswerEvent, AnswerReader } from "../../boot/network/answer-reader.ts";
import { parseContentRange } from "../../boot/network/content-range.ts";
import { type Judgement, judgeAnswer, rangeCondition } from "../../boot/network/judge-answer.ts";
import { parseRangeRequest } from "../../boot/network/range-request.ts";
import { pauseBeforeRetry, RETRY, retryAfterMs } from "../../boot/network/retry.ts";
import { besides, redirectTarget, sourceUrl } from "../../boot/network/source-url.ts";
import { splitRanges } from "../../boot/network/split-ranges.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What an answer's text means, cut after each `size` bytes: "206 body end", or the fault. */
function told(text: string, size: number, close: boolean): string {
  const reader = new AnswerReader();
  const events: AnswerEvent[] = [];
  const all = bytes(text);
  for (let at = 0; at < all.length && !["end", "fault"].includes(events.at(-1)?.is ?? ""); at += size) {
    events.push(...reader.feed(all.subarray(at, at + size)));
  }
  if (close && !["end", "fault"].includes(events.at(-1)?.is ?? "")) events.push(reader.close());
  const body = events.flatMap((event) => (event.is === "body" ? [new TextDecoder().decode(event.bytes)] : [])).join("");
  const words = events.map((event) => {
    if (event.is === "head") return `${event.head.status} [${body}]`;
    if (event.is === "end") return event.reusable ? "end" : "end, close";
    return event.is === "fault" ? event.reason : "";
  });
  return words.filter((word) => word !== "").join(" ");
}

const length5 = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n";
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

const answers: [string, string, RegExp | string][] = [
  ["by length", `${length5}\r\nhello`, "200 [hello] end"],
  ["lines that end in newlines only", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", "200 [hello] end"],
  ["no reason phrase", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 [] end"],
  ["empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 [] end"],
  ["no body by its status", "HTTP/1.1 204 None\r\n\r\n", "204 [] end"],
  ["the same length twice", `${length5}Content-Length: 5\r\n\r\nhello`, "200 [hello] end"],
  ["more than its length", `${length5}\r\nhello, world`, /^200 \[hello\] end/],
  ["cut off", `${length5}\r\nhell`, "200 [hell] was cut off"],
  ["closed by the server's wish", `${length5}Connection: close\r\n\r\nhello`, "200 [hello] end, close"],
  ["HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", "200 [hello] end, close"],
  ["HTTP/1.0, kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", "200 [hello] end"],
  ["up to its end", "HTTP/1.1 200 OK\r\n\r\nhello", "200 [hello] end, close"],
  ["chunks", `${chunked}3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\n`, "200 [hello] end"],
  ["chunks with trailers", `${chunked}5\r\nhello\r\n0\r\nA: b\r\n\r\n`, "200 [hello] end"],
  ["chunks, cut off", `${chunked}3\r\nhel\r\n`, "200 [hel] was cut off"],
  ["chunks, cut off before the empty line", `${chunked}3\r\nhel\r\n0\r\n`, "200 [hel] was cut off"],
  ["a chunk without size", `${chunked}\r\nhel`, /200 \[\] has a chunk of size ""/],
  ["a chunk of negative size", `${chunked}-3\r\nhel`, /has a chunk of size "-3"/],
  ["a chunk that is too long", `${chunked}2\r\nhel\r\n0\r\n\r\n`, /200 \[he\] has a chunk that is longer/],
  ["an endless chunk line", `${chunked}3;${"x".repeat(5000)}`, /endless line/],
  ["endless trailers", `${chunked}0\r\n${`A: ${"b".repeat(1000)}\r\n`.repeat(20)}`, /endless trailers/],
  ["interim answers", `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\n${length5}\r\nhello`, "200 [hello] end"],
  ["interim answers only", "HTTP/1.1 100 Continue\r\n\r\n".repeat(12), /never comes/],
  ["another protocol", "HTTP/1.1 101 Switching Protocols\r\n\r\n", /switches protocols/],
  ["HTTP/2", "HTTP/2 200\r\n\r\n", /begins with/],
  ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", /begins with "S/],
  ["nothing", "", "ended before its header did"],
  ["a cut header", "HTTP/1.1 200 OK\r\nContent-Le", "ended before its header did"],
  ["an endless header", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(10000)}`, /header of more than 32768 bytes/],
  ["an endless line", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(40000)}`, /header of more than 32768 bytes/],
  ["too many fields", `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(300)}\r\n`, /has 300 header fields/],
  ["a line that is no field", "HTTP/1.1 200 OK\r\nno field\r\n\r\n", /has the header line "no field"/],
  ["a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", /has the header line " c"/],
  ["a carriage return in a value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", /no field/],
  ["a zero in a value", "HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n", /no field/],
  ["two lengths", `${length5}Content-Length: 6\r\n\r\nhello`, /has Content-Length "5, 6"/],
  ["a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", /has Content-Length "\+5"/],
  ["a length that is no exact number", "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n", /has Content-Length/],
  ["length and chunks", `${length5}Transfer-Encoding: chunked\r\n\r\n`, /both/],
  ["a transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", /Transfer-Encoding "gzip, chunked"/],
  ["status 99", "HTTP/1.1 099 Odd\r\n\r\n", /no HTTP\/1 answer/],
  ["status 600", "HTTP/1.1 600 Odd\r\n\r\n", /no HTTP\/1 answer/],
];

for (const [name, text, wanted] of answers) {
  test(`answer: ${name}, however it is cut`, () => {
    for (const size of [1, 2, 3, 7, 1000, text.length || 1]) {
      const seen = told(text, size, true);
      if (typeof wanted === "string") assert.is(seen, wanted, `pieces of ${size}`);
      else assert.match(seen, wanted, `pieces of ${size}`);
    }
  });
}

test("answer: bytes that nobody asked for end the connection's use", () => {
  assert.is(told(`${length5}\r\nhelloHTTP/1.1 200 OK`, 1000, false), "200 [hello] end, close");
});

test("fields: names in any case, equal values once, different ones not at all", () => {
  const head = parseHead(bytes('HTTP/1.1 200 OK\r\nETag:  "a" \r\nX: 1\r\nX: 1\r\nY: 1\r\ny: 2\r\n\r\n'));
  if ("fault" in head) throw new Error(head.fault);
  assert.is(fieldOf(head, "etag"), '"a"');
  assert.is(fieldOf(head, "x"), "1");
  assert.is(fieldOf(head, "y"), null);
  assert.is(fieldOf(head, "z"), null);
  assert.equal(framingOf(head), { by: "close" });
});

test("Content-Range: what is sound, and nothing else", () => {
  assert.equal(parseContentRange("bytes 0-99/1234"), { range: { first: 0, last: 99 }, size: 1234 });
  assert.equal(parseContentRange("bytes 5-5/*"), { range: { first: 5, last: 5 }, size: null });
  assert.equal(parseContentRange("bytes */7"), { range: null, size: 7 });
  const big = 2 ** 45;
  assert.equal(parseContentRange(`bytes ${big}-${big + 1}/${big + 2}`)?.range, { first: big, last: big + 1 });
  const wrong = ["", "bytes", "bytes */*", "bytes 5-4/9", "bytes 0-9/9", "bytes -1/9", "bytes 0-/9", "items 0-1/9", "bytes 0-1"];
  for (const value of [...wrong, "bytes 0-1/9,", "bytes=0-1/9", "bytes 0x0-1/9", "bytes 0-9007199254740993/*"]) {
    assert.is(parseContentRange(value), null, value);
  }
});

test("Range: as a server reads it", () => {
  const range = (first: number, last: number) => ({ is: "range", first, last });
  assert.equal(parseRangeRequest("bytes=0-0", 10), range(0, 0));
  assert.equal(parseRangeRequest("bytes=3-", 10), range(3, 9));
  assert.equal(parseRangeRequest("bytes=3-99", 10), range(3, 9));
  assert.equal(parseRangeRequest("bytes=-4", 10), range(6, 9));
  assert.equal(parseRangeRequest("bytes=-40", 10), range(0, 9));
  for (const value of ["bytes=10-", "bytes=10-11", "bytes=-0"]) assert.is(parseRangeRequest(value, 10).is, "beyond", value);
  assert.is(parseRangeRequest("bytes=0-0", 0).is, "beyond");
  for (const value of [null, "", "bytes=", "bytes=-", "bytes=4-3", "bytes=0-0,2-2", "lines=0-1", "bytes=a-b"]) {
    assert.is(parseRangeRequest(value, 10).is, "none", `${value}`);
  }
});

test("Retry-After: seconds and dates, and nothing else", () => {
  const now = Date.UTC(2026, 10, 28, 12, 0, 0);
  assert.is(retryAfterMs("120", now), 120_000);
  assert.is(retryAfterMs("0", now), 0);
  assert.is(retryAfterMs("Sat, 28 Nov 2026 12:00:30 GMT", now), 30_000);
  assert.is(retryAfterMs("Saturday, 28-Nov-26 12:00:30 GMT", now), 30_000);
  assert.is(retryAfterMs("Sat, 28 Nov 2026 11:00:30 GMT", now), 0);
  for (const value of [null, "", "-1", "1.5", "soon", "Sat, 99 Nov 2026", "2026-11-28"])
    assert.is(retryAfterMs(value, now), null);
});

test("retries: pauses double up to a bound, jittered; what the server asks is honoured up to a bound; then it is given up", () => {
  const pause = (failures: number, asked: number | null = null, random = 1, answered = true) =>
    pauseBeforeRetry(RETRY, failures, answered, asked, random);
  assert.equal(
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map((failures) => pause(failures)),
    [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, null],
  );
  assert.is(pause(4, null, 0), 2000);
  assert.is(pause(1, 10_000, 0), 10_000);
  assert.is(pause(8, 1000, 0), 15_000);
  assert.is(pause(1, 86_400_000, 0), 120_000);
  assert.ok((pause(1, 86_400_000, 1) ?? 0) <= 132_000);
  assert.type(pause(3, null, 1, false), "number");
  assert.is(pause(4, null, 1, false), null, "a server that never answered");
});

test("URLs: what is taken, and what is never shown", () => {
  const url = sourceUrl("https://h.example:8443/a/x.img?secret=1");
  assert.equal([url.host, url.port, url.authority, url.target], ["h.example", 8443, "h.example:8443", "/a/x.img?secret=1"]);
  assert.is(url.name, "https://h.example:8443/a/x.img?…");
  assert.is(besides(url, ".idx").target, "/a/x.img.idx?secret=1");
  assert.equal([sourceUrl("http://[::1]/x").host, sourceUrl("http://[::1]/x").authority], ["::1", "[::1]"]);
  for (const text of ["ftp://h/x", "https:/h/x", "h/x", "", "https://", "file:///x"]) {
    assert.throws(() => sourceUrl(text), /no http: or https: URL/, text);
  }
  for (const text of ["https://me:hunter2@h/x", "http://hunter2@h/x", "hunter2@h", "htps://me:hunter2@h/x"]) {
    assert.throws(
      () => sourceUrl(text),
      (error: Error) => !error.message.includes("hunter2"),
      text,
    );
  }
});

test("redirects: to the same, to others, never from https: to http:", () => {
  const from = sourceUrl("https://h.example/a/x.img");
  const to = (location: string | null) => {
    const target = redirectTarget(from, location);
    return "fault" in target ? target.fault : target.name;
  };
  assert.is(to("/y"), "https://h.example/y");
  assert.is(to("y"), "https://h.example/a/y");
  assert.is(to("//other/y"), "https://other/y");
  assert.match(to("http://h.example/a/x.img"), /from https: to http:\/\/h.example\/a\/x.img, which is refused/);
  assert.match(to("ftp://h.example/"), /redirects to "ftp:"/);
  assert.match(to("https://me:hunter2@h/"), /with a password/);
  assert.not.match(to("https://me:hunter2@h/"), /hunter2/);
  assert.match(to(null), /no place/);
  assert.match(to("https://"), /no URL/);
});

const question = {
  url: sourceUrl("http://h/x.img"),
  range: { first: 4096, last: 8191 },
  known: { size: 10000, etag: '"a"', modified: "Sat, 28 Nov 2026 11:00:30 GMT" },
};
const part = "Content-Range: bytes 4096-8191/10000\r\nContent-Length: 4096\r\n";

const judgements: [string, string, Judgement["is"], RegExp?][] = [
  ["the range", `206 x\r\nETag: "a"\r\n${part}`, "wanted"],
  ["the range, without a tag", `206 x\r\n${part}`, "wanted"],
  ["the range, its length not said", "206 x\r\nContent-Range: bytes 4096-8191/*\r\n", "wanted"],
  ["the same tag with another date", `206 x\r\nETag: "a"\r\nLast-Modified: Sun, 29 Nov 2026 11:00:30 GMT\r\n${part}`, "wanted"],
  ["identity", `206 x\r\nContent-Encoding: identity\r\n${part}`, "wanted"],
  ["another tag", `206 x\r\nETag: "b"\r\n${part}`, "changed", /had ETag "a" and has "b"/],
  ["another date, no tag", `206 x\r\nLast-Modified: Sun, 29 Nov 2026 11:00:30 GMT\r\n${part}`, "changed", /date/],
  ["another size", "206 x\r\nContent-Range: bytes 4096-8191/10001\r\n", "changed", /had 10000 bytes and has 10001/],
  ["another whole file", "200 x\r\nContent-Length: 10001\r\n", "changed"],
  ["412", "412 x\r\n", "changed"],
  ["the whole file", "200 x\r\nContent-Length: 10000\r\n", "whole"],
  ["a web page", "200 x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 10000\r\n", "stop", /web page/],
  ["compressed", `206 x\r\nContent-Encoding: gzip\r\n${part}`, "stop", /Content-Encoding "gzip"/],
  ["several parts", "206 x\r\nContent-Type: multipart/byteranges; boundary=x\r\n", "unfit", /multipart/],
  ["no Content-Range", "206 x\r\nContent-Length: 4096\r\n", "unfit", /missing/],
  ["another range", "206 x\r\nContent-Range: bytes 0-4095/10000\r\n", "unfit", /bytes 4096-8191 were asked/],
  ["a shorter range", "206 x\r\nContent-Range: bytes 4096-8190/10000\r\n", "unfit"],
  ["a length that is not the range's", "206 x\r\nContent-Range: bytes 4096-8191/10000\r\nContent-Length: 5\r\n", "unfit"],
  ["404", "404 x\r\n", "missing"],
  ["410", "410 x\r\n", "missing"],
  ["416", "416 x\r\nContent-Range: bytes */10000\r\n", "beyond"],
  ["301", "301 x\r\nLocation: /y\r\n", "redirect"],
  ["308", "308 x\r\nLocation: /y\r\n", "redirect"],
  ["a redirect to nowhere", "302 x\r\n", "stop", /no place/],
  ["300", "300 x\r\nLocation: /y\r\n", "stop"],
  ["304", "304 x\r\n", "stop"],
  ["400", "400 x\r\n", "stop", /is it an http: server/],
  ["401", "401 x\r\n", "stop", /--token-file/],
  ["403", "403 x\r\n", "stop", /may the server read/],
  ["451", "451 x\r\n", "stop"],
  ["501", "501 x\r\n", "stop"],
  ["511", "511 x\r\n", "stop", /log in/],
  ["408", "408 x\r\n", "retry"],
  ["425", "425 x\r\n", "retry"],
  ["429", "429 x\r\nRetry-After: 7\r\n", "retry"],
  ["500", "500 x\r\n", "retry"],
  ["502", "502 x\r\n", "retry"],
  ["503", "503 x\r\nRetry-After: 7\r\n", "retry"],
  ["504", "504 x\r\n", "retry"],
  ["522", "522 x\r\n", "retry"],
];

for (const [name, text, is, reason] of judgements) {
  test(`judged: ${name}`, () => {
    const head = parseHead(bytes(`HTTP/1.1 ${text}\r\n`));
    if ("fault" in head) throw new Error(head.fault);
    const framing = framingOf(head);
    if ("fault" in framing) throw new Error(framing.fault);
    const judgement = judgeAnswer(question, head, framing, 0);
    assert.is(judgement.is, is);
    if (reason) assert.match("reason" in judgement ? judgement.reason : "", reason);
    if (name === "429" || name === "503") assert.is(judgement.is === "retry" && judgement.busy && judgement.asked, 7000);
  });
}

test("If-Range: strong tags only", () => {
  const modified = "Sat, 28 Nov 2026 11:00:30 GMT";
  assert.is(rangeCondition({ size: 1, etag: '"a-b"', modified }), '"a-b"');
  for (const etag of ['W/"a"', "a", '"a\u00e4"', '"a" "b"', null]) assert.is(rangeCondition({ size: 1, etag, modified }), null);
});

test("split: small ranges are one request, big ones several of one size", () => {
  const ranges = [
    { offset: 0, length: 3 },
    { offset: 10, length: 25 },
    { offset: 40, length: 0 },
    { offset: 50, length: 10 },
  ];
  assert.equal(
    [...splitRanges(ranges, 10)].map(({ offset, length, continues }) => [offset, length, continues]),
    [
      [0, 3, false],
      [10, 10, false],
      [20, 10, true],
      [30, 5, true],
      [50, 10, false],
    ],
  );
});

test.run();
