/** A server that answers byte by byte as a test says, rightly or not. */
import { createServer, type Socket } from "node:net";
import { parseRangeRequest } from "../../boot/network/range-request.ts";

export interface RawRequest {
  path: string;
  /** By name in lower case. */
  fields: ReadonlyMap<string, string>;
  /** Counts all requests from 1. */
  number: number;
  /** Counts connections from 1. */
  connection: number;
}

/** Sends an answer. Whoever ends the connection says so; else it takes further requests. */
export interface Reply {
  send(bytes: string | Uint8Array): void;
  /** Sends pieces with a pause of `ms` before each, as long as the client stays. */
  sendSlowly(pieces: readonly (string | Uint8Array)[], ms: number): Promise<void>;
  end(): void;
  reset(): void;
}

export type Handler = (request: RawRequest, reply: Reply) => void | Promise<void>;

export interface RawServer {
  url: string;
  port: number;
  requests: RawRequest[];
  /** Connections that are open now, and the most that were at a time. */
  connections: { open: number; most: number; all: number };
  stop(): Promise<void>;
}

export async function startRawServer(handler: Handler): Promise<RawServer> {
  const requests: RawRequest[] = [];
  const connections = { open: 0, most: 0, all: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    connections.all += 1;
    connections.open += 1;
    connections.most = Math.max(connections.most, connections.open);
    sockets.add(socket);
    const connection = connections.all;
    socket.on("error", () => {});
    socket.on("close", () => {
      connections.open -= 1;
      sockets.delete(socket);
    });
    let text = "";
    let turn = Promise.resolve();
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const request = parseRequest(text.slice(0, end), requests.length + 1, connection);
        text = text.slice(end + 4);
        requests.push(request);
        turn = turn.then(() => handler(request, replyOn(socket)));
      }
    });
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${address.port}`, port: address.port, requests, connections, stop };
}

function parseRequest(head: string, number: number, connection: number): RawRequest {
  const [first = "", ...lines] = head.split("\r\n");
  const fields = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()] as const),
  );
  return { path: first.split(" ")[1] ?? "", fields, number, connection };
}

function replyOn(socket: Socket): Reply {
  return {
    send: (bytes) => {
      if (!socket.destroyed) socket.write(bytes);
    },
    sendSlowly: async (pieces, ms) => {
      for (const piece of pieces) {
        await Bun.sleep(ms);
        if (socket.destroyed) return;
        socket.write(piece);
      }
    },
    end: () => socket.end(),
    reset: () => socket.resetAndDestroy(),
  };
}

/** A file that a good server has. */
export interface ServedFile {
  bytes: Uint8Array;
  etag?: string;
  modified?: string;
}

/** The head of a right answer for `file`, and its body. */
export function rightAnswer(file: ServedFile | undefined, request: RawRequest): { head: string; body: Uint8Array } {
  if (file === undefined) return { head: "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", body: new Uint8Array(0) };
  const { bytes, etag, modified } = file;
  const condition = request.fields.get("if-range");
  const wanted = condition === undefined || condition === etag ? (request.fields.get("range") ?? null) : null;
  const range = parseRangeRequest(wanted, bytes.length);
  const version = `${etag ? `ETag: ${etag}\r\n` : ""}${modified ? `Last-Modified: ${modified}\r\n` : ""}`;
  if (range.is === "beyond") {
    const head = `HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */${bytes.length}\r\nContent-Length: 0\r\n\r\n`;
    return { head, body: new Uint8Array(0) };
  }
  if (range.is === "none") {
    return { head: `HTTP/1.1 200 OK\r\n${version}Content-Length: ${bytes.length}\r\n\r\n`, body: bytes };
  }
  const body = bytes.subarray(range.first, range.last + 1);
  const content = `Content-Range: bytes ${range.first}-${range.last}/${bytes.length}\r\nContent-Length: ${body.length}\r\n`;
  return { head: `HTTP/1.1 206 Partial Content\r\n${version}${content}\r\n`, body };
}

/** Answers rightly. */
export function serveRightly(file: ServedFile | undefined, request: RawRequest, reply: Reply): void {
  const { head, body } = rightAnswer(file, request);
  reply.send(head);
  reply.send(body);
}
