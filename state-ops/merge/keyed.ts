/**
 * Merges the accounts of a device with those of a new image, by name: passwd, group, shadow, gshadow, subuid and subgid
 * together, since a name that is refused in one must not appear in another.
 */
import {
  type AccountRecord,
  type AccountTable,
  listNames,
  numberOf,
  PRIMARY_GROUP,
  readTable,
  withField,
} from "./account-lines.ts";
import { type AccountNote, mergeNumbered } from "./account-numbers.ts";
import { allNames, layOut, mergePlainly, type Tables } from "./account-records.ts";
import { KEYED_FILES, type KeyedFile } from "./keyed-files.ts";
import { mergeRanges } from "./subordinate-ids.ts";

/** A file's three texts, one character a byte (latin1); null where there is no such file, and for a baseline that is not known. */
export interface AccountVersions {
  base: string | null;
  state: string | null;
  image: string | null;
}

export interface AccountOptions {
  /** Numbers that own anything in the image, as the builder counted them; null where nobody did. */
  ownedInImage: { users: ReadonlySet<number>; groups: ReadonlySet<number> } | null;
}

export interface AccountsMerge {
  /** What each given file is to say; null: it is not there. */
  texts: ReadonlyMap<KeyedFile, string | null>;
  /** What people should know. Passwords are never quoted. */
  notes: readonly AccountNote[];
}

/**
 * Rules: every name of the device stays unless the image removed it and nobody changed it here; a name on both sides keeps
 * the device's number; a number never goes to another name (see account-numbers.ts); lists of members are sets; a field
 * changed on one side only is that side's, on both sides the device's, with a note. A file in which only one side changed
 * anything is that side's as it is when that holds for all files given.
 */
export function mergeAccounts(files: ReadonlyMap<KeyedFile, AccountVersions>, options: AccountOptions): AccountsMerge {
  const all = [...files];
  const every = (holds: (versions: AccountVersions) => boolean) => all.every(([, versions]) => holds(versions));
  const whole = (side: "state" | "image"): AccountsMerge => ({
    texts: new Map(all.map(([file, versions]) => [file, versions[side]])),
    notes: [],
  });
  if (every(({ base, state, image }) => state === image || image === base)) return whole("state");
  if (every(({ base, state, image }) => state === image || state === base)) return whole("image");
  return new AccountMerger(files, options).run();
}

class AccountMerger {
  readonly #files: ReadonlyMap<KeyedFile, AccountVersions>;
  readonly #tables: Record<KeyedFile, Tables>;
  readonly #options: AccountOptions;
  readonly #notes: AccountNote[] = [];

  constructor(files: ReadonlyMap<KeyedFile, AccountVersions>, options: AccountOptions) {
    this.#files = files;
    this.#options = options;
    const read = (file: KeyedFile): Tables => {
      const { base, state, image } = files.get(file) ?? { base: null, state: null, image: null };
      return { base: readTable(file, base), state: readTable(file, state), image: readTable(file, image) };
    };
    this.#tables = {
      passwd: read("passwd"),
      group: read("group"),
      shadow: read("shadow"),
      gshadow: read("gshadow"),
      subuid: read("subuid"),
      subgid: read("subgid"),
    };
  }

  run(): AccountsMerge {
    const owned = this.#options.ownedInImage;
    const { passwd, group } = this.#tables;
    const users = mergeNumbered(passwd, { file: "passwd", ownedInImage: owned?.users ?? null, neededHere: new Map() });
    const neededHere = this.#neededGroups(users.outcome);
    const groups = mergeNumbered(group, { file: "group", ownedInImage: owned?.groups ?? null, neededHere });
    this.#notes.push(...groups.notes, ...users.notes);
    for (const [name, record] of users.outcome) this.#settlePrimaryGroup(name, record, users.outcome, groups.outcome);
    for (const [name, record] of groups.outcome)
      groups.outcome.set(name, this.#withoutRefused(record, [3], group, users.outcome));
    const outcomes: Record<KeyedFile, ReadonlyMap<string, readonly string[]>> = {
      passwd: asLines(users.outcome),
      group: asLines(groups.outcome),
      shadow: this.#shadow("shadow", passwd, users.outcome, users.outcome),
      gshadow: this.#shadow("gshadow", group, groups.outcome, users.outcome),
      subuid: mergeRanges("subuid", this.#tables.subuid, this.#gone(passwd, users.outcome), this.#notes),
      subgid: mergeRanges("subgid", this.#tables.subgid, this.#gone(passwd, users.outcome), this.#notes),
    };
    const texts = KEYED_FILES.flatMap((file): [KeyedFile, string | null][] => {
      const versions = this.#files.get(file);
      if (versions === undefined) return [];
      const { base, state, image } = versions;
      if (state === null)
        return [[file, base === null && image !== null ? layOut(this.#tables[file], versions, outcomes[file]) : null]];
      return [[file, image === null ? state : layOut(this.#tables[file], versions, outcomes[file])]];
    });
    return { texts: new Map(texts), notes: this.#notes };
  }

  /** Groups of the device that are the primary group of one of its users who stay. */
  #neededGroups(users: ReadonlyMap<string, AccountRecord>): Map<string, string> {
    const usedBy = new Map<number, string>();
    for (const [name, user] of this.#tables.passwd.state.records) {
      if (users.has(name)) usedBy.set(Number(user.fields[PRIMARY_GROUP]), name);
    }
    const needed = new Map<string, string>();
    for (const group of this.#tables.group.state.records.values()) {
      const user = usedBy.get(numberOf(group));
      if (user !== undefined) needed.set(group.name, `it is the primary group of ${user}`);
    }
    return needed;
  }

  /**
   * A primary group that comes from the image is meant by its name there: it follows that group's number here. Where the
   * device has another group under that number, a new user is refused, and any other keeps its group.
   */
  #settlePrimaryGroup(
    name: string,
    record: AccountRecord,
    users: Map<string, AccountRecord>,
    groups: Map<string, AccountRecord>,
  ): void {
    const { state, image } = this.#tables.passwd;
    const here = state.records.get(name);
    const gid = record.fields[PRIMARY_GROUP] ?? "";
    if (image.records.get(name)?.fields[PRIMARY_GROUP] !== gid || here?.fields[PRIMARY_GROUP] === gid) return;
    const meant = withNumber(this.#tables.group.image.records, Number(gid));
    const merged = meant === null ? undefined : groups.get(meant);
    if (merged !== undefined) {
      users.set(name, withField(record, PRIMARY_GROUP, String(numberOf(merged))));
      return;
    }
    const other = withNumber(groups, Number(gid));
    if (other === null) return;
    const why = `its primary group ${gid} is ${other} on this device`;
    if (here === undefined) users.delete(name);
    else users.set(name, withField(record, PRIMARY_GROUP, here.fields[PRIMARY_GROUP] ?? ""));
    this.#notes.push({
      file: "passwd",
      name,
      outcome: here === undefined ? "refused" : "kept",
      why:
        here === undefined
          ? `${why}; give it a group with a fixed number that devices do not use`
          : `${why}: the device's is kept`,
    });
  }

  /** Lists without the names that only the image put there and that are users of the image but not of the device. */
  #withoutRefused(
    record: AccountRecord,
    lists: number[],
    tables: Tables,
    users: ReadonlyMap<string, AccountRecord>,
  ): AccountRecord {
    const before = tables.state.records.get(record.name);
    let result = record;
    for (const at of lists) {
      const here = new Set(listNames(before?.fields[at]));
      const names = listNames(record.fields[at]);
      const stay = names.filter((name) => here.has(name) || users.has(name) || !this.#tables.passwd.image.records.has(name));
      if (stay.length !== names.length) result = withField(result, at, stay.join(","));
    }
    return result;
  }

  /** A shadow file has lines for the names that its public file has, and for names that are in neither. */
  #shadow(
    file: "shadow" | "gshadow",
    owner: Tables,
    owners: ReadonlyMap<string, AccountRecord>,
    users: ReadonlyMap<string, AccountRecord>,
  ): Map<string, readonly string[]> {
    const tables = this.#tables[file];
    const gone = this.#gone(owner, owners);
    const records = new Map<string, AccountRecord>();
    for (const name of allNames(tables)) {
      const here = tables.state.records.get(name);
      const orphan = here !== undefined && !owner.state.records.has(name);
      if (gone.has(name) && !orphan) continue;
      const merged = mergePlainly(file, tables, name);
      const fresh = owners.has(name) && !owner.state.records.has(name) ? tables.image.records.get(name) : undefined;
      const kept = owners.has(name) ? here : undefined;
      const record = merged?.record ?? kept ?? fresh;
      if (record === undefined) continue;
      for (const what of merged?.contested ?? []) {
        this.#notes.push({ file, name, outcome: "kept", why: `${what} changed here and in the image: the device's is kept` });
      }
      records.set(name, file === "gshadow" ? this.#withoutRefused(record, [2, 3], tables, users) : record);
    }
    return asLines(records);
  }

  /** Names that the device or the image had and the outcome has not. */
  #gone({ state, image }: Tables, outcome: ReadonlyMap<string, AccountRecord>): Set<string> {
    const names = [...state.records.keys(), ...image.records.keys()];
    return new Set(names.filter((name) => !outcome.has(name)));
  }
}

function asLines(records: ReadonlyMap<string, AccountRecord>): Map<string, readonly string[]> {
  return new Map(Array.from(records, ([name, { fields }]) => [name, [fields.join(":")]]));
}

function withNumber(records: AccountTable["records"], number: number): string | null {
  for (const record of records.values()) if (numberOf(record) === number) return record.name;
  return null;
}
