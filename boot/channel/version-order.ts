/**
 * The order of versions: that of the UAPI group's Version Format Specification, as systemd has it ("systemd-analyze
 * compare-versions"). Numbers compare as numbers, letters by their codes, a number is above letters; "~" begins what comes
 * before a release (2.0~rc1 is below 2.0), and anything else that follows is above (2.0-rc1 and 2.0.1 are above 2.0). What is
 * none of letters, digits and ~ - ^ . only separates.
 */

/** Below, equal or above. */
type Order = -1 | 0 | 1;

/** Marks other than "~" in the order in which they are looked for. What follows one is below what follows none. */
const MARKS = ["-", "^", "."];

/** How `left` compares with `right`: negative where it is the older one, 0 where neither is. */
export function compareVersions(left: string, right: string): Order {
  const [a, b] = [new Cursor(left), new Cursor(right)];
  for (;;) {
    a.skip(/[^A-Za-z0-9~^.-]*/y);
    b.skip(/[^A-Za-z0-9~^.-]*/y);
    const before = mark(a, b, "~");
    if (before !== 0) return before;
    if (a.atEnd || b.atEnd) return order(a.atEnd ? 0 : 1, b.atEnd ? 0 : 1);
    for (const sign of MARKS) {
      const marked = mark(a, b, sign);
      if (marked !== 0) return marked;
    }
    const numbers = /[0-9]/.test(a.next + b.next);
    const segments = numbers ? compareNumbers(a, b) : order(a.take(/[A-Za-z]*/y), b.take(/[A-Za-z]*/y));
    if (segments !== 0) return segments;
  }
}

/** Whether `left` is the newer version of the two. */
export function isNewer(left: string, right: string): boolean {
  return compareVersions(left, right) > 0;
}

/** The one that begins with `sign` is below the other; both get past it where both do. */
function mark(a: Cursor, b: Cursor, sign: string): Order {
  const [inA, inB] = [a.next === sign, b.next === sign];
  if (inA !== inB) return inA ? -1 : 1;
  if (inA) {
    a.pass();
    b.pass();
  }
  return 0;
}

/** Of any length: the longer one is larger, once leading zeros are gone. Any number, 0 too, is above what has none here. */
function compareNumbers(a: Cursor, b: Cursor): Order {
  const [left, right] = [a.take(/[0-9]*/y), b.take(/[0-9]*/y)];
  if (left === "" || right === "") return order(left, right);
  const [short, other] = [left.replace(/^0+/, ""), right.replace(/^0+/, "")];
  return order(short.length, other.length) || order(short, other);
}

function order<Value extends string | number>(left: Value, right: Value): Order {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

class Cursor {
  #at = 0;

  constructor(readonly text: string) {}

  get atEnd(): boolean {
    return this.#at >= this.text.length;
  }

  /** The character that comes next; empty at the end. */
  get next(): string {
    return this.text.charAt(this.#at);
  }

  pass(): void {
    this.#at++;
  }

  /** What a sticky pattern matches here; the cursor gets past it. */
  take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  skip(pattern: RegExp): void {
    this.take(pattern);
  }
}
