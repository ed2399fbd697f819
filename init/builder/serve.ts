import { realpathSync, type Stats, statSync } from "node:fs";
import { resolve } from "node:path";
import { printable } from "../../boot/network/answer-head.ts";
import { parseRangeRequest } from "../../boot/network/range-request.ts";
import { BadInput } from "../../state-ops/outcome.ts";
import { text, type Verb } from "../commands/verb.ts";
import { reasonOf } from "./input.ts";

export interface FileServer {
  /** "http://127.0.0.1:8080". */
  url: string;
  stop(): Promise<void>;
}

/**
 * Serves the files below `directory`, with ranges; lists nothing and follows no link that leads out of it.
 *
 * @param log takes one line for each request
 */
export function serveDirectory(directory: string, host: string, port: number, log: (line: string) => void): FileServer {
  const root = realpathSync(directory);
  const server = Bun.serve({
    hostname: host,
    port,
    fetch(request, self) {
      const response = answer(root, request);
      const asked = request.headers.get("range");
      const path = printable(new URL(request.url).pathname);
      const length = response.headers.get("content-length") ?? "0";
      const range = asked === null ? "" : ` ${printable(asked)}`;
      log(`${self.requestIP(request)?.address ?? "?"} ${request.method} ${path} ${response.status} ${length} bytes${range}`);
      return response;
    },
    error: () => new Response(null, { status: 500 }),
  });
  const name = host.includes(":") ? `[${host}]` : host;
  return { url: `http://${name}:${server.port}`, stop: () => server.stop(true) };
}

function answer(root: string, request: Request): Response {
  const { method, headers } = request;
  if (method !== "GET" && method !== "HEAD") return new Response(null, { status: 405, headers: { allow: "GET, HEAD" } });
  const found = fileAt(root, new URL(request.url).pathname);
  if (found === null) return new Response(null, { status: 404 });
  const { path, status } = found;
  const { size } = status;
  const modified = new Date(status.mtimeMs).toUTCString();
  const etag = `"${Math.round(status.mtimeMs * 1000).toString(16)}-${size.toString(16)}"`;
  const condition = headers.get("if-range");
  const sameFile = condition === null || condition === etag || condition === modified;
  const range = parseRangeRequest(sameFile ? headers.get("range") : null, size);
  const fields: Record<string, string> = {
    "accept-ranges": "bytes",
    "content-type": path.endsWith(".json") ? "application/json" : "application/octet-stream",
    etag,
    "last-modified": modified,
  };
  if (range.is === "beyond") {
    return new Response(null, { status: 416, headers: { ...fields, "content-range": `bytes */${size}` } });
  }
  const [first, end] = range.is === "range" ? [range.first, range.last + 1] : [0, size];
  if (range.is === "range") fields["content-range"] = `bytes ${first}-${end - 1}/${size}`;
  fields["content-length"] = `${end - first}`;
  const body = method === "HEAD" ? null : Bun.file(path).slice(first, end);
  return new Response(body, { status: range.is === "range" ? 206 : 200, headers: fields });
}

/** The file of a URL's path; null where there is none below `root`. */
function fileAt(root: string, pathname: string): { path: string; status: Stats } | null {
  if (pathname.endsWith("/")) return null;
  try {
    const path = realpathSync(resolve(root, `.${decodeURIComponent(pathname)}`));
    const status = statSync(path);
    return path.startsWith(root === "/" ? root : `${root}/`) && status.isFile() ? { path, status } : null;
  } catch {
    return null; // not there, not readable, or no sound name
  }
}

const LISTEN = /^(\[[0-9A-Fa-f:.]+\]|[^:[\]]+):([0-9]{1,5})$/;

export const verb: Verb = {
  help: `
Usage: slipway serve DIR [--listen ADDRESS:PORT]

Serves the files below DIR over http:, with range requests, for trying images and channels at a desk. Prints its URL, then one
line for each request. Lists no directories and follows no link out of DIR. Runs until it is interrupted.

Options:
  --listen ADDRESS:PORT  where to listen (default 127.0.0.1:8080: this machine only); port 0 takes a free one`,
  options: { listen: { type: "string" } },
  positionals: ["DIR"],
  async run(values, [directory = ""]) {
    const listen = text(values, "listen") ?? "127.0.0.1:8080";
    const [, host = "", port = ""] = LISTEN.exec(listen) ?? [];
    if (host === "" || Number(port) > 65535) throw new BadInput(`--listen ${listen} is no ADDRESS:PORT, like 127.0.0.1:8080`);
    const status = statSync(directory, { throwIfNoEntry: false });
    if (!status?.isDirectory()) throw new BadInput(`${directory} is no directory`);
    let server: FileServer;
    try {
      server = serveDirectory(directory, host.replace(/^\[|\]$/g, ""), Number(port), (line) => console.log(line));
    } catch (error) {
      throw new BadInput(`--listen ${listen} cannot be listened on: ${reasonOf(error)}`);
    }
    console.log(`${server.url}/ serves ${directory}`);
    const loopback = /^(127\.|localhost$|\[::1\]$)/.test(host);
    if (!loopback) console.log("Everybody who reaches this address can read every file in it.");
    await new Promise<void>((stop) => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
    });
    await server.stop();
    return 0;
  },
};
