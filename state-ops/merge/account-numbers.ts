/**
 * Which names of passwd or group stay, and under which number. A number that a name of the device has is never given to
 * another name: files on the device are owned by it. A new name of the image whose number is taken so gets another one,
 * where the builder says that nothing in the image is owned by its number; else it is refused.
 */
import { type AccountRecord, numberOf, sameRecord, withField } from "./account-lines.ts";
import { allNames, mergeRecord, type Tables } from "./account-records.ts";

/** What happened to a name, where more is to be told than that it was merged. */
export interface AccountNote {
  file: string;
  /** One character a byte. */
  name: string;
  /**
   * `refused`: new in the image, left out. `renumbered`: new in the image, has another number. `kept`: the state's is kept
   * although the image says something else. `left-out`: deleted here and changed in the image, stays deleted.
   */
  outcome: "refused" | "renumbered" | "kept" | "left-out";
  why: string;
}

export interface NumberRules {
  file: "passwd" | "group";
  /** Numbers that own anything in the image; null where that is not known. */
  ownedInImage: ReadonlySet<number> | null;
  /** Names that the image dropped and that must stay all the same, and why. */
  neededHere: ReadonlyMap<string, string>;
}

/** Outcome by name, and the notes. A name that is not in it goes. */
export function mergeNumbered(tables: Tables, rules: NumberRules): { outcome: Map<string, AccountRecord>; notes: AccountNote[] } {
  const { file } = rules;
  const { base, state, image } = tables;
  const outcome = new Map<string, AccountRecord>();
  const notes: AccountNote[] = [];
  const note = (name: string, how: AccountNote["outcome"], why: string) => notes.push({ file, name, outcome: how, why });
  const claims = claimedNumbers(tables);
  const taken = new Map<number, string[]>();
  for (const [name, here] of state.records) {
    const was = base.records.get(name);
    const there = image.records.get(name);
    if (there !== undefined) {
      const { record, contested } = mergeRecord(file, was, here, there);
      outcome.set(name, record);
      for (const what of contested) note(name, "kept", `${what} differs from the image's: the device's is kept`);
    } else {
      const claim = claims.get(numberOf(here));
      const needed = rules.neededHere.get(name) ?? (claim === undefined ? null : `the image gives its number to ${claim}`);
      if (was !== undefined && sameRecord(here, was) && needed === null) continue;
      outcome.set(name, here);
      if (was !== undefined) note(name, "kept", `removed from the image: ${needed ?? "changed here"}`);
    }
    const owners = taken.get(numberOf(here));
    if (owners === undefined) taken.set(numberOf(here), [name]);
    else owners.push(name);
  }
  const used = usedNumbers(tables, rules.ownedInImage);
  for (const name of allNames(tables)) {
    const there = image.records.get(name);
    if (there === undefined || state.records.has(name)) continue;
    const was = base.records.get(name);
    if (was !== undefined) {
      if (!sameRecord(there, was)) note(name, "left-out", "deleted here, changed in the image: stays deleted");
      continue;
    }
    const number = numberOf(there);
    const owners = (taken.get(number) ?? []).filter((owner) => !hasNumber(image.records.get(owner), number));
    if (owners.length === 0) {
      outcome.set(name, there);
      continue;
    }
    const collision = `its number ${number} belongs to ${owners.join(" and ")} on this device`;
    const other = rules.ownedInImage?.has(number) === false ? freeNumber(number, used) : null;
    if (other === null) {
      const owned = rules.ownedInImage === null ? "may own" : "owns";
      note(name, "refused", `${collision}, and it ${owned} files in the image; give it a fixed number that devices do not use`);
      continue;
    }
    used.add(other);
    outcome.set(name, withField(there, 2, String(other)));
    note(name, "renumbered", `${collision}: ${name} is ${other} here`);
  }
  return { outcome, notes };
}

/** Numbers that the image gives to names which do not have them here, with the first such name. */
function claimedNumbers({ base, state, image }: Tables): Map<number, string> {
  const claims = [...image.records.values()].filter((record) => {
    const here = state.records.get(record.name);
    return here === undefined ? !base.records.has(record.name) : !hasNumber(here, numberOf(record));
  });
  return new Map(claims.reverse().map((record) => [numberOf(record), record.name]));
}

function hasNumber(record: AccountRecord | undefined, number: number): boolean {
  return record !== undefined && numberOf(record) === number;
}

function usedNumbers({ base, state, image }: Tables, owned: ReadonlySet<number> | null): Set<number> {
  const records = [base, state, image].flatMap((table) => [...table.records.values()]);
  return new Set([...records.map(numberOf), ...(owned ?? [])]);
}

/** System numbers from 999 down to 100, others from 1000 up to 59999 (login.defs); null where all are used. */
function freeNumber(number: number, used: ReadonlySet<number>): number | null {
  const system = number < 1000;
  const [first, last, step] = system ? [999, 100, -1] : [1000, 59_999, 1];
  for (let at = first; step > 0 ? at <= last : at >= last; at += step) if (!used.has(at)) return at;
  return null;
}
