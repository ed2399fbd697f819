/**
 * Globs of paths below a store, as `exclude:` says them: `*` is any text within a name, `?` one character of a name, and
 * `**` as a whole name any number of names. Nothing else has a meaning. What matches is left out with all that is below it.
 */

const wildName = "**";
const longest = 4095;

/** What is wrong with a glob, with the remedy, or null. */
export function globFault(glob: string): string | null {
  const shown = JSON.stringify(glob);
  if (!glob.isWellFormed() || /\p{Cc}/u.test(glob) || glob.length > longest) {
    return `the glob ${shown} has a control character, is no valid UTF-8 or is too long; write a path below the store`;
  }
  const names = glob.split("/");
  if (names.some((name) => name === "" || name === "." || name === "..")) {
    return `the glob ${shown} is no path below the store; write it without a slash at either end, "//", "." and ".."`;
  }
  if (names.some((name) => name !== wildName && name.includes(wildName))) {
    return `the glob ${shown} has "**" beside other text; it stands for whole names: "**/cache" or "cache/**"`;
  }
  if (/[[\]{}\\]/.test(glob)) {
    return `the glob ${shown} has one of []{}\\, which mean nothing here; use "*", "**" and "?"`;
  }
  return null;
}

/**
 * Whether one of `globs`, each of them without a fault, matches a path relative to the store. A path is bytes, or text
 * with one character (U+0000 to U+00FF) a byte. "cache/**" is everything below cache, and not cache itself. Takes time
 * in the order of both lengths multiplied, whatever they say.
 */
export function globMatcher(globs: readonly string[]): (path: Uint8Array | string) => boolean {
  const patterns = globs.map((glob) => splitNames(Buffer.from(glob, "utf8").toString("latin1")));
  return (path) => {
    const names = splitNames(typeof path === "string" ? path : Buffer.from(path).toString("latin1"));
    return patterns.some((pattern) => matchNames(pattern, names));
  };
}

/** Characters of each name. A byte that begins no valid UTF-8 is a character of its own. */
function splitNames(latin1: string): string[][] {
  const character = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[\s\S]/g;
  return latin1.split("/").map((name) => name.match(character) ?? []);
}

function matchNames(pattern: string[][], names: string[][]): boolean {
  const last = pattern.at(-1);
  // What ends in "**" wants at least one name there: "cache/**" leaves the directory itself.
  const atLeastOne = last !== undefined && isWild(last) ? [...pattern.slice(0, -1), ["*"], last] : pattern;
  return match(atLeastOne, names, isWild, (name, seen) =>
    match(
      name,
      seen,
      (letter) => letter === "*",
      (letter, other) => letter === "?" || letter === other,
    ),
  );
}

function isWild(name: string[]): boolean {
  return name.length === 2 && name.join("") === wildName;
}

/** Wildcard matching that goes back to the last wildcard only, so that no text makes it take exponential time. */
function match<Part>(
  pattern: readonly Part[],
  parts: readonly Part[],
  isWildcard: (part: Part) => boolean,
  equal: (pattern: Part, part: Part) => boolean,
): boolean {
  let at = 0;
  let back: { pattern: number; part: number } | null = null;
  for (let part = 0; part < parts.length; ) {
    const wanted = pattern[at];
    const seen = parts[part];
    if (wanted !== undefined && isWildcard(wanted)) {
      back = { pattern: ++at, part };
    } else if (wanted !== undefined && seen !== undefined && equal(wanted, seen)) {
      at++;
      part++;
    } else if (back !== null) {
      part = ++back.part;
      at = back.pattern;
    } else {
      return false;
    }
  }
  return pattern.slice(at).every(isWildcard);
}
