import { GREATEST_ID } from "./operator-rules.ts";

/** What the compiler asks about the image. Paths are absolute in the image. */
export interface ImageTree {
  /** What is at the path itself, following no link in any component; null where nothing is, or only through a link. */
  look(path: string): ImageEntry | null;
  /** The text of a file, null where there is none. */
  text(path: string): string | null;
  /** How messages name the file at `path`, so that an editor of the builder's opens it. */
  place(path: string): string;
  /** The file at `path`, or all that is below the directory there, sorted by name; no link is followed. */
  files(path: string): Iterable<ImageFile>;
}

export interface ImageFile {
  /** Absolute; bytes that are no UTF-8 are U+FFFD. */
  path: string;
  /** `other`: devices, pipes and sockets. */
  kind: ImageEntry["kind"];
  isDevice: boolean;
  /** Set-user-ID or set-group-ID. */
  isPrivileged: boolean;
  /** Bytes of a file; 0 of anything else. */
  size: number;
  /** The first 4096 bytes of a file as latin1; "" of anything else. */
  head(): string;
}

export interface ImageEntry {
  kind: "directory" | "file" | "symlink" | "other";
  /** What a symlink says. */
  target: string | null;
  /** A directory with no entry, a file with no byte. */
  readonly empty: boolean;
}

/** Names and numbers of /etc/passwd or /etc/group (both have the name first and the number third). */
export function readNames(text: string): Map<string, number> {
  const names = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [name, , number] = line.split(":");
    // The first line of a name is the one that is found.
    if (name && number !== undefined && /^[0-9]{1,10}$/.test(number) && Number(number) <= GREATEST_ID && !names.has(name)) {
      names.set(name, Number(number));
    }
  }
  return names;
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

/** The path that {@link escapePath} wrote so: "var-lib-my\\x2dapp" is "/var/lib/my-app". */
export function unescapePath(escaped: string): string {
  const bytes = escaped
    .replaceAll("-", "/")
    .replace(/\\x([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return `/${Buffer.from(bytes, "latin1").toString("utf8")}`;
}
