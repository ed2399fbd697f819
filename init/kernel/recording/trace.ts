import { createHash } from "node:crypto";
import { DM_FLAG, type DmRequest, decodeDmRequest } from "../../../boot/image/device-mapper.ts";
import { IOCTL, MNT, MS, O, RESOLVE } from "../constants.ts";
import type { Path } from "../kernel.ts";
import { LOOP_FLAG } from "../layouts.ts";

// How calls are written in a trace: as strace does, with symbolic names and directory descriptors as paths.

/** Longest text of a write that is shown as it is, in bytes. */
const SHOWN_TEXT = 1000;

export function quote(path: Path): string {
  return JSON.stringify(typeof path === "string" ? path : Buffer.from(path).toString());
}

export function octal(mode: number): string {
  return `0${mode.toString(8)}`;
}

/** "RDONLY|NODEV"; bits without a name are shown as a number; "0" for none. */
function bits(value: number, names: Record<string, number>): string {
  const words: string[] = [];
  let rest = value;
  for (const [name, bit] of Object.entries(names)) {
    if (bit === 0 || (rest & bit) !== bit) continue;
    words.push(name);
    rest &= ~bit;
  }
  if (rest !== 0) words.push(`0x${(rest >>> 0).toString(16)}`);
  return words.length > 0 ? words.join("|") : "0";
}

export const mountFlags = (flags: number): string => bits(flags, MS);
export const unmountFlags = (flags: number): string => bits(flags, MNT);
export const loopFlags = (flags: number): string => bits(flags, LOOP_FLAG);
export const resolveFlags = (flags: number): string => bits(flags, RESOLVE);

export function openFlags(flags: number): string {
  const { RDONLY: _, WRONLY, RDWR, CLOEXEC, ...others } = O;
  const access = flags & RDWR ? "RDWR" : flags & WRONLY ? "WRONLY" : "RDONLY";
  const rest = flags & ~(RDWR | WRONLY | CLOEXEC);
  return rest === 0 ? access : `${access}|${bits(rest, others)}`;
}

export function ioctlName(request: number): string {
  const found = Object.entries(IOCTL).find(([, number]) => number === request);
  return found ? found[0] : `0x${request.toString(16)}`;
}

/** A buffer handed to ioctl: four bytes as the number they hold, a request to device-mapper in words, others by their length. */
export function ioctlArgument(request: number, argument: number | Uint8Array<ArrayBuffer>): string {
  if (typeof argument === "number") return String(argument);
  if (ioctlName(request).startsWith("DM_")) return deviceMapperText(decodeDmRequest(argument));
  if (argument.length === 4) return `[${new DataView(argument.buffer, argument.byteOffset).getInt32(0, true)}]`;
  return `${argument.length} bytes`;
}

/** "slipway-a", what it is to be or do, and the flags. */
export function deviceMapperText({ name, uuid = "", flags = 0, target = null }: DmRequest): string {
  const words = [
    uuid,
    target === null ? "" : `${target.length} sectors, ${target.type} ${target.parameters}`,
    bits(flags, DM_FLAG),
  ];
  return [quote(name), ...words.filter((word) => word !== "" && word !== "0")].join(", ");
}

/** Short text as it is; everything else as its length and the start of its SHA-256. */
export function contents(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString();
  const printable = bytes.length <= SHOWN_TEXT && /^[\t\n\u0020-\u007e\u00a0-\ufffc]*$/.test(text);
  if (printable) return JSON.stringify(text);
  return `${bytes.length} bytes, sha256 ${createHash("sha256").update(bytes).digest("hex").slice(0, 12)}`;
}

/** Names and values in the order of the names. */
export function environmentText(environment: Record<string, string>): string {
  const sorted = Object.entries(environment).sort(([left], [right]) => (left < right ? -1 : 1));
  return JSON.stringify(Object.fromEntries(sorted)).replaceAll('","', '", "').replaceAll('":"', '": "');
}

export function listText(words: string[]): string {
  return `[${words.map((word) => JSON.stringify(word)).join(", ")}]`;
}
