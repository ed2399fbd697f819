import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { startServer } from "./server.ts";

/** Debian's tinyproxy, as the HTTP proxy of a site. */
export interface ProxyOptions {
  /** Servers that it lets nobody through to: extended regular expressions of their names. */
  forbidden?: readonly string[];
  /** Whoever asks must name himself so. */
  user?: { name: string; password: string };
}

export interface Proxy {
  /** "http://127.0.0.1:8888". A guest of QEMU's user network reaches it at 10.0.2.2. */
  url: string;
  port: number;
  /** The first lines of the requests that it got: "CONNECT localhost:8443", "GET http://127.0.0.1:8080/x.img". */
  requests(): string[];
  stop(): Promise<void>;
}

/** Starts tinyproxy on a free loopback port, in the foreground, as one process that ends with this one. */
export async function startProxy({ forbidden = [], user }: ProxyOptions = {}): Promise<Proxy> {
  const server = await startServer("tinyproxy", "tinyproxy-bin", (directory, port) => {
    writeFileSync(`${directory}/filter`, forbidden.map((line) => `${line}\n`).join(""));
    const lines = [
      `Port ${port}`,
      "Listen 127.0.0.1",
      `LogFile "${directory}/log"`,
      "LogLevel Connect",
      "MaxClients 50",
      ...(forbidden.length > 0 ? [`Filter "${directory}/filter"`, "FilterExtended On"] : []),
      ...(user ? [`BasicAuth ${user.name} ${user.password}`] : []),
    ];
    writeFileSync(`${directory}/configuration`, `${lines.join("\n")}\n`);
    return ["-d", "-c", `${directory}/configuration`];
  });
  const requests = (): string[] => {
    const log = `${server.directory}/log`;
    const text = existsSync(log) ? readFileSync(log, "utf8") : "";
    return [...text.matchAll(/Request \(file descriptor \d+\): (\S+ \S+) HTTP/g)].map(([, line = ""]) => line);
  };
  return { url: `http://127.0.0.1:${server.port}`, port: server.port, requests, stop: server.stop };
}
