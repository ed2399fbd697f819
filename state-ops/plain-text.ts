/**
 * What most names consist of, told without a regular expression: PID 1 reads hundreds of them once, and the machinery behind the
 * first expression costs a start more than all of that.
 */

const [ZERO, NINE, UPPER_A, UPPER_Z, A, F, Z] = [0x30, 0x39, 0x41, 0x5a, 0x61, 0x66, 0x7a] as const;

function isLetter(char: number): boolean {
  return (char >= A && char <= Z) || (char >= UPPER_A && char <= UPPER_Z);
}

/** Whether `text` has printable ASCII alone, space included. An empty one has. */
export function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (char < 0x20 || char > 0x7e) return false;
  }
  return true;
}

function isDigit(char: number): boolean {
  return char >= ZERO && char <= NINE;
}

/** Whether `text` is one digit or more, and nothing else. */
export function isDigits(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (!isDigit(text.charCodeAt(index))) return false;
  return text !== "";
}

/** Whether `text` is `length` hex digits, the letters in lower case. */
export function isHex(text: string, length: number): boolean {
  if (text.length !== length) return false;
  for (let index = 0; index < length; index++) {
    const char = text.charCodeAt(index);
    if (!isDigit(char) && (char < A || char > F)) return false;
  }
  return true;
}

/** Whether `text` has ASCII letters, digits and characters of `others` alone. An empty one has. */
export function hasOnly(text: string, others: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (!isLetter(char) && !isDigit(char) && !others.includes(text.charAt(index))) return false;
  }
  return true;
}

/** Whether `text` begins with an ASCII letter. */
export function beginsWithLetter(text: string): boolean {
  return text !== "" && isLetter(text.charCodeAt(0));
}
