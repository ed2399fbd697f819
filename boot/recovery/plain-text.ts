/** Of URLs neither user, password nor query is left: each may be a secret. */
export function withoutSecrets(text: string): string {
  return text
    .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/?#]*@/gi, "$1…@")
    .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/[^\s?"']*)\?[^\s"']*?(?=[.,:;)]*(?:[\s"']|$))/gi, "$1?…");
}

/**
 * Text from disks and servers, made fit for a terminal: printable ASCII alone, and {@link withoutSecrets}. Others could be what
 * a terminal obeys (also one byte of a character in UTF-8, on a line that does not know UTF-8), or be wider than one place.
 */
export function plainText(text: string): string {
  return withoutSecrets(text)
    .replaceAll("…", "...")
    .replaceAll(/[^\u0020-\u007e]/gu, (other) => (/[\p{Cc}\p{Z}]/u.test(other) ? " " : "?"));
}

/** `text` in at most `length` characters; what is cut ends in "...". */
export function cutTo(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, Math.max(0, length - 3))}...`.slice(0, Math.max(0, length));
}

/** `text` in lines of `width` characters, broken at blanks where there are any; at most `most` lines, the last one cut. */
export function wrapped(text: string, width: number, most: number): string[] {
  const lines: string[] = [];
  let rest = text.trim();
  while (rest.length > width && lines.length < most - 1 && width > 0) {
    const blank = rest.lastIndexOf(" ", width);
    const end = blank > width / 2 ? blank : width;
    lines.push(rest.slice(0, end).trimEnd());
    rest = rest.slice(end).trimStart();
  }
  return [...lines, cutTo(rest, width)];
}
