/**
 * Whatever a server answers: the source ends in bounded time, well or with a SourceError, and gives only what was asked for,
 * in order and no byte twice.
 */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type AnswerEvent, AnswerReader } from "../../boot/network/answer-reader.ts";
import { judgeAnswer } from "../../boot/network/judge-answer.ts";
import { redirectTarget, sourceUrl } from "../../boot/network/source-url.ts";
import { type ByteRange, SourceError } from "../../init/converge/source.ts";
import { fetchSmall } from "../../init/network/fetch-small.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { blocks, Collector, quickLimits, sampleBytes } from "../samples/fetched.ts";
import { type RawRequest, rightAnswer, type ServedFile, startRawServer } from "../samples/raw-server.ts";
import { editedText, runs } from "./fuzz-inputs.ts";

const { image, index } = sampleBytes(20, 4);
const files = new Map<string, ServedFile>([
  ["/x.img", { bytes: image, etag: '"v1"' }],
  ["/x.img.idx", { bytes: index }],
]);
const ranges: readonly ByteRange[] = blocks([0, 1], [3, 9], [12, 20], [22, 24]);

const latin1 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "latin1"));

const heads = [
  'HTTP/1.1 206 Partial Content\r\nETag: "v1"\r\nContent-Range: bytes 0-9/98304\r\nContent-Length: 10\r\n\r\n0123456789',
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n5;x=y\r\nhello\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: https://h/y\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
  "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nuntil the end",
  "HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
];
const answer = fc.oneof(
  fc.constantFrom(...heads).chain((text) => editedText(text)),
  fc.tuple(fc.constantFrom(...heads), fc.constantFrom(...heads)).map(([one, other]) => one + other),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
);

/** All that an answer means when it comes in pieces of `size`. */
function eventsOf(bytes: Uint8Array, size: number): AnswerEvent[] {
  const reader = new AnswerReader();
  const events: AnswerEvent[] = [];
  const over = (): boolean => ["end", "fault"].includes(events.at(-1)?.is ?? "");
  for (let at = 0; at < bytes.length && !over(); at += size) events.push(...reader.feed(bytes.subarray(at, at + size)));
  if (!over()) events.push(reader.close());
  return events;
}

test("an answer means the same however it is cut, and its events come in order", () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(answer, fc.integer({ min: 1, max: 40 }), (text, size) => {
      const bytes = latin1(text);
      const shapes = [size, bytes.length || 1].map((cut) => {
        const events = eventsOf(bytes, cut);
        const last = events.at(-1);
        seen.add(last?.is ?? "");
        assert.ok(last?.is === "end" || last?.is === "fault");
        assert.is(events.filter(({ is }) => is === "end" || is === "fault").length, 1);
        const [head] = events.filter(({ is }) => is === "head");
        assert.ok(events.every(({ is }, at) => (is === "head") === (at === 0) || (is === "fault" && at === 0)));
        const body = Buffer.concat(events.flatMap((event) => (event.is === "body" ? [event.bytes] : [])));
        if (head?.is === "head" && head.framing.by === "length") {
          assert.ok(last.is === "end" ? body.length === head.framing.length : body.length < head.framing.length);
        }
        if (head?.is === "head") {
          for (const range of [null, { first: 0, last: 9 }]) {
            const known = { size: 98304, etag: '"v1"', modified: null };
            judgeAnswer({ url: sourceUrl("https://h/x"), range, known }, head.head, head.framing, 0);
          }
        }
        return JSON.stringify([head, body.toString("latin1"), last.is, last.is === "fault" && head ? last.reason : ""]);
      });
      assert.is(shapes[0], shapes[1]);
    }),
    runs(3000),
  );
  assert.equal([...seen].sort(), ["end", "fault"]);
});

test("URLs and redirects: taken or refused, and nothing secret in a message", () => {
  const url = fc.oneof(editedText("https://me:hunter2@h.example:8443/a/x.img?q=1#f"), fc.webUrl(), fc.string());
  fc.assert(
    fc.property(url, (text) => {
      try {
        const { target, authority, name } = sourceUrl(text);
        assert.match(target + authority, /^[!-~]+$/, "nothing that ends a line or a word of a request");
        assert.ok(name.length <= 200);
      } catch (error) {
        assert.instance(error, BadInput);
        if (text.includes(":hunter2@")) assert.not.match(String(error), /hunter2/);
      }
      const to = redirectTarget(sourceUrl("https://h/x"), text);
      if ("fault" in to) assert.ok(to.fault.length < 400);
      else assert.ok(to.secure);
    }),
    runs(2000),
  );
});

/** How a server answers one request: rightly, or with an edited answer, cut, slow or short. */
interface Answering {
  edit: { at: number; remove: number; insert: string } | null;
  cut: number | null;
  end: "keep" | "end" | "reset";
}

const answering: fc.Arbitrary<Answering> = fc.record({
  edit: fc.option(
    fc.record({
      at: fc.nat({ max: 220 }),
      remove: fc.nat({ max: 12 }),
      insert: fc.oneof(
        fc.constantFrom("\r\n", "\r\n\r\n", "0", "9", "-", "gzip", "Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n"),
        fc.constantFrom(
          "text/html",
          "multipart/byteranges",
          "HTTP/1.1 100 x\r\n\r\n",
          "HTTP/1.1 404 x\r\n\r\n",
          "Location: /y\r\n",
        ),
        fc.string({ maxLength: 6 }),
      ),
    }),
    { nil: null, freq: 2 },
  ),
  cut: fc.option(fc.nat({ max: 40_000 }), { nil: null, freq: 3 }),
  end: fc.constantFrom("keep", "keep", "keep", "end", "reset"),
});

function answerBytes(request: RawRequest, { edit, cut }: Answering, ranged: boolean): Uint8Array {
  const asked = ranged ? request : { ...request, fields: new Map<string, string>() };
  const { head, body } = rightAnswer(files.get(request.path), asked);
  const edited = edit === null ? head : head.slice(0, edit.at) + edit.insert + head.slice(edit.at + edit.remove);
  const bytes = Buffer.concat([latin1(edited), body]);
  return cut === null ? bytes : bytes.subarray(0, cut);
}

const ends = { well: 0, error: 0 };

async function checkFetch(script: readonly Answering[], ranged: boolean): Promise<void> {
  const server = await startRawServer((request, reply) => {
    const how = script[(request.number - 1) % script.length];
    if (how === undefined) throw new Error("a script has an answer");
    reply.send(answerBytes(request, how, ranged));
    if (how.end === "end" || how.cut !== null) reply.end();
    else if (how.end === "reset") reply.reset();
  });
  const limits = quickLimits([], { headMs: 60, stallMs: 30, paceMs: 60, connectMs: 200 });
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, { limits });
  // what comes may be wrong: that is for whoever proves it
  const collector = new Collector(null, ranges);
  const began = performance.now();
  try {
    await source.fetch(ranges, collector.sink);
    assert.ok(collector.whole, "it ended well without having given everything");
    ends.well++;
  } catch (error) {
    assert.instance(error, SourceError, String(error));
    ends.error++;
  }
  const { given } = collector;
  const small = await fetchSmall(`${server.url}/x.img.idx`, PLAIN, index.length, { limits }).catch((error: unknown) => error);
  assert.ok(small instanceof SourceError || (small instanceof Uint8Array && small.length <= index.length), String(small));
  assert.is(collector.given, given, "it gave something after its end");
  assert.ok(performance.now() - began < 10_000, "it took too long");
  await source.close();
  await server.stop();
}

for (const ranged of [true, false]) {
  test(`a server ${ranged ? "with" : "without"} ranges that answers wrongly now and then, or always`, async () => {
    Object.assign(ends, { well: 0, error: 0 });
    const script = fc.array(answering, { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(script, (answers) => checkFetch(answers, ranged)),
      runs(400),
    );
    assert.ok(ends.well > 15 && ends.error > 15, `${ends.well} ended well, ${ends.error} with an error`);
  });
}

test.run();
