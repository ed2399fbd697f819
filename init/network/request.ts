/** The bytes of requests (RFC 9112). */
import { type FileVersion, rangeCondition } from "../../boot/network/judge-answer.ts";
import type { SourceUrl } from "../../boot/network/source-url.ts";
import type { ProxyUrl } from "../../state-ops/proxy-url.ts";
import { version as slipwayVersion } from "../version.ts";

export const userAgent = `User-Agent: slipway/${slipwayVersion}`;

/** What every request says. */
export interface Asking {
  url: SourceUrl;
  /** A proxy that reads the request wants the whole URL in its first line (RFC 9112 3.2.2); through a tunnel it reads nothing. */
  proxy: ProxyUrl | null;
  token: string | null;
}

/** A GET for `range`, offsets of its first and last byte, or for all where it is null. `known`: of the version that is meant. */
export function getRequest(asking: Asking, range: { first: number; last: number } | null, known: FileVersion | null): Uint8Array {
  const condition = range === null || known === null ? null : rangeCondition(known);
  return headOf("GET", asking, [
    "Accept: */*",
    ...(range === null ? [] : [`Range: bytes=${range.first}-${range.last}`]),
    ...(condition === null ? [] : [`If-Range: ${condition}`]),
  ]);
}

/** A POST of JSON. */
export function postRequest(asking: Asking, body: Uint8Array): Uint8Array {
  const head = headOf("POST", asking, [
    "Accept: */*",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
    // one request is all there is
    "Connection: close",
  ]);
  const bytes = new Uint8Array(head.length + body.length);
  bytes.set(head);
  bytes.set(body, head.length);
  return bytes;
}

function headOf(method: string, { url, proxy, token }: Asking, fields: readonly string[]): Uint8Array {
  const target = proxy === null || url.secure ? url.target : `http://${url.authority}${url.target}`;
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: ${url.authority}`,
    userAgent,
    "Accept-Encoding: identity",
    ...fields,
    ...(token === null ? [] : [`Authorization: Bearer ${token}`]),
    "\r\n",
  ];
  return new TextEncoder().encode(lines.join("\r\n"));
}
