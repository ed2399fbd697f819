/** Servers from Debian's packages, on loopback ports, in the foreground, each as one process that ends with this one. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Server {
  port: number;
  pid: number;
  /** Its own, removed when it is stopped. */
  directory: string;
  stop(): Promise<void>;
}

/**
 * Starts `program` on a free port. `prepare` writes its configuration into the directory and returns its arguments.
 *
 * @param debianPackage named where it does not run
 */
export async function startServer(
  program: string,
  debianPackage: string,
  prepare: (directory: string, port: number) => string[],
): Promise<Server> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOn(await freePort(), program, debianPackage, prepare);
    } catch (error) {
      // somebody else may have taken the port in between
      if (attempt === 5 || !(error instanceof Error) || !/Address already in use|Could not create listening/.test(error.message))
        throw error;
    }
  }
}

async function startOn(
  port: number,
  program: string,
  debianPackage: string,
  prepare: (directory: string, port: number) => string[],
): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), `slipway-${program}-`));
  const words = ["--pdeathsig", "KILL", "--", program, ...prepare(directory, port)];
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
    throw new Error(`${program} does not run (is Debian's ${debianPackage} installed?): ${ended}\n${errors.trim()}`);
  }
  return { port, pid: child.pid, directory, stop };
}

/** A loopback port that nobody listens on. */
export async function freePort(): Promise<number> {
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
