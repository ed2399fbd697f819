/** Lists of domains in the form of DNS (RFC 1035 4.1.4), as RFC 3397 and RFC 8106 have them. */

const MOST_DOMAINS = 6;
/** Longest name, RFC 1035 2.3.4. */
const LONGEST = 253;

/** A name that can be written into resolv.conf: letters, digits, dashes and underscores between dots. */
export function soundDomain(text: string): boolean {
  const label = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
  return text.length <= LONGEST && new RegExp(`^${label}(\\.${label})*$`).test(text);
}

/** Every sound domain of the list, up to the first place where it is none. Pointers lead backwards, so that none goes round. */
export function readDomainList(bytes: Uint8Array): string[] {
  const domains: string[] = [];
  for (let at = 0; at < bytes.length && domains.length < MOST_DOMAINS; ) {
    const read = readName(bytes, at);
    if (read === null) break;
    if (soundDomain(read.name)) domains.push(read.name);
    at = read.next;
  }
  return domains;
}

function readName(bytes: Uint8Array, start: number): { name: string; next: number } | null {
  const labels: string[] = [];
  let next: number | null = null;
  let lowest = start;
  for (let at = start; ; ) {
    const length = bytes[at];
    if (length === undefined) return null;
    if (length === 0) return { name: labels.join("."), next: next ?? at + 1 };
    if (length >= 0xc0) {
      const target = ((length & 0x3f) << 8) | (bytes[at + 1] ?? 0);
      if (at + 1 >= bytes.length || target >= lowest) return null;
      next ??= at + 2;
      lowest = target;
      at = target;
      continue;
    }
    if (length > 63 || at + 1 + length > bytes.length || labels.length > 127) return null;
    labels.push(Buffer.from(bytes.subarray(at + 1, at + 1 + length)).toString("latin1"));
    at += 1 + length;
  }
}
