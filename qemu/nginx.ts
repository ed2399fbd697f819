import { readFileSync, writeFileSync } from "node:fs";
import { startServer } from "./server.ts";

/** Debian's nginx, as a server of images: for tests, the demo and the bench. */
export interface NginxOptions {
  /** Directory that it serves. */
  root: string;
  /** PEM files; with `clientAuthority`, whoever asks must show a certificate that this authority vouches for. */
  tls?: { certificate: string; key: string; clientAuthority?: string };
  /** Range requests are answered with the whole file. */
  noRanges?: boolean;
  /** Bytes per second that a connection gets, as nginx writes them: "64k". */
  rate?: string;
  /** Requests at a time; more get 503. */
  mostAtATime?: number;
  /** It listens on the same port of ::1 too. */
  ipv6?: boolean;
  /** More lines of its server block. */
  lines?: readonly string[];
}

/** One line of its log. */
export interface NginxRequest {
  method: string;
  path: string;
  status: number;
  /** The Range field; null without one. */
  range: string | null;
  /** Bytes of the body that were sent. */
  bytes: number;
  /** Number of the connection. */
  connection: number;
}

export interface Nginx {
  /** "http://127.0.0.1:8080", or https. A guest of QEMU's user network reaches it at 10.0.2.2. */
  url: string;
  port: number;
  pid: number;
  /** What was asked of it so far. */
  requests(): NginxRequest[];
  stop(): Promise<void>;
}

/** Starts nginx on a free loopback port, in the foreground, as one process that ends with this one. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const server = await startServer("nginx", "nginx-light", (directory, port) => {
    writeFileSync(`${directory}/nginx.conf`, configuration(directory, `${directory}/access.log`, port, options));
    return ["-e", "stderr", "-p", directory, "-c", `${directory}/nginx.conf`];
  });
  const url = `${options.tls ? "https" : "http"}://127.0.0.1:${server.port}`;
  return {
    url,
    port: server.port,
    pid: server.pid,
    requests: () => readLog(`${server.directory}/access.log`),
    stop: server.stop,
  };
}

function configuration(directory: string, log: string, port: number, options: NginxOptions): string {
  const { root, tls, noRanges, rate, mostAtATime, ipv6, lines = [] } = options;
  const own = (name: string) => `${name}_temp_path ${directory}/${name};`;
  return `
daemon off;
master_process off;
pid ${directory}/nginx.pid;
events {}
http {
  log_format requests '$request_method\t$uri\t$status\t$http_range\t$body_bytes_sent\t$connection';
  access_log ${log} requests;
  ${["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(own).join(" ")}
  sendfile on;
  default_type application/octet-stream;
  keepalive_requests 100000;
  limit_conn_zone all zone=all:64k;
  server {
    listen 127.0.0.1:${port}${tls ? " ssl" : ""};
    ${ipv6 ? `listen [::1]:${port}${tls ? " ssl" : ""};` : ""}
    root ${root};
    ${tls ? `ssl_certificate ${tls.certificate}; ssl_certificate_key ${tls.key};` : ""}
    ${tls?.clientAuthority ? `ssl_client_certificate ${tls.clientAuthority}; ssl_verify_client on;` : ""}
    ${noRanges ? "max_ranges 0;" : ""}
    ${rate ? `limit_rate ${rate};` : ""}
    ${mostAtATime ? `limit_conn all ${mostAtATime};` : ""}
    ${lines.join("\n    ")}
  }
}
`;
}

function readLog(log: string): NginxRequest[] {
  return readFileSync(log, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [method = "", path = "", status, range = "-", bytes, connection] = line.split("\t");
      return {
        method,
        path,
        status: Number(status),
        range: range === "-" ? null : range,
        bytes: Number(bytes),
        connection: Number(connection),
      };
    });
}
