import { AnswerReader } from "../../boot/network/answer-reader.ts";
import { judgeTunnel } from "../../boot/network/judge-tunnel.ts";
import type { SourceUrl } from "../../boot/network/source-url.ts";
import type { Limits } from "./limits.ts";
import { type ByteStream, readHead } from "./read-head.ts";
import { userAgent } from "./request.ts";
import { Trouble } from "./trouble.ts";

/**
 * Asks the proxy that `connection` leads to for a tunnel to the server of `url` (RFC 9110 9.3.6). Afterwards every byte is the
 * server's. Throws Trouble.
 */
export async function askForTunnel(connection: ByteStream, url: SourceUrl, limits: Limits): Promise<void> {
  const server = `${url.host.includes(":") ? `[${url.host}]` : url.host}:${url.port}`;
  const head = [`CONNECT ${server} HTTP/1.1`, `Host: ${server}`, userAgent, "\r\n"].join("\r\n");
  await connection.send(new TextEncoder().encode(head));
  const { first, rest } = await readHead(connection, new AnswerReader(), limits).catch((error: unknown) => {
    throw error instanceof Trouble ? refused(error.is, error.reason) : error;
  });
  if (first.is === "fault") throw refused("again", `answers with what ${first.reason}`);
  const judgement = judgeTunnel(first.head);
  if (judgement !== null) throw refused(judgement.is, judgement.reason);
  if (rest.some(({ is }) => is === "body" || is === "fault")) throw refused("again", "sends more than it was asked for");
}

function refused(is: Trouble["is"], reason: string): Trouble {
  return new Trouble(is, `cannot be asked: the proxy ${reason}`);
}
