/** What networks do to a machine that recovers: lines that are cut all the time, and networks that want somebody to log in first. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { beginsAsWebPage } from "../../boot/network/web-page.ts";
import type { NetworkContext } from "../../init/network/context.ts";
import { fetchSmall } from "../../init/network/fetch-small.ts";
import { openHttpSource } from "../../init/network/http-source.ts";
import { PLAIN } from "../../init/network/options.ts";
import { blocks, fetchChecked, quickLimits } from "../samples/fetched.ts";
import { type Handler, rightAnswer, startRawServer } from "../samples/raw-server.ts";
import { files, image } from "./network-server.ts";

const contextOf = (pauses: number[], told: string[]): NetworkContext => ({
  limits: quickLimits(pauses),
  told: (line) => void told.push(line),
  recovery: { proxy: null },
});

/** Answers with `most` bytes of each body at most, then resets. */
const cutting =
  (most: number): Handler =>
  async (request, reply) => {
    const { head, body } = rightAnswer(files.get(request.path), request);
    reply.send(head);
    reply.send(body.subarray(0, most));
    if (body.length <= most) return;
    await Bun.sleep(1);
    reply.reset();
  };

for (const [what, most] of [
  ["every 300 KiB", 300 * 1024],
  ["every 5 KiB", 5 * 1024],
] as const) {
  test(`a line that is cut ${what}: goes on where it was cut, for as long as that takes`, async () => {
    const server = await startRawServer(cutting(most));
    const [pauses, told]: [number[], string[]] = [[], []];
    const source = openHttpSource(`${server.url}/x.img`, PLAIN, contextOf(pauses, told));
    const ranges = most > 100_000 ? blocks([0, 1], [10, 890]) : blocks([0, 1], [10, 60]);
    await fetchChecked(source, image, ranges);
    await source.close();
    await server.stop();
    assert.ok(pauses.length >= (most > 100_000 ? 8 : 30), `${pauses.length} times cut`);
    // pauses begin anew with progress: nobody waits half a minute for a line that only stutters
    assert.ok(Math.max(...pauses) <= 4000, `a pause of ${Math.max(...pauses)} ms`);
  });
}

test("a line that brings nothing to speak of is given up", async () => {
  const server = await startRawServer(cutting(100));
  const pauses: number[] = [];
  const source = openHttpSource(`${server.url}/x.img`, PLAIN, contextOf(pauses, []));
  const error = await source.fetch(blocks([10, 60]), () => {}).catch(String);
  assert.match(String(error), /gave up after 9 attempts without progress/);
  await source.close();
  await server.stop();
});

const PAGE = "\n<!DOCTYPE html><html><head><title>Welcome to the airport</title></head></html>";
const page =
  (type: string): Handler =>
  (_, reply) =>
    reply.send(`HTTP/1.1 200 OK\r\n${type}Content-Length: ${PAGE.length}\r\n\r\n${PAGE}`);

/** A network that answers for every server with a login page, said to be one or not, or leads to where one is. */
const portals: [string, (loginUrl: string) => Handler][] = [
  ["answers with it", () => page("Content-Type: text/html; charset=utf-8\r\n")],
  ["answers with it as XHTML", () => page("Content-Type: application/xhtml+xml\r\n")],
  ["answers with it and does not say so", () => page("")],
  ["answers with it and says that it is anything else", () => page("Content-Type: application/octet-stream\r\n")],
  [
    "leads to it",
    (login) => (_, reply) => reply.send(`HTTP/1.1 302 Found\r\nLocation: ${login}/login\r\nContent-Length: 0\r\n\r\n`),
  ],
];

for (const [name, handler] of portals) {
  test(`a network whose login page ${name}: told as one, at once`, async () => {
    const login = await startRawServer(page("Content-Type: text/html\r\n"));
    const server = await startRawServer(handler(login.url));
    const [pauses, told]: [number[], string[]] = [[], []];
    const context = contextOf(pauses, told);
    const channel = await fetchSmall(`${server.url}/stable/channel.json`, PLAIN, 1 << 20, context).catch(String);
    const source = openHttpSource(`${server.url}/x.img`, PLAIN, context);
    const whole = await source.size().catch(String);
    for (const error of [channel, whole]) {
      assert.match(String(error), /answers with a web page \(text\/html\): .* is there a login page in between\?/);
      if (name === "leads to it") assert.match(String(error), `is redirected to ${login.url}/login, which answers`);
    }
    assert.equal(pauses, []);
    await source.close();
    for (const one of [server, login]) await one.stop();
  });
}

test("what begins as a web page, and what does not", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  for (const text of [
    "<html>",
    "<!DOCTYPE HTML PUBLIC",
    " \r\n<HTML lang=en>",
    "\ufeff<!doctype html>",
    "<head>",
    "<script>x",
    `<meta http-equiv="refresh"`,
  ]) {
    assert.ok(beginsAsWebPage(bytes(text)), text);
  }
  for (const text of ["", "{}", `{"a":"<html>"}`, "<htmlx>", "<?xml", "x<html>"])
    assert.not.ok(beginsAsWebPage(bytes(text)), text);
  assert.not.ok(beginsAsWebPage(image));
});

test.run();
