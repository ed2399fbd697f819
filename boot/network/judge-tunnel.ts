import type { AnswerHead } from "./answer-head.ts";

/**
 * Why a proxy's answer to CONNECT opens no tunnel; null where it does. Any 2xx does, whatever its fields say (RFC 9110 9.3.6).
 * The reason goes on from the proxy's name.
 */
export function judgeTunnel({ status }: AnswerHead): { is: "again" | "stop"; reason: string } | null {
  if (status >= 200 && status < 300) return null;
  const words = tunnelWords[status];
  const passing = status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505 && status !== 511);
  return { is: passing ? "again" : "stop", reason: `answers ${status}${words === undefined ? "" : `: ${words}`}` };
}

const tunnelWords: Partial<Record<number, string>> = {
  400: "is it an HTTP proxy?",
  403: "it lets nobody through to that server",
  404: "is it an HTTP proxy?",
  405: "it is no proxy for https:",
  407: "it wants credentials, which are never sent to proxies",
  501: "it is no proxy for https:",
  502: "it cannot reach the server",
  503: "it cannot reach the server",
  504: "the server does not answer it",
  511: "the network wants somebody to log in first",
};
