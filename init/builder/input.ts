import { accessSync, constants, readFileSync, type Stats, statSync } from "node:fs";
import { BadInput } from "../../state-ops/outcome.ts";
import { CompileError } from "../../state-ops/problems.ts";
import { KernelError } from "../kernel/kernel.ts";

/**
 * A regular file that can be read, as `what` names it in messages: "--control control.json". Links are followed.
 *
 * @throws BadInput
 */
export function regularFile(what: string, path: string): Stats {
  const status = existing(what, path);
  if (!status.isFile()) throw new BadInput(`${what} is ${kindOf(status)}, not a file`);
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw new BadInput(`${what} cannot be read: ${reasonOf(error)}`);
  }
  return status;
}

/** The bytes of a file or a pipe. @throws BadInput */
export function readInput(what: string, path: string): Buffer<ArrayBuffer> {
  const status = existing(what, path);
  if (!status.isFile() && !status.isFIFO()) throw new BadInput(`${what} is ${kindOf(status)}, not a file`);
  try {
    return readFileSync(path);
  } catch (error) {
    throw new BadInput(`${what} cannot be read: ${reasonOf(error)}`);
  }
}

/** The text of a file or a pipe. @throws BadInput; CompileError with the place of what is no UTF-8 */
export function readTextInput(what: string, path: string): string {
  const bytes = readInput(what, path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const lines = validPrefix(bytes).split("\n");
    const column = (lines.at(-1) ?? "").length + 1;
    throw new CompileError([{ file: path, line: lines.length, column, text: "not UTF-8; save the file in UTF-8" }]);
  }
}

/** As strerror(3) says it, for what files run into. */
const kernelWords: Record<string, string> = {
  EACCES: "permission denied",
  EDQUOT: "disk quota exceeded",
  EFBIG: "file too large for the filesystem",
  EIO: "input/output error",
  ENOSPC: "no space left on device",
  EROFS: "read-only file system",
};

/** What went wrong in a file operation, without the path that the message names anyway: "permission denied". */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof KernelError) return kernelWords[error.code] ?? error.message;
  return /^[A-Z0-9]+: (.+?)(?:, [a-z]+(?: '.*)?)?$/s.exec(error.message)?.[1] ?? error.message;
}

function existing(what: string, path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    throw new BadInput(`${what} cannot be read: ${reasonOf(error)}`);
  }
}

function kindOf(status: Stats): string {
  if (status.isDirectory()) return "a directory";
  return status.isBlockDevice() || status.isCharacterDevice() ? "a device" : "neither file nor directory";
}

/** The text before the first byte that is no UTF-8. */
function validPrefix(bytes: Uint8Array): string {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let text = "";
  try {
    for (const byte of bytes) text += decoder.decode(Uint8Array.of(byte), { stream: true });
  } catch {}
  return text;
}
