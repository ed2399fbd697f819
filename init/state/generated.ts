import type { Operator } from "../../state-ops/control.ts";
import { isHex } from "../../state-ops/plain-text.ts";

type Generated = NonNullable<Operator["generate"]>;

/**
 * A new content of a file that is made on the device. `machine-id` (machine-id(5)): a random UUID of version 4 as 32
 * lower-case hex digits; `uuid`: one with its dashes; `random`: 32 random bytes as 64 hex digits. A newline follows.
 */
export function newContent(what: Generated): string {
  switch (what) {
    case "machine-id":
      return `${crypto.randomUUID().replaceAll("-", "")}\n`;
    case "uuid":
      return `${crypto.randomUUID()}\n`;
    case "random":
      return `${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}\n`;
  }
}

/**
 * Whether what a file begins with stays as it is. A machine id must be one that systemd takes: 32 hex digits, not all zero,
 * and a newline or nothing after them. Of anything else only an empty file is made anew: somebody may have put an own key there.
 */
export function keepsContent(what: Generated, text: string): boolean {
  if (what !== "machine-id") return text.trim() !== "";
  const id = text.endsWith("\n") ? text.slice(0, -1) : text;
  return isHex(id, 32) && id !== "0".repeat(32);
}
