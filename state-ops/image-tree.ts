/** What the compiler asks about the image. Paths are absolute in the image. */
export interface ImageTree {
  /** What is at the path itself, following no link in any component; null where nothing is, or only through a link. */
  look(path: string): ImageEntry | null;
  /** The text of a file, null where there is none. */
  text(path: string): string | null;
}

export interface ImageEntry {
  kind: "directory" | "file" | "symlink" | "other";
  /** What a symlink says. */
  target: string | null;
  /** A directory with no entry, a file with no byte. */
  empty: boolean;
}

/** Names and numbers of /etc/passwd or /etc/group (both have the name first and the number third). */
export function readNames(text: string): Map<string, number> {
  return new Map(
    text.split("\n").flatMap((line): [string, number][] => {
      const [name, , number] = line.split(":");
      return name && number !== undefined && /^[0-9]+$/.test(number) ? [[name, Number(number)]] : [];
    }),
  );
}

/** The components above `path` and itself, outermost first: "/var", "/var/lib". */
export function components(path: string): string[] {
  const names = path.split("/").slice(1);
  return names.map((_, index) => `/${names.slice(0, index + 1).join("/")}`);
}

/** systemd's escaping of a path (systemd-escape --path): "/var/lib/my-app" is "var-lib-my\x2dapp". */
export function escapePath(path: string): string {
  const escaped = Array.from(Buffer.from(path.slice(1)), (byte, index) => {
    const letter = String.fromCharCode(byte);
    if (letter === "/") {
      return "-";
    }
    return /[A-Za-z0-9:_.]/.test(letter) && !(letter === "." && index === 0)
      ? letter
      : `\\x${byte.toString(16).padStart(2, "0")}`;
  });
  return escaped.join("");
}
