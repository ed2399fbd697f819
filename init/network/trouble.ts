/**
 * Why something over the network did not work, inside this directory; outside it is a SourceError. The reason goes on from the
 * URL's name and holds nothing secret.
 *
 * `again`: it may work the next time. `changed`: the file is not what it was. `missing`: the server has no such file. `stop`:
 * asking again is no use.
 */
export class Trouble extends Error {
  constructor(
    readonly is: "again" | "changed" | "missing" | "stop",
    readonly reason: string,
    /** What the server's Retry-After asked for, in ms, and whether it has too many requests. */
    readonly asked: number | null = null,
    readonly busy = false,
  ) {
    super(reason);
  }
}

/** The reason in an error of the runtime's, short: "connection refused". */
export function reasonOf(error: unknown): string {
  const code = codeOf(error);
  return words[code] ?? (code || (error instanceof Error ? error.message : String(error)));
}

/** The symbolic code of an error of the runtime's; "" without one. */
export function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : "";
}

const words: Record<string, string> = {
  ECONNREFUSED: "refuses connections",
  ECONNRESET: "reset the connection",
  EPIPE: "reset the connection",
  EHOSTUNREACH: "cannot be reached: no way to the host",
  ENETUNREACH: "cannot be reached: no network",
  ETIMEDOUT: "does not answer",
  ENOTFOUND: "cannot be found: the name is not known",
  EAI_AGAIN: "cannot be found: no name server answers",
};
