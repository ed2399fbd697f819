import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

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
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOn(await freePort(), options);
    } catch (error) {
      // somebody else may have taken the port in between
      if (attempt === 5 || !(error instanceof Error) || !error.message.includes("Address already in use")) throw error;
    }
  }
}

async function startOn(port: number, options: NginxOptions): Promise<Nginx> {
  const directory = mkdtempSync(join(tmpdir(), "slipway-nginx-"));
  const log = `${directory}/access.log`;
  writeFileSync(`${directory}/nginx.conf`, configuration(directory, log, port, options));
  const words = ["--pdeathsig", "KILL", "--", "nginx", "-e", "stderr", "-p", directory, "-c", `${directory}/nginx.conf`];
  const path = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
  const child = spawn("setpriv", words, { stdio: ["ignore", "ignore", "pipe"], env: { ...process.env, PATH: path } });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  let ended: string | null = null;
  const end = new Promise<void>((resolve) => {
    child.on("error", (error) => {
      ended = error.message;
      resolve();
    });
    child.on("close", (code, signal) => {
      ended ??= String(code ?? signal);
      resolve();
    });
  });
  const stop = async (): Promise<void> => {
    if (ended === null) child.kill("SIGTERM");
    await end;
    rmSync(directory, { recursive: true, force: true });
  };
  for (let waits = 0; ended === null && !(await accepts(port)); waits++) {
    if (waits === 500) ended = "it accepts no connection after 10 s";
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  if (ended !== null || child.pid === undefined) {
    await stop();
    throw new Error(`nginx does not run (is Debian's nginx-light installed?): ${ended}\n${errors.trim()}`);
  }
  const url = `${options.tls ? "https" : "http"}://127.0.0.1:${port}`;
  return { url, port, pid: child.pid, requests: () => readLog(log), stop };
}

function configuration(directory: string, log: string, port: number, options: NginxOptions): string {
  const { root, tls, noRanges, rate, mostAtATime, lines = [] } = options;
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

/** A loopback port that nobody listens on. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    const settle = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    socket.on("connect", () => settle(true)).on("error", () => settle(false));
  });
}
