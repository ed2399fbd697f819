/**
 * Names of boot loader entries with their counters, as systemd-boot reads and writes them: `ID+LEFT[-DONE].conf` in
 * /loader/entries and `.efi` in /EFI/Linux (systemd's "Automatic Boot Assessment"; src/boot/efi/boot.c of 252,
 * config_entry_parse_tries).
 */

/** What the loader finds in a directory: text entries, or unified kernel images. */
export type EntryKind = "conf" | "efi";

/** Boots left and boots done. `done` null: the name leaves it out, which the loader takes for 0. */
export interface EntryCounter {
  left: number;
  done: number | null;
}

export interface EntryName {
  /** The name without counter and extension. */
  id: string;
  /** Null: the loader does not count this entry, which is how a good one looks. */
  counter: EntryCounter | null;
  kind: EntryKind;
}

/** INT_MAX: with more the loader takes the counter for part of the id. */
const MOST = 2 ** 31 - 1;

/** Reads a file's name. Null: the loader reads no such file. Of several plus signs the last one counts. */
export function readEntryName(file: string): EntryName | null {
  const [, stem, extension] = /^(.+)\.(conf|efi)$/i.exec(file) ?? [];
  if (stem === undefined || extension === undefined || stem.startsWith(".") || stem.startsWith("auto-")) return null;
  const kind = extension.toLowerCase() === "conf" ? "conf" : "efi";
  // the loader looks for the extension in any case, but for the counter only before a lower case one
  const [, id, left, done] = (extension === kind && /^(.*)\+(\d+)(?:-(\d+))?$/s.exec(stem)) || [];
  if (id === undefined || left === undefined || Number(left) > MOST || Number(done ?? 0) > MOST)
    return { id: stem, counter: null, kind };
  return { id, counter: { left: Number(left), done: done === undefined ? null : Number(done) }, kind };
}

export function printEntryName({ id, counter, kind }: EntryName): string {
  const done = counter === null || counter.done === null ? "" : `-${counter.done}`;
  return `${id}${counter === null ? "" : `+${counter.left}${done}`}.${kind}`;
}

/** What the loader renames an entry to before it starts it: nothing for one that it does not count. */
export function countedDown(name: EntryName): EntryName {
  if (name.counter === null) return name;
  const { left, done } = name.counter;
  return { ...name, counter: { left: Math.max(0, left - 1), done: Math.min((done ?? 0) + 1, MOST) } };
}

/** What `systemd-bless-boot good` renames it to. */
export function blessed(name: EntryName): EntryName {
  return { ...name, counter: null };
}

/** What `systemd-bless-boot bad` renames it to: no boots left, those done kept. */
export function condemned(name: EntryName): EntryName {
  return { ...name, counter: { left: 0, done: name.counter?.done || null } };
}
