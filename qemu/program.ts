import { spawn } from "node:child_process";

const environment = { ...process.env, LC_ALL: "C.UTF-8", PATH: `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin` };

/** What of a run may be chosen. */
export interface ProgramOptions {
  /** Added to the environment. */
  environment?: Record<string, string>;
  directory?: string;
  /** Text for standard input; without it, standard input is empty. */
  input?: string;
  /** Kills the program after this many milliseconds, which is an error. */
  timeoutMs?: number;
}

/**
 * Runs a program of the host to its end and returns what it wrote to standard output. /usr/sbin is searched too.
 * Throws when it cannot be started, ends with another code than 0 or takes too long; the message quotes its errors.
 */
export async function runProgram(program: string, words: string[], options: ProgramOptions = {}): Promise<string> {
  const child = spawn(program, words, {
    cwd: options.directory,
    env: { ...environment, ...options.environment },
    stdio: ["pipe", "pipe", "pipe"],
  });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    errors += chunk;
  });
  child.stdin.on("error", () => {}); // a program need not read its input
  child.stdin.end(options.input ?? "");
  let late = false;
  const alarm =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          late = true;
          child.kill("SIGKILL");
        }, options.timeoutMs);
  const end = await new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on("error", (error) => reject(new Error(`${program} cannot be started: ${error.message}; is it installed?`)));
    child.on("close", (code, signal) => resolve({ code, signal }));
  }).finally(() => clearTimeout(alarm));
  if (end.code === 0) return output;
  const how = late ? `took longer than ${options.timeoutMs} ms` : `ended with ${end.code ?? end.signal}`;
  const said = (errors.trim() || output.trim()).split("\n").slice(-15).join("\n");
  throw new Error(`${[program, ...words].join(" ")} ${how}:\n${said}`);
}
