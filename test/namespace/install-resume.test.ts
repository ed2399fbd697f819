/** `slipway install` over http:, killed at random moments, and started again: what has come is not fetched twice. */
import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { BLOCK } from "../../boot/image/verity.ts";
import { LARGEST_PIECE } from "../../boot/network/split-ranges.ts";
import { LIMITS } from "../../init/network/limits.ts";
import { imageOf, keyPair, sampleFilesystem } from "../samples/image-parts.ts";
import { randomNumbers } from "../samples/random.ts";
import { smallMachine } from "./install-machine.ts";

const MiB = 1024 * 1024;
const seed = Number(process.env.SLIPWAY_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}; SLIPWAY_SEED=${seed} kills at the same bytes`);
const random = randomNumbers(seed);

const keys = [keyPair("release")];
/** 96 MiB, of which the running image and the fallback have none. */
const image = imageOf(sampleFilesystem(24576, "new"), keys, { version: "2", rollbackIndex: 2 });
const running = imageOf(sampleFilesystem(300, "running"), keys);
const machine = smallMachine(keys, running, image);
const whole = image.bytes.length;

/**
 * What may have been sent and not be in the slot when a process is killed: tree and seal, the requests that are under way, of which
 * each is given on in its turn, and as much that waits to be written together.
 */
const IN_FLIGHT = whole - image.layout.hashOffset + (LIMITS.connections + 1) * LARGEST_PIECE;
/** Bytes that are sent at once: the server waits for the client, so that buffers stay short. */
const PIECE = 64 * 1024;

/** A file server with ranges that counts what it sends, and calls `onSent` with it. */
class CountingServer {
  sent = 0;
  requests = 0;
  onSent: () => void = () => {};
  readonly #server = createServer({ highWaterMark: PIECE }, (request, response) => void this.#answer(request, response));

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${addressOf(this.#server.address()).port}/new.img`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.requests++;
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const [from, to] = range ? [Number(range[1]), Math.min(Number(range[2]), whole - 1)] : [0, whole - 1];
    const head = { "accept-ranges": "bytes", "content-length": to - from + 1, etag: '"one"' };
    response.writeHead(range ? 206 : 200, range ? { ...head, "content-range": `bytes ${from}-${to}/${whole}` } : head);
    if (request.method === "HEAD") return void response.end();
    for (let at = from; at <= to && !response.destroyed; at += PIECE) {
      const piece = image.bytes.subarray(at, Math.min(at + PIECE, to + 1));
      const taken = response.write(piece);
      this.sent += piece.length;
      this.onSent();
      if (!taken) await drained(response);
      // As slow as a network: what was sent is taken before more is.
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    response.end();
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Waits until the response can take more, or is closed. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go).off("close", go);
      resolve();
    };
    response.on("drain", go).on("close", go);
  });
}

function addressOf(address: string | AddressInfo | null): AddressInfo {
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address;
}

const server = new CountingServer();
const url = await server.listen();
test.after(() => {
  server.close();
  machine.close();
});

/** Bytes of the image's data that the slot holds where they belong. */
function kept(): number {
  const there = machine.bytes("b");
  let right = 0;
  for (let at = 0; at < image.layout.hashOffset; at += BLOCK) {
    if (there.subarray(at, at + BLOCK).equals(image.bytes.subarray(at, at + BLOCK))) right += BLOCK;
  }
  return right;
}

interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
  output: string;
}

/** Runs an install; `begun` gets the process. */
function install(begun: (child: ChildProcess) => void): Promise<End> {
  const [program = "", ...words] = machine.command("install", url, "--slot", "b", "--json");
  const child = spawn(program, words, { env: { ...process.env, NO_COLOR: "1" }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += bytes));
  begun(child);
  return new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, output })));
}

test("killed again and again, it comes to its end, and no more is sent than is missing and what was in flight", async () => {
  const kills: number[] = [];
  let had = 0;
  for (let left = 8; ; left--) {
    const before = server.sent;
    const limit = left > 0 ? before + Math.floor((1 + 14 * random()) * MiB) : Number.POSITIVE_INFINITY;
    const end = await install((child) => {
      server.onSent = () => {
        if (server.sent >= limit) child.kill("SIGKILL");
      };
    });
    server.onSent = () => {};
    if (end.signal !== "SIGKILL") {
      assert.is(end.code, 0, end.output);
      break;
    }
    const sent = server.sent - before;
    kills.push(sent);
    const now = kept();
    assert.ok(now - had >= sent - IN_FLIGHT, `${sent} bytes were sent, and ${now - had} more are in the slot`);
    had = now;
    const b = machine.record().slots.b;
    assert.is(b?.state, "empty", "an image that is not whole is no candidate");
    assert.ok(
      machine
        .bytes("a")
        .subarray(0, running.bytes.length - BLOCK)
        .equals(running.bytes.subarray(0, -BLOCK)),
    );
  }
  console.log(
    `${kills.length} kills, after ${kills.map((bytes) => (bytes / MiB).toFixed(1)).join(", ")} MiB; ${server.sent} bytes sent of ${whole}`,
  );
  assert.ok(kills.length >= 3, "it was killed a few times");
  assert.ok(machine.holds("b", image.bytes));
  assert.is(machine.record().slots.b?.state, "trial");
  assert.ok(server.sent <= whole + kills.length * IN_FLIGHT, `${server.sent} bytes were sent, the image has ${whole}`);
});

test("once it is whole, another run fetches nothing but the seal", async () => {
  const before = server.sent;
  const end = await install(() => {});
  assert.is(end.code, 0, end.output);
  assert.ok(server.sent - before < MiB / 4, `${server.sent - before} bytes`);
});

test.run();
