import { isPlain } from "./plain-text.ts";

const prefixes = ["PARTLABEL", "PARTUUID", "LABEL", "UUID"];
const grammar = "write PARTLABEL=, PARTUUID=, LABEL= or UUID= and a name, or /dev/…";

/**
 * Rule for a device reference: `PARTLABEL=root-a`, `PARTUUID=…`, `LABEL=…`, `UUID=…` or `/dev/vda2`. Null, or what is wrong
 * with the remedy.
 *
 * Partition labels are printable ASCII, at most 36 characters: GPT has room for no more, and the kernel tells others only
 * in a mangled form.
 */
export function deviceFault(text: string): string | null {
  if (text.startsWith("/")) return pathFault(text);
  const equals = text.indexOf("=");
  const prefix = text.slice(0, Math.max(0, equals));
  const value = text.slice(equals + 1);
  if (!prefixes.includes(prefix)) return `"${text}" names no device; ${grammar}`;
  if (value === "") return `"${text}" names no device: nothing after the equals sign; ${grammar}`;
  if (prefix === "PARTLABEL" && (value.length > 36 || !isPlain(value))) {
    return `"${text}": a partition label is 1 to 36 printable ASCII characters; rename the partition`;
  }
  if (prefix === "LABEL" && !isPlain(value) && (!value.isWellFormed() || /\p{Cc}/u.test(value))) {
    return `"${text}": a label has neither control characters nor invalid UTF-8`;
  }
  if ((prefix === "PARTUUID" || prefix === "UUID") && !/^[0-9a-f]+(-[0-9a-f]+)*$/i.test(value)) {
    return `"${text}": a UUID is hex digits and dashes, as blkid prints it`;
  }
  return null;
}

function pathFault(path: string): string | null {
  const names = path.split("/").slice(1);
  const canonical = names.length >= 2 && names[0] === "dev" && names.every((name) => !["", ".", ".."].includes(name));
  if (!canonical || /[\p{Cc}\s]/u.test(path)) return `"${path}" is no device path; write /dev/NAME without "." and ".."`;
  const by = /^\/dev\/disk\/by-(partlabel|partuuid|label|uuid)\/(.+)$/.exec(path);
  return by === null
    ? null
    : `"${path}" is made by udev, which does not run in an initrd; write ${by[1]?.toUpperCase()}=${by[2]}`;
}
